//! Flushing by one hypercall, as guests of Xen and Hyper-V do: the hypervisor flushes the TLBs of all vCPUs it is told.
//!
//! # Guarantee
//!
//! As any flush. It proves nothing about walkers: a vCPU that runs is flushed as one that does not, with interrupts off or
//! on, and executes nothing for it. So no CPU leaves the cpumask, no lazy CPU drops the mm, and no CPU's own `tlb_gen`
//! moves, the sender's neither: each is found behind when it next looks, and flushes once more.
//!
//! # Mechanism
//!
//! One hypercall names every CPU of the cpumask, the sender's own too, and CPUs that have another mm loaded (Linux:
//! `hyperv_flush_tlb_multi()`, `xen_flush_tlb_multi()`). A lazy CPU is left out where no table was freed, since it catches up
//! by `tlb_gen`: Hyper-V's way; Xen leaves out none. Where tables were freed it is named, since it may look up
//! translations of what it has loaded at any time.
//!
//! All ASIDs are flushed: a CPU that is switching may have found an ASID up to date, and load it after the flush.
//!
//! If the cpumask holds no other CPU there is no hypercall (`flush_tlb_mm_range()`): this CPU flushes its own TLB, and that
//! proves as much as under any method.
//!
//! In an ASID transition the mm is flushed by interrupts, as under the other methods. (Linux would make the hypercall there
//! too, from `finish_asid_transition()`, and leave each CPU to find its new ASID when it next switches.)

use crate::atomic::Ordering;
use crate::config::FreedTables;
use crate::cpumask::CpuSet;
use crate::event::Event;
use crate::flush::reached::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::smp_call::{Call, FlushCall};
use crate::sync_round::{self, Standing};
use crate::types::{MmId, Range};
use crate::world::{Cpu, IrqsOff};

/// Flushes everything on the CPUs of `mm`, by hypercall if there are others than this one.
pub(crate) fn flush<M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    range: Range,
    freed_tables: FreedTables,
    tlb_gen: u64,
) -> Reached {
    let freed = freed_tables == FreedTables::Yes;
    let begun = sync_round::begin(cpu, mm);
    let mut to = cpu.sets().take();
    let called = cpu.sets().take();
    let mut is_alone = true;
    let targets = sync_round::look(cpu, begun, |other, standing| {
        is_alone = false;
        if freed || standing != Standing::Lazy {
            to.insert(other);
        }
    });
    let call = FlushCall { mm: mm.id, range, tlb_gen };
    let in_flight = targets.issue_and(Call::Flush(call), called, |off| {
        if is_alone {
            return off.flush_own(mm, call);
        }
        if off.is_concerned(mm, freed) {
            to.insert(off.id());
        }
        if !to.is_empty() {
            off.flush_by_hypercall(mm.id, &to);
        }
    });
    let proof = in_flight.wait(cpu);
    cpu.sets().give(to);
    match proof {
        Some(proof) if is_alone => Reached::Mm(proof.cover()),
        _ => Reached::Short,
    }
}

impl<M: Machine> IrqsOff<'_, M> {
    /// Has the hypervisor flush the CPUs of `to`, on behalf of `mm`.
    pub(crate) fn flush_by_hypercall(&self, mm: MmId, to: &CpuSet) {
        self.world().machine.flush_by_hypercall(self.id(), to);
        self.note(mm, Event::Hypercall, 1);
    }

    /// Whether a hypercall names this CPU, which makes it, too.
    fn is_concerned(&self, mm: &Mm, freed: bool) -> bool {
        // Relaxed: only this CPU adds or removes its bit.
        mm.cpumask.contains(self.id(), Ordering::Relaxed) && (freed || !self.state().own_is_lazy())
    }
}
