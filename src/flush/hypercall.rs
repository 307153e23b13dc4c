//! Flushing by hypercall, as KVM guests do: a preempted vCPU is left to the hypervisor.
//!
//! # Guarantee
//!
//! A vCPU that was deferred uses no translation from before the flush: it drops them all before it goes on. It was
//! not interrupted, and may have been preempted *inside* a walk: deferring it proves nothing about walkers.
//!
//! # Mechanism
//!
//! One word per vCPU, which the hypervisor sets to PREEMPTED when it takes the CPU away. A sender that flushes
//! adds FLUSH to it and sends nothing; if the vCPU is running again by then, it is interrupted like any other.

use crate::atomic::Ordering;
use crate::config::FreedTables;
use crate::event::Event;
use crate::flush::ipi;
use crate::flush::reached::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::types::{CpuId, Range};
use crate::world::{Cpu, IrqsOff, World};

const RUNNING: u64 = 0;
const PREEMPTED: u64 = 1;
const PREEMPTED_FLUSH: u64 = 2;

/// Flushes `range` of `mm` by interrupts, and leaves preempted vCPUs to the hypervisor. As [`ipi::flush`], if there are
/// none.
pub(crate) fn flush<M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    range: Range,
    freed_tables: FreedTables,
    tlb_gen: u64,
) -> Reached {
    let world = cpu.world();
    let mut deferred = 0;
    let reached = ipi::flush_but(cpu, mm, range, freed_tables, tlb_gen, |other| {
        let is_deferred = world.defer_flush(other);
        deferred += u64::from(is_deferred);
        is_deferred
    });
    cpu.note(mm.id, Event::Hypercall, deferred);
    reached
}

impl<M: Machine> World<M> {
    /// Leaves the flush of `cpu` to the hypervisor, if it is preempted.
    pub(crate) fn defer_flush(&self, cpu: CpuId) -> bool {
        let word = &self.cpus[cpu.0].preempted;
        // Release: pairs with the Acquire in `resume`; the change is visible to what the vCPU does after its flush.
        // Acquire: pairs with the Release in `preempt`; what the vCPU did with the old translations came before, and its
        // ack is not awaited. Relaxed on failure: it is interrupted then, or looked at again.
        match word.compare_exchange(PREEMPTED, PREEMPTED_FLUSH, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => true,
            // Another sender has deferred a flush.
            // Acquire and Release: pairs with `preempt` and `resume` as above; this change, too, is to be visible.
            Err(PREEMPTED_FLUSH) => word
                .compare_exchange(PREEMPTED_FLUSH, PREEMPTED_FLUSH, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok(),
            Err(_) => false,
        }
    }
}

impl<M: Machine> IrqsOff<'_, M> {
    /// The hypervisor takes this vCPU away, wherever it is.
    pub fn preempt(&self) {
        // Release: pairs with the Acquire in `defer_flush`; what was done with old translations is over.
        self.state().preempted.store(PREEMPTED, Ordering::Release);
        self.note(self.state().own_loaded_mm(), Event::Preempted, 1);
    }

    /// The hypervisor lets this vCPU go on.
    pub fn resume(&self) {
        // Acquire: pairs with the Release in `defer_flush`; the flush comes after the change.
        if self.state().preempted.swap(RUNNING, Ordering::Acquire) == PREEMPTED_FLUSH {
            self.world().machine.flush_all(self.id());
        }
    }
}
