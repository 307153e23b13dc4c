//! The policies compared: what is done between unlinking a page table and reusing it.
//!
//! # Guarantee
//!
//! A [`Policy`] that is [`SAFE`](Policy::SAFE) returns the tables of an unlink only when no walker that could have
//! seen them is still inside its walk. Which interrupts that takes is all the difference between them.
//!
//! A table that one mm has is synced by whoever unlinked it ([`Policy::sync`]). A table that several share is
//! settled by whoever left one sharer behind, for the walkers of all who have left ([`Policy::settle`]); what each
//! of them knows of its own walkers he has to write down before he drops his share ([`Policy::owe`]).
//!
//! A new policy is a new file here and a line in `policies!`, below.

mod broadcast;
mod gather;
mod never;
mod pending;
mod property;
mod rcu;
mod targeted;

use alloc::sync::Arc;

use crate::atomic::Ordering;
use crate::flush::Reached;
use crate::machine::{Event, Machine};
use crate::mm::shared::{Kin, SharedTable};
use crate::mm::{Mm, MmId};
use crate::pending_gup_sync::{Batch, Ticket};
use crate::world::{Cpu, IrqsOff};

/// When to synchronise with GUP-fast walkers, and with whom.
pub trait Policy {
    /// Its name on the command line and in every row.
    const NAME: &'static str;
    /// Whether it keeps the promise. The others are negative controls.
    const SAFE: bool;

    /// Runs first in a walk, interrupts off.
    fn walk_begin<M: Machine>(_off: &IrqsOff<'_, M>, _mm: MmId) {}

    /// Runs last in a walk, interrupts off.
    fn walk_end<M: Machine>(_off: &IrqsOff<'_, M>, _mm: MmId) {}

    /// Makes sure that the tables may be reused, and hands them out. `reached` is what the flush of this unlink
    /// proved.
    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, reached: Reached) -> T;

    /// `mm` is about to drop its share of `table`: writes down who may still be inside on its behalf.
    fn owe<M: Machine>(_cpu: &Cpu<'_, M>, _mm: &Mm, _table: &SharedTable, _ticket: &Ticket<()>, _: Reached) {}

    /// `mm` has dropped the last share but one of each of `tables`: makes sure that no walker is inside on behalf of
    /// any mm that has left.
    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], reached: Reached);
}

/// Tables that were unlinked, and when.
#[derive(Debug)]
pub struct Unlinked<T> {
    ticket: Ticket<T>,
    /// `World::unlink_clock` just before the first entry was cleared.
    clock: u64,
}

impl<T> Unlinked<T> {
    /// The number of its ticket.
    pub fn ticket(&self) -> u64 {
        self.ticket.number()
    }

    /// The ticket itself, for tables that no policy is asked about.
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
    // Relaxed, and before the clears: a walk that began with a smaller clock began before them, for certain.
    let clock = cpu.world().unlink_clock.fetch_add(1, Ordering::Relaxed) + 1;
    let mut batch = Batch::new(tables);
    clear(&mut batch);
    let ticket = mm.pending.unlink(batch);
    cpu.note(mm.id, Event::Set, 1);
    // Relaxed: a figure.
    cpu.note(mm.id, Event::HeldAtUnlink, u64::from(mm.held.load(Ordering::Relaxed) != 0));
    Unlinked { ticket, clock }
}

/// Asks policy `P` for the tables, and counts beside it who was inside a walk at that moment.
pub fn sync<P: Policy, M: Machine, T>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    unlinked: Unlinked<T>,
    reached: Reached,
) -> T {
    let is_due = !mm.pending.covers(&unlinked.ticket);
    note_walkers(cpu, mm.id, |walked| (is_due && walked == mm.id).then_some(unlinked.clock));
    P::sync(cpu, mm, unlinked.ticket, reached)
}

/// Writes down, in each of `tables`, what `mm` owes.
pub fn owe<P: Policy, M: Machine>(
    cpu: &Cpu<'_, M>,
    mm: &Mm,
    tables: &[Arc<SharedTable>],
    unlinked: &Unlinked<()>,
    reached: Reached,
) {
    for table in tables {
        if !mm.pending.covers(&unlinked.ticket) {
            table.set_unlinked_at(mm.id, unlinked.clock);
        }
        P::owe(cpu, mm, table, &unlinked.ticket, reached);
    }
}

/// Has policy `P` pay the debts of `tables`, and counts beside it who was inside a walk at that moment.
pub fn settle<P: Policy, M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    tables: &[Arc<SharedTable>],
    reached: Reached,
) {
    let kin = kin_of(tables);
    let unlinked_at = |walked| tables.iter().map(|table| table.unlinked_at(walked)).max();
    note_walkers(cpu, mm.id, |walked| unlinked_at(walked).filter(|clock| kin.contains(walked) && *clock != 0));
    P::settle(cpu, mm, tables, reached);
    tables.iter().for_each(|table| table.own());
}

/// Every mm that shares one of `tables`, or has shared it.
fn kin_of(tables: &[Arc<SharedTable>]) -> Kin {
    tables.iter().map(|table| table.kin()).fold(Kin::NONE, Kin::and)
}

/// Counts the CPUs inside a walk of an mm that has unlinked the tables at a clock that `unlinked_at` knows, and has not
/// seen its ticket covered; and those of them whose walk began before that.
fn note_walkers<M: Machine>(cpu: &Cpu<'_, M>, mm: MmId, unlinked_at: impl Fn(MmId) -> Option<u64>) {
    let (mut walking, mut at_risk) = (0, 0);
    for state in &cpu.world().cpus {
        // Relaxed: figures. Read in this order, a CPU counted at risk was inside the walk that began before.
        let began = state.walk_began.load(Ordering::Relaxed);
        if let Some(clock) = unlinked_at(MmId::from_word(state.walking.load(Ordering::Relaxed))) {
            walking += 1;
            at_risk += u64::from(began < clock);
        }
    }
    cpu.note(mm, Event::SyncAsked, 1);
    cpu.note(mm, Event::WalkingAtSync, walking);
    cpu.note(mm, Event::AtRisk, at_risk);
}

/// What can be done with every policy, whichever it is.
pub trait ForPolicy {
    /// The result.
    type Output;

    /// Does it with `P`.
    fn run<P: Policy>(self) -> Self::Output;
}

macro_rules! policies {
    ($($module:ident :: $policy:ident),+ $(,)?) => {
        /// The names of all policies, in the order in which they are compared.
        pub const NAMES: &[&str] = &[$($module::$policy::NAME),+];

        /// The names of those that keep the promise.
        pub fn safe_names() -> impl Iterator<Item = &'static str> {
            [$(($module::$policy::NAME, $module::$policy::SAFE)),+].into_iter().filter_map(|(name, safe)| safe.then_some(name))
        }

        /// Does `what` with the policy of that name, if there is one.
        pub fn with<W: ForPolicy>(name: &str, what: W) -> Option<W::Output> {
            match name {
                $($module::$policy::NAME => Some(what.run::<$module::$policy>()),)+
                _ => None,
            }
        }

        $(pub use $module::$policy;)+
    };
}

policies! {
    never::Never,
    gather::GatherPosted,
    targeted::TargetedPosted,
    broadcast::Broadcast,
    property::Property,
    gather::Gather,
    rcu::Rcu,
    targeted::Targeted,
    pending::Pending,
    targeted::PendingTargeted,
}
