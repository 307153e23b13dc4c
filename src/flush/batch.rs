//! Batched flushing: pages of several mms are unmapped, and one flush makes all CPUs forget them.
//!
//! # Guarantee
//!
//! When [`UnmapBatch::flush`] returns, no CPU uses a translation of a page that was unmapped and added to the batch, of
//! whichever mm, and none will.
//!
//! A batch proves nothing about walkers: it covers no ticket of any mm, and its flush returns nothing. A proof takes a
//! [`Snapshot`] of the mm before its targets are looked for, and an ack of each that may walk; a batch has seen each
//! cpumask at another time, and knows by the time of its flush neither the mms nor who has loaded one of them since. It
//! could have a snapshot for each mm, taken when that is added: then what it covers is what was unlinked before. It would
//! cost a place for each mm in each task, where Linux has one cpumask for all, and a reference to each, which Linux does
//! not take either (`struct arch_tlbflush_unmap_batch`). No table is unlinked by what fills a batch, so none waits for it.
//!
//! # Mechanism
//!
//! Linux's `set_tlb_ubc_flush_pending()` and `try_to_unmap_flush()`. A page entry is cleared; then the mm's `tlb_gen` is
//! raised; then its cpumask is added to that of the batch (`arch_tlbbatch_add_pending()`). A CPU that joins the mm later is
//! not in it, and reads the cleared entry.
//!
//! The flush (`arch_tlbbatch_flush()`) is an INVLPGB of every ASID, where that is used; it needs no cpumask. Else the CPUs
//! of the batch are interrupted, those too that have another mm loaded by now, since the request names none; and each drops
//! all that it holds of *the mm that it has loaded*, if that is behind (`flush_tlb_func()`). That is enough: what it
//! keeps of an mm that it has left, under a local ASID, is behind, and is dropped when it loads that again. Lazy CPUs are
//! left out (`should_flush_tlb()`): they catch up by `tlb_gen` when they come back.
//!
//! Guests flush a batch as they flush an mm: KVM's leave preempted vCPUs to the hypervisor (`kvm_flush_tlb_multi()`), those of
//! Hyper-V all vCPUs but lazy ones (`hyperv_flush_tlb_multi()`, which asks for every address space where it is told no mm).
//!
//! Between the unmapping and the flush another thread may protect or unmap the same range, which skips what it finds
//! cleared, and come back to its caller while a CPU still uses the page. So each looks first whether a batch is pending
//! (`flush_tlb_batched_pending()`), under the lock under which the entry was cleared. The flush of the batch itself does not
//! say to any mm that it is done: one protect or unmap more flushes, for nothing.
//!
//! [`Snapshot`]: crate::pending_gup_sync::Snapshot

use crate::atomic::Ordering;
use crate::config::FlushMethod;
use crate::cpumask::CpuSet;
use crate::event::Event;
use crate::flush::invlpgb;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::smp_call::Call;
use crate::sync_round;
use crate::types::MmId;
use crate::world::Cpu;

/// Pages that are unmapped, and the CPUs that may still use them.
#[must_use = "until `flush`, a CPU may use a page that is unmapped"]
pub struct UnmapBatch {
    cpus: CpuSet,
    /// How its mms are flushed: all alike in a guest, by interrupts where they differ.
    method: Option<FlushMethod>,
}

impl UnmapBatch {
    /// Nothing unmapped yet.
    pub fn new<M: Machine>(cpu: &mut Cpu<'_, M>) -> Self {
        UnmapBatch { cpus: cpu.sets().take(), method: None }
    }

    /// Adds pages of `mm` whose entries were cleared under its PTE lock, which is held still: what finds one of them cleared
    /// finds the batch pending.
    pub(crate) fn add(&mut self, mm: &Mm) {
        // The clears come before F2, and that before the look at the cpumask, and at who is lazy in `flush`. A CPU that has
        // left is behind.
        let _ = mm.next_tlb_gen();
        // Acquire: pairs with the Release in `leave`; what a CPU did with the page came before it left.
        mm.cpumask.for_each(Ordering::Acquire, |cpu| self.cpus.insert(cpu));
        let method = mm.config.flush;
        let is_alike = self.method.is_none_or(|others| others == method);
        self.method = Some(if is_alike { method } else { FlushMethod::Ipi });
        mm.batched.add();
    }

    /// Makes every CPU forget the pages, on behalf of no mm.
    pub fn flush<M: Machine>(self, cpu: &mut Cpu<'_, M>) {
        if cpu.world().config.invlpgb {
            // TLBSYNC waits for the INVLPGBs of the CPU that executes it.
            cpu.pinned(|cpu| invlpgb::flush_all_mms(cpu));
            cpu.sets().give(self.cpus);
        } else {
            self.flush_cpus(cpu);
        }
    }

    /// Of the CPUs in it, those that are not lazy, and this one.
    fn flush_cpus<M: Machine>(self, cpu: &mut Cpu<'_, M>) {
        let UnmapBatch { cpus, method } = self;
        let (world, me, mut to, mut deferred) = (cpu.world(), cpu.id(), cpu.sets().take(), 0);
        cpus.for_each(|other| {
            if other == me || world.is_lazy(other) {
                return;
            }
            if method == Some(FlushMethod::Hypercall) && world.defer_flush(other) {
                deferred += 1;
            } else {
                to.insert(other);
            }
        });
        cpu.note(MmId::KERNEL, Event::Hypercall, deferred);
        if method == Some(FlushMethod::HypercallAll) && !to.is_empty() {
            cpu.irqs_off(|off| off.flush_by_hypercall(MmId::KERNEL, &to));
            to.clear();
        }
        let in_flight = sync_round::issue(cpu, Call::Batch, to, ());
        if cpus.contains(me) {
            cpu.irqs_off(|off| off.flush_loaded());
        }
        cpu.sets().give(cpus);
        in_flight.wait(cpu);
    }
}
