//! What a policy promises, and how an operation asks one: what is done between unlinking a page table and reusing it.
//!
//! # Guarantee
//!
//! A [`Policy`] that is [`SAFE`](Policy::SAFE) returns the tables of an unlink only when no walker that could have
//! seen them is still inside its walk. Which interrupts that takes is all the difference between them.
//!
//! A table that one mm has is synced by its unlinker ([`Policy::sync`]). A table that several mms share is settled by the
//! unsharer that left one sharer behind, for the walkers of all mms that have left ([`Policy::settle`]); what each of them
//! knows of its own walkers it has to write down before it drops its share ([`Policy::owe`]).

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::event::Event;
use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::shared_table::SharedTable;
use crate::pending_gup_sync::{Batch, Ticket};
use crate::stats::Walkers;
use crate::types::{Frame, MmId, MmSet};
use crate::world::{Cpu, IrqsOff};

/// When to synchronise with GUP-fast walkers, and with whom.
pub trait Policy {
    /// Its name, by which it is chosen and listed.
    const NAME: &'static str;
    /// Whether it keeps the promise. The others are negative controls.
    const SAFE: bool;
    /// Whether it leaves CPUs out because they have another mm loaded, or are lazy, in a round or by what it concludes from a
    /// flush. Then it keeps the promise only if an NMI handler looks at that too, before it walks ([`crate::nmi_walk`]).
    const TRUSTS_LOADED_MM: bool = true;

    /// Runs first in a walk, interrupts off.
    fn walk_begin<M: Machine>(_off: &IrqsOff<'_, M>, _mm: MmId) {}

    /// Runs last in a walk, interrupts off. `outer` is the mm of the walk that this one, in an NMI handler, was nested in; the
    /// kernel's number if it was in none.
    fn walk_end<M: Machine>(_off: &IrqsOff<'_, M>, _outer: MmId) {}

    /// Makes sure that the tables may be reused, and hands them out. `reached` is what the flush of this unlink
    /// proved.
    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, reached: Reached) -> T;

    /// Hands out tables whose unlinker does not wait for a sync, before a grace period has elapsed, if no walker can be inside
    /// them. As in Linux, where `tlb_remove_table()` leaves them to RCU, a policy has no reason to, unless it keeps state.
    ///
    /// # Errors
    ///
    /// The ticket, if it cannot say so.
    fn free_early<T>(_mm: &Mm, ticket: Ticket<T>) -> Result<T, Ticket<T>> {
        Err(ticket)
    }

    /// `mm` is about to drop its share of `table`: writes down which CPUs may still be inside on its behalf, or waits for
    /// them.
    fn owe<M: Machine, T>(
        _cpu: &mut Cpu<'_, M>,
        _mm: &Mm,
        _table: &SharedTable,
        _ticket: &Ticket<T>,
        _: Reached,
    ) {
    }

    /// `mm` has dropped the last share but one of each of `tables`: makes sure that no walker is inside on behalf of
    /// any mm that has left.
    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], reached: Reached);
}

/// Tables that were unlinked, and when.
#[derive(Debug)]
pub struct Unlinked<T> {
    ticket: Ticket<T>,
    /// The clock just before the first entry was cleared.
    clock: u64,
}

impl<T> Unlinked<T> {
    /// The number of its ticket.
    pub fn ticket(&self) -> u64 {
        self.ticket.number()
    }

    /// Notes the ticket at a table that it is for, for what a detector says.
    pub(crate) fn note_at<M: Machine>(&self, machine: &M, table: Frame) {
        if M::INSTRUMENTED {
            machine.page(table).set_unlinked_with(self.ticket());
        }
    }

    /// What was unlinked by several tickets, to be synced at once.
    ///
    /// # Panics
    ///
    /// If there is nothing, or it is of several mms.
    pub fn join(all: impl Iterator<Item = Unlinked<T>>) -> Unlinked<Vec<T>> {
        // For the figures: a walk that began before the last of them may be inside any.
        let mut clock = 0;
        let ticket = Ticket::join(all.map(|unlinked| {
            clock = clock.max(unlinked.clock);
            unlinked.ticket
        }));
        Unlinked { ticket, clock }
    }

    /// The ticket itself, for tables that are freed later, by ticket or grace period.
    pub fn into_ticket(self) -> Ticket<T> {
        self.ticket
    }
}

