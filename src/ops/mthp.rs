//! mTHP collapse: the pages of a candidate, `1 << order` of them aligned, move into one folio. As khugepaged does it since
//! Linux 7.2, the *whole* PTE table is taken out for each candidate, and the *same* table put back.
//!
//! Unlink the table, flush, sync; then look for pins, copy, and put the table back. A candidate with a pinned page is left as
//! it was. With a batch of several the table is taken out once for all of them: one ticket, one flush, one sync.
//!
//! A folio's frames need not lie together here: nothing looks. Holes stay holes, where khugepaged would map zeroed pages.

use alloc::vec::Vec;

use crate::atomic::Ordering;
use crate::event::Event;
use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::page_table::{self, Entry};
use crate::ops::collapse;
use crate::ops::operation::{Operation, Step};
use crate::policy::{self, Policy, Unlinked};
use crate::types::{ENTRIES, Frame, PAGE_SIZE, VirtAddr};
use crate::world::Cpu;

/// The order of a PMD-mapped folio: what [`collapse`] makes.
pub const PMD_ORDER: u64 = 9;

/// All candidates of a 2 MiB range, between two steps.
pub struct Mthp {
    range: Candidates,
    state: State,
}

struct Candidates {
    va: VirtAddr,
    order: u64,
    batch: usize,
    /// The first that has not been looked at.
    next: usize,
    /// Pages to copy to.
    fresh: Vec<Frame>,
    pinned: u64,
}

enum State {
    /// The table is linked.
    Linked,
    /// It is out of reach for walks that begin now.
    Unlinked(Entry, Unlinked<Frame>),
    /// And no CPU uses a translation from it.
    Flushed(Entry, Unlinked<Frame>, Reached),
    /// And no walker is inside it.
    Synced(Entry, Frame),
}

/// How it ended.
pub struct Outcome {
    /// How many candidates had a pinned page, and were left as they were.
    pub pinned: u64,
    /// Pages that were not needed.
    pub left: Vec<Frame>,
}

impl Mthp {
    /// Collapses every candidate of `order` in the range at `va`, `batch` of them at a time, into `fresh` pages: one for each
    /// that is mapped there.
    ///
    /// # Panics
    ///
    /// If `order` is none below [`PMD_ORDER`], or `batch` is 0.
    pub fn new(va: VirtAddr, order: u64, batch: usize, fresh: Vec<Frame>) -> Self {
        assert!(order < PMD_ORDER && batch > 0, "order {order}, {batch} at a time");
        Mthp { range: Candidates { va, order, batch, next: 0, fresh, pinned: 0 }, state: State::Linked }
    }

    /// Whether nothing has been done yet.
    pub fn is_ready(&self) -> bool {
        self.range.next == 0 && matches!(self.state, State::Linked)
    }
}

impl Operation for Mthp {
    type Outcome = Outcome;

    fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self> {
        let Mthp { mut range, state } = self;
        let next = match state {
            State::Linked if range.is_through() => {
                cpu.note(mm.id, Event::FoundPinned, u64::from(range.pinned > 0));
                return Step::Done(Outcome { pinned: range.pinned, left: range.fresh });
            }
            State::Linked => {
                let (entry, unlinked) = collapse::take_out(cpu, mm, range.va);
                State::Unlinked(entry, unlinked)
            }
            State::Unlinked(entry, unlinked) => {
                let reached = collapse::flush_range(cpu, mm, range.va, &unlinked);
                State::Flushed(entry, unlinked, reached)
            }
            State::Flushed(entry, unlinked, reached) => {
                State::Synced(entry, policy::sync::<P, M, _>(cpu, mm, unlinked, reached))
            }
            State::Synced(entry, table) => {
                cpu.world().machine.page(table).count_isolation();
                range.collapse_batch(cpu, mm, table);
                page_table::link(collapse::pmd(&cpu.world().machine, mm, range.va), entry);
                State::Linked
            }
        };
        Step::Next(Mthp { range, state: next })
    }
}

impl Candidates {
    fn is_through(&self) -> bool {
        self.next << self.order == ENTRIES
    }

    /// No walker is inside `table`.
    fn collapse_batch<M: Machine>(&mut self, cpu: &Cpu<'_, M>, mm: &Mm, table: Frame) {
        for _ in 0..self.batch {
            if self.is_through() {
                break;
            }
            self.collapse_next(cpu, mm, table);
        }
    }

    fn collapse_next<M: Machine>(&mut self, cpu: &Cpu<'_, M>, mm: &Mm, table: Frame) {
        let machine = &cpu.world().machine;
        let (first, end) = (self.next << self.order, (self.next + 1) << self.order);
        self.next += 1;
        let pages = || collapse::mapped(machine, table).filter(|(index, _)| (first..end).contains(index));
        if pages().any(|(_, page)| machine.page(page).is_pinned()) {
            self.pinned += 1;
            return;
        }
        for (index, page) in pages() {
            let to = self.fresh.pop().expect("a fresh page for each that is mapped");
            let va = VirtAddr(self.va.0 + index as u64 * PAGE_SIZE);
            collapse::copy_away(cpu, mm, va, page, to, table);
            machine.page(to).map();
            // Relaxed: published with the table, by `link`.
            machine.words(table)[index].store(Entry::to(to, self.va).0, Ordering::Relaxed);
        }
    }
}
