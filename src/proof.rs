//! The argument, in words: why no table is reused under a walker.
//!
//! Two model checkers run this very code and find no execution against it (`tools/gupsync prove`), and every mistake
//! that is kept under `tests/mutants` makes one of them find one. This page says *why* there is none, what that rests
//! on, and what is not shown. It holds no code.
//!
//! # What is claimed
//!
//! *A table that was unlinked from `mm` with ticket `t`, and that comes out of [`redeem`], is read by no GUP-fast walk
//! of `mm` any more: every walk that read an entry leading to it happened before the redeem.*
//!
//! Happened before, in the sense of C++20: the walk's last read is ordered before the reuser's first write. On x86 less
//! would do; the stronger claim is what the models check, and what a port needs.
//!
//! # The invariant
//!
//! Whenever `synced >= t`, each CPU is in one of two cases for ticket `t`, and for every walk of the mm on it:
//!
//! - the walk is over, and that is visible to an unlinker that acquires `synced`;
//! - or the walk reads the tables as they were after the clears of `t`.
//!
//! `synced` moves only in [`cover`], by a token that only a round can make. Whom the round interrupts is decided in one
//! place, [`possible_walkers`], and its match arms are the cases below. So it is enough to look at one round `R`, of a
//! task `s`, that covers `t`, and at one CPU `c`. In order, the unlinker did: *clears, F1, ticket `t`*. In order, `R`
//! did: *snapshot* (it read `modified >= t`, Acquire), *cpumask*, *state of each CPU found there*, *send*, *all acks
//! in* (Acquire), *cover* (Release). The ticket's Release and the snapshot's Acquire put the clears and F1 before all
//! the rest of `R`. The look and the sends are on one CPU, `l`. The snapshot may have been taken, and the acks may be
//! awaited, on others.
//!
//! # Each CPU, each case
//!
//! 1. **`c` is `l`, the CPU that looked.** `s` runs there, and is inside no walk: a walk runs in [`Cpu::irqs_off`],
//!    which borrows what looking needs. So each walk of another task on `l` was over before `s` came. One that begins
//!    later, in an NMI or when `s` has left, begins after the snapshot: it sees the clears. Between look and sends only
//!    handlers run on `l`. *The CPU of the snapshot, if `s` has left it, is a `c` like any other*: it is looked at.
//! 2. **`c` was interrupted and answered.** The ack comes from a context with no walk below it: the maskable handler,
//!    because a walk keeps those off, or a task between its walks. So each walk of `c` was over when it answered (its
//!    ack releases, `s` acquires, on any CPU), or began after that. It read the request (inbox, Release to Acquire)
//!    that was written after the clears: what walks later sees them. A request belongs to `R` and not to `l`: other
//!    rounds of `l`, before and after, have other slots, or this one when it was answered.
//! 3. **`R` did not find `c` in the cpumask.** Either `c` had left: then its bit was cleared by
//!    [`leave`](crate::switch_mm) with Release, in a handler, where no walk is, and `R` acquired that. Or its bit is
//!    set later than `R` looked. `c` sets it, then F3, then walks. F1 came before `R`'s look. Two full fences are in
//!    one order for all: if F3 came first, `R` would have seen the bit; so F1 came first, and the walk reads what was
//!    cleared.
//! 4. **`R` found another mm loaded on `c`.** What `c` walked before it stored that was over (Release, or F3 in front
//!    of the store; `R` acquires). If `c` has come back since, it has stored SWITCHING, then F3: as in 3, F1 came
//!    first.
//! 5. **`R` found `c` SWITCHING.** It was interrupted: case 2. It may be about to walk this mm, whatever it came from.
//! 6. **`R` found `c` lazy.** What `c` walked before it said so was over (Release, acquired). Coming back, it says so,
//!    then F4, then walks: as in 3, with F4 for F3. Linux 7.3 has no F4 where the mm has a global ASID; as long as it
//!    has none (`FlushConfig::unlazy_fence`), a lazy CPU is interrupted: case 2.
//! 7. **`R` found `c` in need of an interrupt, and offline when it sent.** What `c` walked before it took itself out of
//!    the mask was over (Release, acquired), in NMIs too: it had loaded the kernel's tables. If it has come back since,
//!    it is in the mask, then comes F3, then it walks: as in 3, F1 came first. If `R` found it online, it was sent a
//!    request, and answered: case 2. That it did is the promise of [`hotplug`](crate::hotplug): it goes when it has
//!    answered all that was, or may yet be, posted.
//!
//! [`begin`] comes first in `R` because each of 3, 4 and 6 needs F1 before the look; a ticket taken in between would be
//! covered by a look that came before its clears. The maximum in `cover` keeps a slow round from taking back what a
//! faster one has covered. A boolean has neither: cleared after the acks it covers what was unlinked meanwhile, cleared
//! before sending it lets others skip while walkers are still inside.
//!
//! Any sender will do, for any reason: nothing above asks why `R` was sent. INVLPGB, a hypercall and an NMI give no ack
//! (case 2 has no handler that a walk holds off), so they make no token. A third party's round is why F1 stands
//! *before* the ticket: after it, that round could see the ticket, look, and miss a `c` that has not seen the clears.
//!
//! # Shared tables
//!
//! A walker may be inside a shared table on behalf of an mm that has left, and the invariant of the mms that remain
//! says nothing of it. So the table carries the debt ([`mm::shared_table`](crate::mm::shared_table)). An mm that leaves
//! has: cleared its entry, flushed, *and if its ticket is not covered* written down the CPUs that a round would have to
//! interrupt (cases 3, 4 and 6 speak of the others). Then it drops its share; the drop is Acquire and Release, so that
//! a later one has all debts before it. The drop from 2 to 1 makes the table SETTLING in the same operation, takes the
//! debts, interrupts, waits, and only then says OWNED (Release). The survivor reuses it after it has claimed it from
//! OWNED (Acquire): all debts were paid, and no mm can have joined since, because joining needs the same word. A walker
//! does not migrate while it walks, so the CPUs that were written down suffice, however late they are interrupted. The
//! last to leave waits for the same OWNED, and for its own ticket.
//!
//! # The other promises
//!
//! - **A flush leaves no stale translation** ([`flush`](crate::flush)): the same argument with F2, between the change
//!   and the look at the targets, for F1; a CPU that is left out catches up by `tlb_gen` after F3 or F4. Which flushes
//!   reach a CPU depends on the ASID that *it* runs the mm under, not on the one that the mm has by now.
//! - **A local ASID that is kept** ([`switch_mm`](crate::switch_mm)): a CPU that comes back to an mm finds what its TLB
//!   holds of it, and its own `tlb_gen` for it. Equal to the mm's: nothing is dropped; behind: all of that ASID. A
//!   flush counts itself, then F2, then looks; the CPU stores SWITCHING and its bit, then F3, then reads the mm's
//!   `tlb_gen`. So a flush that misses it was counted before that read, and the ASID is found behind; any other finds
//!   it SWITCHING or running, and interrupts it. Hence F3 stands before the read of `tlb_gen`, and not just before the
//!   load (CVE-2025-40174), and a plain flush goes to CPUs found SWITCHING (CVE-2025-37964). What a CPU looks up from
//!   the load on it looks up after that read: its `tlb_gen` is never newer than its translations. A flush of the
//!   kernel's range, and one that the hypervisor carries out, drop every ASID. A CPU that drops a range alone is behind
//!   by one flush, which is that range's, and is then up to that flush and to none after it: a later one is still due
//!   when its request comes.
//! - **A global ASID**: F5, between giving the ASID and looking which CPUs run the mm, against F3: a CPU that the scan
//!   misses loads the mm under it. F8, between a CPU's reading the ASID and its look-ups, against F2: a flush that does
//!   not see the ASID changed the tables before.
//! - **An upper table that goes** ([`ops::exit`](crate::ops::exit)): its walkers are what its ticket is for, as any table's.
//!   Besides, a CPU may keep the entry that led to it, and look up by that what no task uses, while it is lazy too. So
//!   the flush goes to lazy CPUs, and comes after the clear: mutants `exit-flush-is-plain` and
//!   `exit-flush-before-the-clear`.
//! - **A CPU that comes online**: its TLB is empty after it is in the mask, and F9 stands between, against F10, between
//!   a change of the kernel's range and the look who is online. For an mm F3 does, against F2. INVLPGBs that did not
//!   reach it while it was offline are made up for: nothing is assumed of them.
//! - **A grace period**: F6, between "at work" and the walk, against F1; in an NMI handler too, which may come to an
//!   idle CPU.
//! - **`targeted`**: F7, between the tracker and the walk, against F1. With a read barrier for either fence the CPU's
//!   store waits in its store buffer while both sides read the old value: neither sees the other. `prove --traces`
//!   prints that execution.
//!
//! # What the fences cost on x86
//!
//! F3 would be free by the CR3 write if only walks and look-ups came after it. But `tlb_gen` is read *before* CR3 is
//! written, since it decides whether the write drops anything: that write comes too late (CVE-2025-40174;
//! `tlb-gen-read-before-f3`).
//!
//! | fence | between | on x86 |
//! |---|---|---|
//! | F1 | clears, ticket | free: `xchg` and `lock xadd` are full fences |
//! | F2 | change and `tlb_gen`, look | free: `lock xadd` |
//! | F3 | bit and SWITCHING, read of `tlb_gen` | free where the bit was clear: a locked operation sets it; else an `mfence` |
//! | F4 | "not lazy", look at `tlb_gen` | an `mfence`, once for each return from lazy mode |
//! | F5 | ASID given, scan | free: the ASID is given by `lock cmpxchg` |
//! | F6 | "at work", walk | free: `lock xadd` |
//! | F7 | tracker, walk | an `mfence` in *every walk*: what `targeted` pays and `pending` does not |
//! | F8 | ASID read, look-ups | free: loads are in order, and the CR3 write stands between |
//! | F9 | in the mask, TLB dropped | free: `lock or` |
//! | F10 | change of the kernel's range, look who is online | free where the change is an `xchg`; else an `mfence` |
//!
//! The explorer of x86-TSO agrees: without F3 (where the bit was set), F4 or F7 it finds an execution, without the
//! others none. (A load of a root is no fence in its models.) They are written out because C++20 promises none of that,
//! and loom finds an execution without each of them.
//!
//! # What it rests on
//!
//! Each assumption with what makes it true in Linux (7.2.13 was read; what 7.3 does otherwise is said), and with what
//! fails here if it is dropped: a mutant of `tests/mutants`, or a twin of a test of `tests/litmus`.
//!
//! - *A walk runs with maskable interrupts off from its first read to its last, and does not migrate.* `gup_fast`:
//!   `local_irq_save` around `gup_fast_pgd_range`. Dropped: `round-acked/ack-from-inside`.
//! - *Walks of an mm happen only where it is loaded, and not lazily*: cases 4 and 6. **No function of Linux makes this
//!   true.** `perf_virt_to_phys` and `perf_get_page_size` walk `current->mm` in an NMI, and `context_switch` changes
//!   the loaded mm, or goes lazy, before `current`. Here an NMI handler looks at what is loaded first
//!   ([`nmi_walk`](crate::nmi_walk)). Dropped: mutants `nmi-walks-whatever-is-current` and `nmi-walks-a-lazy-mm`,
//!   `tests/boot/nmi.rs`, and `nmi-walks-in-a-switch/walks-unasked` and `nmi-walks-while-lazy/walks-unasked`; for
//!   trackers, which nest, `nmi-nests-in-a-walk/tracker-cleared`.
//! - *What a CPU wrote before it sent an interrupt is visible to the handler ([`Machine::send`]).* Writing an x2APIC
//!   register does not order that by itself: `weak_wrmsr_fence` in `x2apic_send_IPI_mask`; `llist_add` before it is
//!   atomic. Dropped: `request-is-read/posted-first`.
//! - *Interrupts that are sent are taken, some time.* No function has to: `csd_lock_wait` only complains
//!   (`csd_lock_wait_toolong`). Dropped, a round never ends, and covers nothing. Nothing here is about *when*.
//! - *An acknowledgement is given in a context with no walk below it.* The maskable handler is one
//!   (`generic_smp_call_function_single_interrupt`). `flush_smp_call_function_queue` is called by `do_idle`, and from
//!   the stopper (`migration_cpu_stop`), too; a dying CPU calls `__flush_smp_call_function_queue` in
//!   `smpcfd_dying_cpu`. These are tasks, which walk nothing then ([`Cpu::serve`]). Dropped: mutants
//!   `ack-from-a-polled-queue` and `nmi-counts-as-an-ipi`.
//! - *A snapshot comes before the look, and the look and the sends are on one CPU, which is left out.* In 7.2
//!   `smp_call_function_many_cond` asserts that preemption is off; in 7.3 a sender may migrate before it looks, and
//!   while it waits. Here it may too ([`Cpu::may_migrate`]). Dropped: mutant `look-here-and-snapshot-there`, and the
//!   litmus test `sender-migrates/look-here-snapshot-there`.
//! - *What a sender does to its own TLB it does on the CPU that it has left out.* `flush_tlb_func` between `get_cpu`
//!   and `put_cpu`. Walkers need no more than the item before: every CPU that `s` has been on since its snapshot is in
//!   case 1. Dropped: mutants `look-here-and-send-there` and `own-part-of-a-flush-elsewhere`. Likewise TLBSYNC, on the
//!   CPU of its INVLPGBs: mutant `tlbsync-on-another-cpu`.
//! - *A slot is written again only when it was answered, and a round knows its own acks.* `csd_lock`, `csd_unlock`.
//!   Dropped: mutants `slot-reused-before-it-is-answered`, `slot-of-the-cpu-that-waits` and
//!   `next-request-hides-the-answer`.
//! - *A switch, and coming back from lazy mode, run with interrupts off throughout.* `switch_mm_irqs_off`, called by
//!   `context_switch` and by `switch_mm` (`local_irq_save`). Dropped: mutants `switch-with-interrupts-on` and
//!   `unlazy-with-interrupts-on`.
//! - *A CPU that comes back from lazy mode passes a fence, or is not left out.* In Linux `switch_mm_irqs_off` passes
//!   none where the mm has a global ASID. Dropped: mutant `lazy-cpus-skipped-as-if-there-were-a-fence`.
//! - *A CPU that goes offline has the kernel's tables loaded before.* `sched_force_init_mm`, in `sched_cpu_wait_empty`;
//!   up to 6.15 `idle_task_exit` did it afterwards. Its bits stay in cpumasks, as on x86. Dropped: mutants
//!   `offline-with-the-mm-loaded` and `offline-while-lazy`.
//! - *When it looks into its inbox for the last time, no CPU is between a look that has found it online and its last
//!   send.* `stop_machine_cpuslocked` (`take_cpu_down`, `smpcfd_dying_cpu`), since `smp_call_function_many_cond` runs
//!   with preemption off. Here it asks, and an answer is given where no sends are under way. Dropped: mutants
//!   `offline-without-a-stop`, `stop-in-the-middle-of-sends`, `offline-after-an-early-answer`,
//!   `offline-without-an-answer` and `two-go-at-once`: a sender waits for ever, or calls a CPU that is offline.
//! - *No task goes to a CPU that is offline, or is there when it goes.* `balance_push`. A sender that has moved away
//!   has its request in a slot, which is no CPU's. No test would fail: the machine chooses where a task goes
//!   ([`Machine::preempt`]).
//! - *A CPU that comes back drops its whole TLB.* `cr4_init` and `initialize_tlbstate_and_flush`. Dropped: mutants
//!   `back-with-an-old-tlb`, `back-with-kept-asids` and `back-in-the-mask-after-the-flush`.
//! - *Entries are cleared by atomic updates.* `pmdp_collapse_flush` (`pmdp_huge_get_and_clear`); not
//!   `huge_pmd_unshare` and `free_pud_range`, whose `pud_clear` and `p4d_clear` are plain stores: their F1 is the
//!   increment of `tlb_gen` in their flush. Dropped, F1 costs a fence on x86: `switch-joins/plain-clear`.
//! - *No two mms have one number, as far as a CPU remembers it.* `ctx_id` is never used again. Here an mm that begins
//!   anew is one flush further. Dropped: mutant `mm-begins-anew-with-its-tlb-gen`.
//! - *A flush that is left to the hypervisor drops the translations of every PCID* (`kvm_vcpu_flush_tlb_guest`;
//!   `hyperv_flush_tlb_multi` names an address space without its PCID): the vCPU may have read `tlb_gen` before, and
//!   load what it has found up to date. Dropped: mutant `hypervisor-flushes-the-loaded-asid`.
//! - *What skips entries that it finds cleared flushes the batch first that may have cleared them.*
//!   `set_tlb_ubc_flush_pending` and `flush_tlb_batched_pending`, both under the PTE lock. About translations alone: no
//!   ticket rests on the flush of a batch. Dropped: mutants `batch-is-pending-after-the-lock`, `batch-pending-once`
//!   and `protect-skips-what-a-batch-has-cleared`; and `batch-flush-covers-tickets`.
//! - *An mm lives until its rounds are over.* `mmget` or `mmgrab` by the sender. Here a `Snapshot` borrows the mm:
//!   dropped, it does not compile.
//! - *64-bit counters do not wrap.* `tlb_gen` is an `atomic64_t`. No test would fail.
//!
//! # What is not proved
//!
//! - *When* it ends. That it does is looked at by the explorer alone: a state in which no CPU can go on, and one waits,
//!   is a fault, and no state comes again. So every fair execution of a model comes to its end.
//! - More than four CPUs, more than three mms, and executions longer than those of `tests/models`; more than two pages
//!   in a TLB and tables of more than two entries (one, where flushes are not about ranges); pages of both sizes in one
//!   TLB; entries that lead to tables, kept by a CPU, but for the root's in the models of an exit. Histories of hundreds
//!   of steps, with more pages and sizes, are tried at random, one step at a time (`tests/histories`).
//! - Under loom, executions with more preemptions than the bound. Loom also does not switch between a store and a fence
//!   that follows it at once, takes the order of execution for the order of modification, and lets a fence acquire what
//!   is known through another thread; the explorer of x86-TSO has none of these limits, but knows no weaker memory
//!   model than x86's.
//! - The kernel in `arch/`: its interrupt entry, its paging and its emulation of INVLPGB are tested, not proved. So is
//!   what hardware does to a TLB: in the models an INVLPGB and its TLBSYNC order what the AMD manual says that they
//!   order.
//! - The loops of `unmap` over a whole page table, which the kernel's boot tests run.
//!
//! [`redeem`]: crate::pending_gup_sync::PendingGupSync::redeem
//! [`cover`]: crate::pending_gup_sync::AckedByAll::cover
//! [`begin`]: crate::pending_gup_sync::PendingGupSync
//! [`possible_walkers`]: crate::sync_round::possible_walkers
//! [`Cpu::irqs_off`]: crate::world::Cpu::irqs_off
//! [`Cpu::may_migrate`]: crate::world::Cpu::may_migrate
//! [`Cpu::serve`]: crate::world::Cpu::serve
//! [`Machine::preempt`]: crate::machine::Machine::preempt
//! [`Machine::send`]: crate::machine::Machine::send
