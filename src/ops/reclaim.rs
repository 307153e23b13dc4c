//! Reclaim: pages of several mms are unmapped, one after the other; then one flush is for all, and the pages go.
//!
//! Linux's `shrink_folio_list()`: `try_to_unmap_one()` clears entries under the PTE lock, and adds the mm to the batch of the
//! task (here all pages of an mm at a time, as of one large folio); `try_to_unmap_flush()` comes before the pages are freed.
//! It holds the lock of the reverse map, and not `mmap_lock`: the tables stay, but what the entries of the range hold may be
//! changed by their owner between two steps, and is, by [`crate::ops::protect`] and [`crate::ops::unmap`].
//!
//! No table is unlinked, so there is nothing to sync, and no ticket. See [`crate::flush::batch`] for what the flush says, and
//! what it does not.

use alloc::vec::Vec;

use crate::atomic::Ordering;
use crate::flush::batch::UnmapBatch;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::page_table::Entry;
use crate::ops::operation::{Operation, Step};
use crate::policy::Policy;
use crate::types::{Frame, MmId, PAGE_SIZE, VirtAddr};
use crate::world::Cpu;

/// Pages of one mm that are to be reclaimed, of 4 KiB; those that are not mapped are none.
#[derive(Clone, Copy, Debug)]
pub struct Victim {
    /// The mm.
    pub mm: MmId,
    /// The first page.
    pub start: VirtAddr,
    /// How many.
    pub pages: u64,
}

/// A reclaim between two of its steps.
pub struct Reclaim {
    batch: UnmapBatch,
    /// Still mapped, the next one last.
    mapped: Vec<Victim>,
    /// Unmapped, and not flushed.
    pages: Vec<Frame>,
}

impl Reclaim {
    /// Reclaims `victims`.
    pub fn new<M: Machine>(cpu: &mut Cpu<'_, M>, mut victims: Vec<Victim>) -> Self {
        victims.reverse();
        Reclaim { batch: UnmapBatch::new(cpu), mapped: victims, pages: Vec::new() }
    }

    /// Whether all pages are unmapped, and the flush is next.
    pub fn is_unmapped(&self) -> bool {
        self.mapped.is_empty()
    }

    fn unmap<M: Machine>(&mut self, cpu: &mut Cpu<'_, M>, victim: Victim) {
        let world = cpu.world();
        let (mm, machine) = (world.mm(victim.mm), &world.machine);
        cpu.with_pte_lock(mm, |_| {
            for page in 0..victim.pages {
                let va = VirtAddr(victim.start.0 + page * PAGE_SIZE);
                let slot = mm.entry(machine, va, 1).expect("the range has its tables");
                // Relaxed: the PTE lock orders them. A swap, because the MMU may write too; F2 orders it before the batch
                // looks at the cpumask.
                if Entry(slot.load(Ordering::Relaxed)).is_present() {
                    self.pages.push(Entry(slot.swap(0, Ordering::Relaxed)).frame());
                }
            }
            self.batch.add(mm);
        });
    }
}

impl Operation for Reclaim {
    type Outcome = ();

    /// Each victim names its mm: the one that the step is given is not looked at.
    fn step<P: Policy, M: Machine>(mut self, cpu: &mut Cpu<'_, M>, _: &Mm) -> Step<Self> {
        if let Some(victim) = self.mapped.pop() {
            self.unmap(cpu, victim);
            return Step::Next(self);
        }
        self.batch.flush(cpu);
        self.pages.into_iter().for_each(|page| cpu.world().put_page(page));
        Step::Done(())
    }
}
