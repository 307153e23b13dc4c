//! Protect: pages lose the right to be written. No table is unlinked, so there is nothing to sync: a plain flush.

use crate::atomic::Ordering;
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
                let machine = &cpu.world().machine;
                let level = match size {
                    FrameSize::Small => 1,
                    FrameSize::Huge => 2,
                };
                for page in 0..pages {
                    let va = VirtAddr(start.0 + page * size.bytes());
                    let slot = mm.entry(machine, va, level).expect("a page that is mapped has its tables");
                    // Relaxed: written by this owner; F2 orders the change before the flush looks for its targets.
                    let entry = Entry(slot.load(Ordering::Relaxed));
                    if entry.is_present() {
                        slot.store(entry.read_only().0, Ordering::Relaxed);
                    }
                }
                Step::Next(Protect::Changed(Range::Pages { start, pages, size }))
            }
            Protect::Changed(range) => {
                let _ = flush::flush(cpu, mm, range, FreedTables::No, None);
                Step::Done(())
            }
        }
    }
}
