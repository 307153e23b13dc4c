//! Protect: pages lose the right to be written. No table is unlinked, so there is nothing to sync: a plain flush, from the
//! first page that was changed to the last (Linux: `change_protection()`, through an `mmu_gather`).
//!
//! What is not mapped is skipped: a batch that has unmapped it may not have been flushed yet ([`crate::flush::batch`]).

use crate::atomic::{AtomicU64, Ordering};
use crate::config::FreedTables;
use crate::flush;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::page_table::Entry;
use crate::ops::operation::{Operation, Step};
use crate::policy::Policy;
use crate::types::{FrameSize, Range, VirtAddr};
use crate::world::Cpu;

/// A protect between two of its steps.
#[derive(Clone, Copy, Debug)]
pub enum Protect {
    /// Nothing done yet.
    Ready {
        /// The first page.
        start: VirtAddr,
        /// How many.
        pages: u64,
        /// How large they are.
        size: FrameSize,
    },
    /// The entries are changed; TLBs are not.
    Changed(Range),
}

impl Operation for Protect {
    type Outcome = ();

    fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self> {
        match self {
            Protect::Ready { start, pages, size } => {
                let page = |page| VirtAddr(start.0 + page * size.bytes());
                let changed = cpu.with_pte_lock(mm, |cpu| {
                    flush::flush_pending(cpu, mm);
                    let machine = &cpu.world().machine;
                    let slot = |va| mm.entry(machine, va, size.level()).expect("the range has its tables");
                    let is_changed = |index: &u64| make_read_only(slot(page(*index)));
                    (0..pages).filter(is_changed).fold(None, |range: Option<(u64, u64)>, index| {
                        Some((range.map_or(index, |(first, _)| first), index))
                    })
                });
                let Some((first, last)) = changed else { return Step::Done(()) };
                Step::Next(Protect::Changed(Range::Pages { start: page(first), pages: last - first + 1, size }))
            }
            Protect::Changed(range) => {
                let _ = flush::flush(cpu, mm, range, FreedTables::No, None);
                Step::Done(())
            }
        }
    }
}

/// Takes the right to write from the page that `slot` maps, if it maps one; says whether it does.
fn make_read_only(slot: &AtomicU64) -> bool {
    // Relaxed, both: the PTE lock orders them; F2 orders the change before the flush looks for its targets.
    let entry = Entry(slot.load(Ordering::Relaxed));
    if entry.is_present() {
        slot.store(entry.read_only().0, Ordering::Relaxed);
    }
    entry.is_present()
}
