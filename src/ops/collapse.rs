//! Collapse: the PTE table of a 2 MiB range gives way to one huge entry, as khugepaged does it.
//!
//! Unlink the table, flush, sync; then, and only then, look for pins and copy; put the table aside for reuse and
//! install the huge entry. A page found pinned puts the table back: the operation was tried and has failed.

use crate::atomic::{AtomicU64, Ordering};
use crate::config::FreedTables;
use crate::detect::{Caught, Violation};
use crate::event::Event;
use crate::flush::{self, Reached};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::page_table::{self, Entry};
use crate::ops::operation::{Operation, Step};
use crate::policy::{self, Policy, Unlinked};
use crate::types::{ENTRIES, Frame, FrameSize, PAGE_SIZE, Range, VirtAddr};
use crate::world::Cpu;

/// What the first word of a page holds once the page has been copied away.
pub const COPIED_AWAY: u64 = 0x0ddf_ace0_0ddf_ace0;

/// A collapse between two of its steps.
pub enum Collapse {
    /// Nothing done yet.
    Ready {
        /// The 2 MiB range.
        va: VirtAddr,
        /// Where it will live.
        huge: Frame,
    },
    /// The PTE table is out of reach for walks that begin now.
    Unlinked(Range2M, Unlinked<Frame>),
    /// And no CPU uses a translation from it.
    Flushed(Range2M, Unlinked<Frame>, Reached),
    /// And no walker is inside it.
    Synced(Range2M, Frame),
    /// And none of its pages is pinned.
    Isolated(Range2M, Frame),
}

/// The range that is collapsed, and the entry that it was.
#[derive(Clone, Copy, Debug)]
pub struct Range2M {
    va: VirtAddr,
    huge: Frame,
    table_entry: Entry,
}

/// How a collapse ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The range is mapped by one entry; this table is free for reuse.
    Collapsed(Frame),
    /// A page was pinned: everything is as before, the huge frame unused.
    Pinned,
}

impl Operation for Collapse {
    type Outcome = Outcome;

    fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self> {
        let machine = &cpu.world().machine;
        Step::Next(match self {
            Collapse::Ready { va, huge } => {
                let (table_entry, unlinked) = take_out(cpu, mm, va);
                Collapse::Unlinked(Range2M { va, huge, table_entry }, unlinked)
            }
            Collapse::Unlinked(at, unlinked) => {
                let reached = flush_range(cpu, mm, at.va, &unlinked);
                Collapse::Flushed(at, unlinked, reached)
            }
            Collapse::Flushed(at, unlinked, reached) => {
                Collapse::Synced(at, policy::sync::<P, M, _>(cpu, mm, unlinked, reached))
            }
            Collapse::Synced(at, table) => {
                if mapped(machine, table).any(|(_, page)| machine.page(page).is_pinned()) {
                    page_table::link(pmd(machine, mm, at.va), at.table_entry);
                    cpu.note(mm.id, Event::FoundPinned, 1);
                    return Step::Done(Outcome::Pinned);
                }
                Collapse::Isolated(at, table)
            }
            Collapse::Isolated(at, table) => {
                copy(cpu, mm, at, table);
                return Step::Done(Outcome::Collapsed(table));
            }
        })
    }
}

/// The entry of a 2 MiB range.
pub(crate) fn pmd<'m, M: Machine>(machine: &'m M, mm: &Mm, va: VirtAddr) -> &'m AtomicU64 {
    mm.entry(machine, va, 2).expect("the tables above a PTE table exist")
}

/// Unlinks the PTE table of the range at `va`; the entry that led to it.
///
/// # Panics
///
/// If there is none.
pub(crate) fn take_out<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, va: VirtAddr) -> (Entry, Unlinked<Frame>) {
    let machine = &cpu.world().machine;
    let slot = pmd(machine, mm, va);
    // Relaxed: written by this owner.
    let table_entry = Entry(slot.load(Ordering::Relaxed));
    assert!(table_entry.is_present() && !table_entry.is_huge(), "nothing to collapse at {va:?}");
    let unlinked = policy::unlink(cpu, mm, table_entry.frame(), |batch| {
        batch.clear(slot);
    });
    unlinked.note_at(machine, table_entry.frame());
    (table_entry, unlinked)
}

/// Flushes the range at `va`, whose table was taken out.
pub(crate) fn flush_range<M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    va: VirtAddr,
    unlinked: &Unlinked<Frame>,
) -> Reached {
    let range = Range::small(va, ENTRIES as u64);
    flush::flush(cpu, mm, range, FreedTables::Yes, Some(unlinked.ticket()))
}

/// No walker is inside `table` any more, and none of its pages is pinned: copies them, and takes the table out of use.
fn copy<M: Machine>(cpu: &Cpu<'_, M>, mm: &Mm, at: Range2M, table: Frame) {
    let machine = &cpu.world().machine;
    for (index, page) in mapped(machine, table) {
        let offset = index as u64 * PAGE_SIZE;
        copy_away(cpu, mm, VirtAddr(at.va.0 + offset), page, Frame(at.huge.0 + offset), table);
    }
    page_table::fill(machine, table, Entry::POISON);
    machine.page(at.huge).map();
    page_table::link(pmd(machine, mm, at.va), Entry::huge(at.huge, at.va));
}

/// Copies `page`, mapped at `va` by `table`, which no walker is in, and gives it up.
pub(crate) fn copy_away<M: Machine>(
    cpu: &Cpu<'_, M>,
    mm: &Mm,
    va: VirtAddr,
    page: Frame,
    to: Frame,
    table: Frame,
) {
    let machine = &cpu.world().machine;
    machine.copy(page, to);
    // Relaxed: a reader of the page after this is what the detector is here to catch.
    machine.words(page)[0].store(COPIED_AWAY, Ordering::Relaxed);
    if machine.page(page).put() {
        machine.free(page, FrameSize::Small);
    } else {
        let (kind, cpu_id, ticket) = (Caught::PinnedAfterCopy, cpu.id(), machine.page(table).unlinked_with());
        cpu.world().caught(Violation { kind, cpu: cpu_id, mm: mm.id, va, table: page, ticket });
    }
}

/// The pages that a table maps, with their places.
pub(crate) fn mapped<M: Machine>(machine: &M, table: Frame) -> impl Iterator<Item = (usize, Frame)> + '_ {
    machine.words(table).iter().enumerate().filter_map(|(index, slot)| {
        // Relaxed: ordered by the sync.
        let entry = Entry(slot.load(Ordering::Relaxed));
        entry.is_present().then(|| (index, entry.frame()))
    })
}
