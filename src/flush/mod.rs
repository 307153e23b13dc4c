//! Flushing an mm's translations, and who was reached by it.
//!
//! # Guarantee
//!
//! When [`flush`] returns, no CPU uses a translation of the range that was taken from the tables as they were
//! before the call, and none will. [`Reached::Mm`] says more: it was done by real interrupts, acknowledged by
//! every CPU that could have been inside a walk; [`Reached::Short`] promises nothing about walkers.
//!
//! # Mechanism
//!
//! The choice is Linux's: an mm with a global ASID by INVLPGB, any other by interrupts. An mm flushed by
//! interrupts while many CPUs run it is given a global ASID, if the machine has INVLPGB and one is left.
//!
//! | method | reached |
//! |---|---|
//! | [`ipi`] | yes, if every CPU of the mm was the sender, skippable, or acknowledged |
//! | [`hypercall`] | no, if a vCPU was left out because it was preempted; else as by interrupts |
//! | [`invlpgb`] | no; in an ASID transition yes, if stragglers made it an interrupt to the whole mask |
//! | this CPU alone | yes: the cpumask, read after the snapshot, holds no other |

pub mod hypercall;
pub mod invlpgb;
pub mod ipi;

use crate::call::Call;
use crate::machine::{Event, Machine, Range};
use crate::mm::{Mm, MmId};
use crate::pending_gup_sync::Covered;
use crate::sync;
use crate::world::Cpu;

/// How a machine flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushConfig {
    /// Whether INVLPGB is used at all.
    pub invlpgb: bool,
    /// An mm gets a global ASID once this many CPUs run it.
    pub threshold: usize,
    /// How many global ASIDs there are.
    pub asids: usize,
    /// Whether some mm leaves preempted vCPUs to the hypervisor.
    pub hypercall: bool,
    /// How an unshare flushes.
    pub unshare_flush: Tables,
}

impl FlushConfig {
    /// Whether every flush on this machine is an interrupt: known at boot, for all mms at once.
    pub fn flushes_are_interrupts(&self) -> bool {
        !self.invlpgb && !self.hypercall
    }
}

/// What happened to the tables of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Only last-level entries changed. CPUs that do not use the mm now are left to catch up.
    Kept,
    /// A table was unlinked. No CPU may keep even a cached path to it: all of the cpumask are interrupted.
    Freed,
}

/// Whether a flush proved something about walkers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "who was reached decides whether a sync is due"]
pub enum Reached {
    /// Every CPU of the mm; these tickets were covered by it.
    Mm(Covered),
    /// Not all, or not by an interrupt.
    Short,
}

impl Reached {
    /// Whether it was every CPU of the mm.
    pub fn is_mm(self) -> bool {
        matches!(self, Reached::Mm(_))
    }
}

/// The most pages that are flushed one by one; more are flushed by dropping everything, as in Linux.
const SINGLE_PAGE_CEILING: u64 = 33;

/// Flushes `range` of `mm` everywhere. `ticket` is the number of the caller's own unlink, if it made one.
pub fn flush<M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    range: Range,
    tables: Tables,
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
        invlpgb::flush(cpu, mm, range, tlb_gen)
    } else {
        let reached = ipi::flush(cpu, mm, range, tables, tlb_gen);
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

/// Flushes the kernel's range everywhere: by INVLPGB where it is used, else by interrupting every CPU.
pub fn kernel_range<M: Machine>(cpu: &mut Cpu<'_, M>) {
    if cpu.world().config.invlpgb {
        invlpgb::flush_everything(cpu);
    } else {
        cpu.world().machine.flush_local(cpu.id(), Range::All);
        sync::everyone(cpu, Call::Kernel, MmId::KERNEL);
    }
}
