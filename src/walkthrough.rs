//! One ticket through the code: a collapse under `pending`, INVLPGB on, one walker inside.
//!
//! The mm runs on CPUs 0 to 3 and has a global ASID. A walker on CPU 1 is inside
//! [`gup_fast`](crate::gup_fast::gup_fast): interrupts off ([`Cpu::irqs_off`]), about to read an entry of the PTE table
//! that CPU 0 takes away. Every fourth collapse of `tools/gupsync compare --policy pending --invlpgb on` goes this way.
//! This page holds no code.
//!
//! 1. **Unlink.** [`Collapse::Ready`] calls [`policy::unlink`]. [`Batch::clear`] clears the PMD entry; then comes F1,
//!    then [`modified`](crate::pending_gup_sync) counts one up: the ticket. *Guarantee: a walk that begins from here on
//!    does not reach the table, and the table is inside its [`Ticket`], where no code can get at it.* The walker is
//!    still in it.
//! 2. **Flush.** [`Collapse::Unlinked`] calls [`flush::flush`](crate::flush::flush()). It counts one up in `tlb_gen`,
//!    then comes F2. The mm has a global ASID, so [`flush::invlpgb`](crate::flush::invlpgb) executes
//!    [`Machine::invlpgb`] and [`Machine::tlbsync`]. (In the kernel, where the CPU lacks them,
//!    `arch/x86_64/src/emulate.rs` carries them out.) *Guarantee: no CPU uses an old translation of the range.* No CPU
//!    was interrupted, so it says [`Reached::Short`]. With INVLPGB off, [`flush::ipi`](crate::flush::ipi) would do
//!    steps 4 to 7 here, and step 3 would lead to step 8.
//! 3. **Ask.** [`Collapse::Flushed`] calls [`policy::sync`], and that [`Pending`]. [`redeem`] finds `synced` below the
//!    ticket and gives the ticket back. *Guarantee: tables come out of a ticket only when it is covered.* If any
//!    sender's interrupts had reached the CPUs of the mm since step 1, the table would come out now: `skipped`.
//! 4. **Look.** [`sync_round::round`](crate::sync_round::round) takes the [`Snapshot`] of `modified` first ([`begin`]).
//!    The task may be preempted here; say it stays. Then [`possible_walkers`] reads the cpumask, then what each CPU in
//!    it has loaded. CPUs 1 to 3 run the mm: their acks are needed. *Guarantee: a CPU that is left out is the one that
//!    looks, or is in no walk that can see the table* (the cases of [`proof`](crate::proof)). This is where it is
//!    decided whom a sync interrupts.
//! 5. **Send.** [`issue`] looks which targets are online ([`hotplug`](crate::hotplug)): all are. It writes the request
//!    into a slot, CPU 0's own if it is free, the slot's bit into the [`Mailbox`] of each target (Release), and calls
//!    [`Machine::send`]: one write to the ICR each. *Guarantee: a handler reads the request as it was written.* No CPU
//!    has taken the interrupt for certain.
//! 6. **Answer.** CPUs 2 and 3 take it: [`World::interrupt`] runs the request (a sync asks for nothing) and counts one
//!    down of what the slot waits for (Release). CPU 1 keeps interrupts off until its walk is over: it pins a page,
//!    finds the PMD entry changed, and drops the page. Then it takes the interrupt, and answers. *Guarantee: an ack
//!    comes from a context with no walk below it.*
//! 7. **Cover.** [`InFlight::wait`], on any CPU, sees all acks (Acquire) and finishes the round: [`AckedByAll`], which
//!    only this makes. [`cover`] raises `synced` to the snapshot (Release). *Guarantee: every walk that an ack waited
//!    for happened before what an unlinker does that reads this `synced`*, on any CPU.
//! 8. **Reuse.** [`redeem`] finds the ticket covered and hands the table out. [`Collapse::Synced`] looks for pins that
//!    earlier walks keep, and puts everything back if there is one. [`Collapse::Isolated`] copies the pages, poisons
//!    the table, links the huge entry.
//!
//! [`Cpu::irqs_off`]: crate::world::Cpu::irqs_off
//! [`Collapse::Ready`]: crate::ops::collapse::Collapse::Ready
//! [`Collapse::Unlinked`]: crate::ops::collapse::Collapse::Unlinked
//! [`Collapse::Flushed`]: crate::ops::collapse::Collapse::Flushed
//! [`Collapse::Synced`]: crate::ops::collapse::Collapse::Synced
//! [`Collapse::Isolated`]: crate::ops::collapse::Collapse::Isolated
//! [`policy::unlink`]: crate::policy::unlink
//! [`policy::sync`]: crate::policy::sync
//! [`Pending`]: crate::policy::Pending
//! [`Batch::clear`]: crate::pending_gup_sync::Batch::clear
//! [`Ticket`]: crate::pending_gup_sync::Ticket
//! [`Snapshot`]: crate::pending_gup_sync::Snapshot
//! [`AckedByAll`]: crate::pending_gup_sync::AckedByAll
//! [`cover`]: crate::pending_gup_sync::AckedByAll::cover
//! [`redeem`]: crate::pending_gup_sync::PendingGupSync::redeem
//! [`Reached::Short`]: crate::flush::Reached::Short
//! [`possible_walkers`]: crate::sync_round::possible_walkers
//! [`begin`]: crate::sync_round::begin
//! [`issue`]: crate::sync_round::issue
//! [`InFlight::wait`]: crate::sync_round::InFlight::wait
//! [`Mailbox`]: crate::smp_call::Mailbox
//! [`World::interrupt`]: crate::world::World::interrupt
//! [`Machine::send`]: crate::machine::Machine::send
//! [`Machine::invlpgb`]: crate::machine::Machine::invlpgb
//! [`Machine::tlbsync`]: crate::machine::Machine::tlbsync
