//! Flushing an mm's translations, and who was reached by it.
//!
//! # Guarantee
//!
//! When [`flush`] returns, by any method but [`none`], no CPU uses a translation of the range that was taken from the
//! tables as they were before the call, and none will. [`Reached::Mm`] says more: it was done by real interrupts,
//! acknowledged by every CPU that could have been inside a walk; [`Reached::Short`] promises nothing about walkers.
//!
//! # Mechanism
//!
//! The choice is Linux's: an mm with a global ASID by INVLPGB, any other by interrupts. An mm flushed by
//! interrupts while many CPUs run it is given a global ASID, if the machine has INVLPGB and one is left.
//!
//! | method | reached |
//! |---|---|
//! | [`ipi`] | yes, if each CPU that may have been walking was the sender or acknowledged |
//! | [`hypercall`] | no, if such a CPU was left out because it was preempted; else as by interrupts |
//! | [`hypercall_all`] | no |
//! | [`invlpgb`] | no; in a [`transition`] as by interrupts, if there were stragglers |
//! | [`none`] | no |
//! | [`batch`] | of several mms at once, and no answer: it knows none of them |
//! | this CPU alone | yes: the cpumask, read after the snapshot, holds no other |
//!
//! A new flush method is a new file here, a `mod` line, a line in `methods!` below, and its name in
//! [`FlushMethod`].

pub mod reached;

pub mod answer;

pub mod ipi;

pub mod hypercall;
pub mod hypercall_all;

pub mod none;

pub mod invlpgb;
pub mod transition;

pub mod batch;

pub use reached::Reached;

use crate::atomic::{Ordering, fence};
use crate::config::{FlushMethod, FreedTables};
use crate::event::Event;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::smp_call::Call;
use crate::sync_round;
use crate::types::{MmId, Range};
use crate::world::Cpu;

/// The most pages that are flushed one by one; more are flushed by dropping everything, as in Linux.
const SINGLE_PAGE_CEILING: u64 = 33;

/// Flushes `range` of `mm` everywhere. `ticket` is the number of the caller's own unlink, if it made one.
pub fn flush<M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    range: Range,
    freed_tables: FreedTables,
    ticket: Option<u64>,
) -> Reached {
    let range = match range {
        Range::Pages { pages, .. } if pages > SINGLE_PAGE_CEILING => Range::All,
        other => other,
    };
    let tlb_gen = mm.next_tlb_gen();
    // After F2, which pairs with F8 in `load`: a CPU that runs the mm under an ASID that is not seen here has loaded it
    // after the change, and may leave an interrupt's flush to INVLPGB, as in Linux.
    let reached = if mm.asid.now().is_global() {
        // TLBSYNC waits for the INVLPGBs of the CPU that executes it.
        cpu.pinned(|cpu| by_invlpgb(cpu, mm, range, freed_tables, tlb_gen))
    } else {
        let reached = by_method(cpu, mm, range, freed_tables, tlb_gen);
        cpu.consider_global_asid(mm);
        reached
    };
    if let Reached::Mm(covered) = reached {
        let own = u64::from(ticket.is_some_and(|number| covered.includes(number)));
        cpu.note(mm.id, Event::ClearedByOwnFlush, own);
        cpu.note(mm.id, Event::ClearedByOtherFlush, covered.count() - own);
    }
    reached
}

/// Before page entries of `mm` are changed, and those skipped that are cleared: flushes the whole mm if a batch has cleared some
/// of it and may be pending (Linux: `flush_tlb_batched_pending()`, where `flush_tlb_mm()` flushes as if tables were freed).
/// The caller holds the PTE lock.
pub(crate) fn flush_pending<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    if let Some(due) = mm.batched.due() {
        // Whom it reached is another matter: no table was unlinked.
        let _ = flush(cpu, mm, Range::All, FreedTables::Yes, None);
        mm.batched.flushed(due);
    }
}

macro_rules! methods {
    ($($method:ident => $module:ident),+ $(,)?) => {
        /// By the method of an mm that has no global ASID.
        fn by_method<M: Machine>(
            cpu: &mut Cpu<'_, M>,
            mm: &Mm,
            range: Range,
            freed_tables: FreedTables,
            tlb_gen: u64,
        ) -> Reached {
            match mm.config.flush {
                $(FlushMethod::$method => $module::flush(cpu, mm, range, freed_tables, tlb_gen)),+
            }
        }
    };
}

methods! {
    Ipi => ipi,
    Hypercall => hypercall,
    HypercallAll => hypercall_all,
    None => none,
}

/// Proves nothing about walkers, unless the mm is in transition and some CPU still runs it under its old ASID: then it
/// is flushed by interrupts too, as any flush of that kind (Linux: `finish_asid_transition()` hands `flush_tlb_info`
/// on).
fn by_invlpgb<M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    range: Range,
    freed_tables: FreedTables,
    tlb_gen: u64,
) -> Reached {
    invlpgb::start(cpu, mm, range);
    let reached = if mm.asid.is_in_transition() && !cpu.try_end_transition(mm) {
        ipi::flush(cpu, mm, range, freed_tables, tlb_gen)
    } else {
        Reached::Short
    };
    invlpgb::complete(cpu, mm.id);
    reached
}

/// Flushes the kernel's range everywhere: by INVLPGB where it is used, else by interrupting every CPU.
pub fn kernel_range<M: Machine>(cpu: &mut Cpu<'_, M>) {
    if cpu.world().config.invlpgb {
        invlpgb::flush_everything(cpu);
    } else {
        // F10: the caller's change is visible before it is looked who is online. Pairs with F9 in `come_online`: a CPU that
        // is not found drops its TLB later, and looks up what was changed.
        fence(Ordering::SeqCst);
        sync_round::everyone_and(cpu, Call::Kernel, MmId::KERNEL, |cpu| {
            cpu.world().machine.flush_all(cpu.id());
        });
    }
}
