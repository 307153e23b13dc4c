//! Unshare: mms come to share PMD tables, and leave them; the last one may take them for itself.
//!
//! All drops of one leave follow its one flush and its written debts, and all tables that it leaves with one sharer are
//! settled by one sync. See [`crate::mm::shared_table`] for the states.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::atomic::{AtomicU64, Ordering};
use crate::flush::{self, Reached};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::page_table::{self, Entry};
use crate::mm::shared_table::{Attempt, Dropped, SharedTable};
use crate::ops::deferred::Deferred;
use crate::ops::operation::{Operation, Step};
use crate::policy::{self, Policy, Unlinked};
use crate::types::{ENTRIES, Frame, FrameSize, HUGE_SIZE, MmId, Range};
use crate::world::Cpu;

/// What one PMD table maps.
pub const TABLE_SIZE: u64 = HUGE_SIZE * ENTRIES as u64;

/// SharedTables that are shared, or were.
pub type SharedTables = Vec<Arc<SharedTable>>;

fn slot<'m, M: Machine>(machine: &'m M, mm: &Mm, table: &SharedTable) -> &'m AtomicU64 {
    mm.entry(machine, table.va, 3).expect("the tables above were made with the sharing")
}

/// Links `table` in `mm`, which has a share of it.
pub fn link<M: Machine>(machine: &M, mm: &Mm, table: &SharedTable) {
    page_table::link(slot(machine, mm, table), Entry::to(table.frame, table.va));
}

/// An mm leaves, between two steps.
pub struct Leave {
    tables: SharedTables,
    state: Leaving,
}

/// How a leave ended: with tables to be freed, if it was the last to leave them.
pub type Left = Option<Deferred<Vec<Frame>>>;

enum Leaving {
    /// Nothing done yet.
    Ready,
    /// The tables are out of reach for walks of this mm that begin now. The ticket carries all of them: which are this
    /// mm's to free shows when the shares are dropped.
    Unlinked(Unlinked<Vec<Frame>>),
    /// And no CPU uses a translation of this mm from them.
    Flushed(Unlinked<Vec<Frame>>, Reached),
    /// And it is written down which CPUs may still walk them.
    Indebted(Unlinked<Vec<Frame>>, Reached),
    /// The shares are given up. These are to be settled, and those freed.
    Dropped(Unlinked<Vec<Frame>>, Reached, SharedTables, SharedTables),
    /// What was to be settled is; these are to be freed.
    Settled(Unlinked<Vec<Frame>>, SharedTables),
}

impl Leave {
    /// An mm that has a share of each of `tables` gives it up.
    pub fn new(tables: SharedTables) -> Self {
        Leave { tables, state: Leaving::Ready }
    }

    /// Whether nothing has been done yet.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, Leaving::Ready)
    }
}

impl Operation for Leave {
    type Outcome = Left;

    fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self> {
        let Leave { tables, state } = self;
        let machine = &cpu.world().machine;
        let next = match state {
            Leaving::Ready => {
                let frames = tables.iter().map(|table| table.frame).collect();
                let unlinked = policy::unlink(cpu, mm, frames, |batch| {
                    for table in &tables {
                        batch.clear(slot(machine, mm, table));
                    }
                });
                for table in &tables {
                    unlinked.note_at(machine, table.frame);
                }
                Leaving::Unlinked(unlinked)
            }
            Leaving::Unlinked(unlinked) => {
                let pages = (tables.len() * ENTRIES) as u64;
                let range = Range::Pages { start: tables[0].va, pages, size: FrameSize::Huge };
                let kind = cpu.world().config.unshare_flush;
                let reached = flush::flush(cpu, mm, range, kind, Some(unlinked.ticket()));
                Leaving::Flushed(unlinked, reached)
            }
            Leaving::Flushed(unlinked, reached) => {
                policy::owe::<P, M, _>(cpu, mm, &tables, &unlinked, reached);
                Leaving::Indebted(unlinked, reached)
            }
            Leaving::Indebted(unlinked, reached) => {
                let (mut to_settle, mut to_free) = (Vec::new(), Vec::new());
                for table in &tables {
                    match table.drop_share() {
                        Dropped::Shared => {}
                        Dropped::MustSettle => to_settle.push(table.clone()),
                        Dropped::Last => to_free.push(table.clone()),
                    }
                }
                Leaving::Dropped(unlinked, reached, to_settle, to_free)
            }
            Leaving::Dropped(unlinked, reached, to_settle, to_free) => {
                if !to_settle.is_empty() {
                    policy::settle::<P, M>(cpu, mm, &to_settle, reached);
                }
                Leaving::Settled(unlinked, to_free)
            }
            Leaving::Settled(unlinked, to_free) => {
                if !to_free.iter().all(|table| table.is_settled()) {
                    return Step::Wait(Leave { tables, state: Leaving::Settled(unlinked, to_free) });
                }
                // The walkers of others are gone; those of this mm are what the ticket is for.
                let is_freed = |frame: &Frame| to_free.iter().any(|table| table.frame == *frame);
                let ticket = unlinked.into_ticket().keep_only(is_freed);
                return Step::Done((!to_free.is_empty()).then(|| Deferred::new(cpu, mm.id, ticket)));
            }
        };
        Step::Next(Leave { tables, state: next })
    }
}

/// An mm that expects to be the last sharer takes the tables for itself.
pub struct Survive {
    to_claim: SharedTables,
    claimed: SharedTables,
}

impl Survive {
    /// An mm that has a share of each of `tables` claims what it can.
    pub fn new(tables: SharedTables) -> Self {
        Survive { to_claim: tables, claimed: Vec::new() }
    }
}

impl Operation for Survive {
    type Outcome = ();

    fn step<P: Policy, M: Machine>(mut self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self> {
        if let Some(table) = self.claimed.pop() {
            make_private(&cpu.world().machine, &table, mm.id);
            return Step::Next(self);
        }
        let Some(table) = self.to_claim.pop() else { return Step::Done(()) };
        match table.claim() {
            Attempt::Done => self.claimed.push(table),
            Attempt::Never => {}
            Attempt::NotYet => {
                self.to_claim.push(table);
                return Step::Wait(self);
            }
        }
        Step::Next(self)
    }
}

/// Reuses a table that `mm` has claimed: from now on it holds what only `mm` may see.
fn make_private<M: Machine>(machine: &M, table: &SharedTable, mm: MmId) {
    for slot in machine.words(table.frame) {
        // Relaxed: its owner is the only one to write it.
        let entry = Entry(slot.load(Ordering::Relaxed));
        if entry.is_present() {
            page_table::link(slot, entry.private_to(mm));
        }
    }
}

/// An mm begins to share tables, as after a fork or a page fault.
pub struct Join {
    to_join: SharedTables,
    joined: SharedTables,
}

impl Join {
    /// An mm joins all of `tables` that it can.
    pub fn new(tables: SharedTables) -> Self {
        Join { to_join: tables, joined: Vec::new() }
    }
}

impl Operation for Join {
    /// The tables it has joined.
    type Outcome = SharedTables;

    fn step<P: Policy, M: Machine>(mut self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self> {
        let Some(table) = self.to_join.pop() else { return Step::Done(self.joined) };
        match table.join(mm.id) {
            Attempt::Done => {
                link(&cpu.world().machine, mm, &table);
                self.joined.push(table);
            }
            Attempt::Never => {}
            Attempt::NotYet => {
                self.to_join.push(table);
                return Step::Wait(self);
            }
        }
        Step::Next(self)
    }
}