/// Unlinks what `clear` clears, carrying `tables`.
pub fn unlink<M: Machine, T>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    tables: T,
    clear: impl FnOnce(&mut Batch<T>),
) -> Unlinked<T> {
    let clock = if M::INSTRUMENTED { cpu.world().unlink_clock.tick() } else { 0 };
    let mut batch = Batch::new(tables);
    clear(&mut batch);
    let ticket = mm.pending.unlink(batch);
    cpu.note(mm.id, Event::Set, 1);
    if M::INSTRUMENTED {
        cpu.note(mm.id, Event::HeldAtUnlink, u64::from(mm.held.any()));
    }
    Unlinked { ticket, clock }
}

/// Asks policy `P` for the tables, and counts beside it who was inside a walk at that moment.
pub fn sync<P: Policy, M: Machine, T>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    unlinked: Unlinked<T>,
    reached: Reached,
) -> T {
    if M::INSTRUMENTED {
        let is_due = !mm.pending.covers(&unlinked.ticket);
        note_walkers(cpu, mm.id, |walked| (is_due && walked == mm.id).then_some(unlinked.clock));
    }
    P::sync(cpu, mm, unlinked.ticket, reached)
}

/// Hands the tables of a ticket out on the argument of policy `P` that no walker is inside them, and counts it.
///
/// For the policies that this project compares itself with: they have an argument of their own (or, like `never`, none).
/// The protocol itself uses [`PendingGupSync::redeem`](crate::pending_gup_sync::PendingGupSync::redeem) only.
pub fn release<P: Policy, M: Machine, T>(cpu: &Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>) -> T {
    cpu.note(mm.id, Event::ReleasedByPolicy, 1);
    ticket.into_tables()
}

/// Settles as `Otherwise` does, if a leaver has marked one of `tables` as missed. If not, no walker of any leaver is inside.
pub(crate) fn settle_if_missed<Otherwise: Policy, M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    tables: &[Arc<SharedTable>],
    reached: Reached,
) {
    if tables.iter().any(|table| table.is_missed()) {
        Otherwise::settle(cpu, mm, tables, reached);
    } else {
        cpu.note(mm.id, Event::SyncSkipped, 1);
    }
}

/// Writes down, in each of `tables`, what `mm` owes.
pub(crate) fn owe<P: Policy, M: Machine, T>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    tables: &[Arc<SharedTable>],
    unlinked: &Unlinked<T>,
    reached: Reached,
) {
    for table in tables {
        if M::INSTRUMENTED && !mm.pending.covers(&unlinked.ticket) {
            table.unlinked_at.set(mm.id, unlinked.clock);
        }
        P::owe(cpu, mm, table, &unlinked.ticket, reached);
    }
}

/// Has policy `P` pay the debts of `tables`, and counts beside it who was inside a walk at that moment.
pub(crate) fn settle<P: Policy, M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    tables: &[Arc<SharedTable>],
    reached: Reached,
) {
    if M::INSTRUMENTED {
        let sharers = sharers_of(tables);
        let unlinked_at = |walked| tables.iter().map(|table| table.unlinked_at.get(walked)).max();
        note_walkers(cpu, mm.id, |walked| {
            unlinked_at(walked).filter(|clock| sharers.contains(walked) && *clock != 0)
        });
    }
    P::settle(cpu, mm, tables, reached);
    tables.iter().for_each(|table| table.own());
}

/// Every mm that shares one of `tables`, or has shared it.
pub(crate) fn sharers_of(tables: &[Arc<SharedTable>]) -> MmSet {
    tables.iter().map(|table| table.sharers()).fold(MmSet::NONE, MmSet::and)
}

/// Counts the CPUs inside a walk of an mm that has unlinked the tables at a clock that `unlinked_at` knows, and has not
/// seen its ticket covered; and those of them whose walk began before that.
fn note_walkers<M: Machine>(cpu: &Cpu<'_, M>, mm: MmId, unlinked_at: impl Fn(MmId) -> Option<u64>) {
    let walks = cpu.world().cpus.iter().map(|state| &state.walk);
    let Walkers { walking, at_risk } = Walkers::count(walks, unlinked_at);
    cpu.note(mm, Event::SyncAsked, 1);
    cpu.note(mm, Event::WalkingAtSync, walking);
    cpu.note(mm, Event::AtRisk, at_risk);
}
