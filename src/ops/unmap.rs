//! Unmap: pages and their PTE tables go, through an `mmu_gather`.
//!
//! The gather collects what is unlinked; when it is full, and at the end, it flushes, and only then are pages freed.
//! Tables are not freed even then, because a walker may be inside: they are *deferred*, and the operation does not
//! wait. Where there is no memory for a gather, tables go one by one, each with a flush of its own, and are deferred too
//! (Linux: `tlb_remove_table_one()`, which sends no interrupt since `CONFIG_PT_RECLAIM` is always on).
//!
//! Before page entries are cleared it looks whether a batch is pending, as Linux's `zap_pte_range()` does
//! ([`crate::flush::batch`]). Here that is no more than a cost: the flush that comes with the tables is of the whole range.

use alloc::vec::Vec;
use core::mem;

use crate::atomic::Ordering;
use crate::config::FreedTables;
use crate::flush;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::page_table::Entry;
use crate::ops::deferred::Deferred;
use crate::ops::operation::{Operation, Step};
use crate::policy::{self, Policy, Unlinked};
use crate::types::{ENTRIES, Frame, HUGE_SIZE, PAGE_SIZE, Range, VirtAddr};
use crate::world::Cpu;

/// The places for pages that are there without memory for more, as in Linux (`MMU_GATHER_BUNDLE`).
const BUNDLE: usize = 8;

/// How much a gather holds before it must flush. Tables are batched apart from pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// For so many pages; 0 if there is no memory, neither for these nor for tables.
    pub pages: usize,
    /// For so many tables.
    pub tables: usize,
}

impl Room {
    /// Linux's on a machine of 64 bits: the bundle and 19 pages full (`MAX_GATHER_BATCH_COUNT`); what a page holds
    /// beside its head (`MAX_TABLE_BATCH`).
    pub const LINUX: Room = Room { pages: BUNDLE + 19 * 510, tables: 509 };
}

/// An unmap between two of its steps.
pub struct Unmap {
    gather: Gather,
    state: State,
}

/// What is on its way out.
struct Gather {
    start: VirtAddr,
    /// How many ranges of 2 MiB go.
    ranges: u64,
    room: Room,
    pages: Vec<Frame>,
    deferred: Unmapped,
}

/// How an unmap ended: with tables that are to be freed.
pub type Unmapped = Vec<Deferred<Vec<Frame>>>;

enum State {
    /// Page entries are being cleared, from this page on.
    Pages(u64),
    /// The gather is full of pages; afterwards it goes on from this one.
    Full(u64),
    /// Tables are being unlinked, from this range on.
    Tables(u64),
    /// Some are; afterwards it goes on from this range.
    Unlinked(Unlinked<Vec<Frame>>, u64),
}

impl Unmap {
    /// Unmaps `ranges` ranges of 2 MiB from `start`, each with a PTE table, through a gather that has `room`.
    pub fn new(start: VirtAddr, ranges: u64, room: Room) -> Self {
        let gather = Gather { start, ranges, room, pages: Vec::new(), deferred: Vec::new() };
        Unmap { gather, state: State::Pages(0) }
    }

    /// Whether the pages are gone, and the first table is next.
    pub fn is_at_tables(&self) -> bool {
        matches!(self.state, State::Tables(0))
    }
}

impl Operation for Unmap {
    type Outcome = Unmapped;

    fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self> {
        let Unmap { mut gather, state } = self;
        let next = match state {
            State::Pages(from) => gather.clear_pages(cpu, mm, from),
            State::Full(next) => {
                gather.flush(cpu, mm, FreedTables::No, None);
                State::Pages(next)
            }
            State::Tables(range) if range == gather.ranges => {
                if !gather.pages.is_empty() {
                    gather.flush(cpu, mm, FreedTables::No, None);
                }
                return Step::Done(gather.deferred);
            }
            State::Tables(from) => gather.unlink_tables(cpu, mm, from),
            State::Unlinked(unlinked, next) => {
                gather.flush(cpu, mm, FreedTables::Yes, Some(unlinked.ticket()));
                gather.deferred.push(Deferred::new(cpu, mm.id, unlinked.into_ticket()));
                State::Tables(next)
            }
        };
        Step::Next(Unmap { gather, state: next })
    }
}

impl Gather {
    fn range(&self, index: u64) -> VirtAddr {
        VirtAddr(self.start.0 + index * HUGE_SIZE)
    }

    /// Clears the entries of pages until there are no more, or no room for more.
    fn clear_pages<M: Machine>(&mut self, cpu: &mut Cpu<'_, M>, mm: &Mm, from: u64) -> State {
        cpu.with_pte_lock(mm, |cpu| {
            flush::flush_pending(cpu, mm);
            let machine = &cpu.world().machine;
            let room = if self.room.pages == 0 { BUNDLE } else { self.room.pages };
            for page in from..self.ranges * ENTRIES as u64 {
                let va = VirtAddr(self.start.0 + page * PAGE_SIZE);
                let slot = mm.entry(machine, va, 1).expect("the range has its tables");
                // Relaxed: the PTE lock orders them. A swap, because the MMU may write too; F2 orders it before the flush
                // looks.
                if Entry(slot.load(Ordering::Relaxed)).is_present() {
                    self.pages.push(Entry(slot.swap(0, Ordering::Relaxed)).frame());
                    if self.pages.len() == room {
                        return State::Full(page + 1);
                    }
                }
            }
            State::Tables(0)
        })
    }

    /// Unlinks as many tables as there is room for: one, without memory.
    fn unlink_tables<M: Machine>(&mut self, cpu: &mut Cpu<'_, M>, mm: &Mm, from: u64) -> State {
        let machine = &cpu.world().machine;
        let room = if self.room.pages == 0 { 1 } else { self.room.tables };
        let next = self.ranges.min(from + room as u64);
        let slots = || {
            let slot = |range| mm.entry(machine, self.range(range), 2);
            (from..next).map(slot).map(|slot| slot.expect("the range has its tables"))
        };
        // Relaxed: written by this owner.
        let tables: Vec<_> = slots().map(|slot| Entry(slot.load(Ordering::Relaxed)).frame()).collect();
        let unlinked = policy::unlink(cpu, mm, tables.clone(), |batch| {
            slots().for_each(|slot| {
                batch.clear(slot);
            });
        });
        tables.iter().for_each(|&table| unlinked.note_at(machine, table));
        State::Unlinked(unlinked, next)
    }

    /// Flushes, and frees the pages.
    fn flush<M: Machine>(
        &mut self,
        cpu: &mut Cpu<'_, M>,
        mm: &Mm,
        freed_tables: FreedTables,
        ticket: Option<u64>,
    ) {
        let range = Range::small(self.start, self.ranges * ENTRIES as u64);
        // Whom it reached says nothing here: no sync follows.
        let _ = flush::flush(cpu, mm, range, freed_tables, ticket);
        mem::take(&mut self.pages).into_iter().for_each(|page| cpu.world().put_page(page));
    }
}
