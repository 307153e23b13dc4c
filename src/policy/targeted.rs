//! A tracker on each CPU, "I walk this mm": the posted v4, with correct fences; and `pending` on top of it.
//!
//! # Guarantee
//!
//! A CPU whose tracker does not name the mm, for an unlinker that reads it after its unlink (F1), is in no walk that can see what
//! was unlinked. The price is a full fence (F7) in every walk.

use alloc::sync::Arc;

use crate::atomic::{Ordering, fence};
use crate::cpumask::CpuSet;
use crate::event::Event;
use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::shared_table::SharedTable;
use crate::pending_gup_sync::Ticket;
use crate::policy::contract::{self, Policy, sharers_of};
use crate::policy::pending::{self, Pending};
use crate::sync_round;
use crate::types::{CpuId, MmId, MmSet};
use crate::world::{Cpu, IrqsOff};

fn track<M: Machine>(off: &IrqsOff<'_, M>, mm: MmId) {
    // Relaxed: F7 follows.
    off.state().tracker.store(mm.word(), Ordering::Relaxed);
    // F7: the tracker is visible before anything is read of the tables. Pairs with F1, between the clears and the look
    // at the trackers: a walk that the look misses sees the cleared entries. A read barrier, on either side, lets both
    // miss each other: the fault found in review of the posted series.
    fence(Ordering::SeqCst);
}

/// The walk is over; the one that it was nested in, of `outer`, goes on.
fn untrack<M: Machine>(off: &IrqsOff<'_, M>, outer: MmId) {
    // Release: pairs with the Acquire in `walks`; the walk is over.
    off.state().tracker.store(outer.word(), Ordering::Release);
}

/// Whether `other` may be walking one of `sharers`, for a CPU that has unlinked (F1) before.
fn walks<M: Machine>(cpu: &Cpu<'_, M>, other: CpuId, sharers: MmSet) -> bool {
    // Acquire: pairs with the Release in `untrack`.
    sharers.contains(MmId::from_word(cpu.world().cpus[other.0].tracker.load(Ordering::Acquire)))
}

/// Interrupts the CPUs that walk one of `sharers`, out of `among` if that is given.
fn interrupt<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, sharers: MmSet, among: Option<CpuSet>) {
    let (me, cpus) = (cpu.id(), cpu.world().machine.cpus());
    let mut to = cpu.sets().take();
    (0..cpus)
        .map(CpuId)
        .filter(|&other| other != me && among.as_ref().is_none_or(|among| among.contains(other)))
        .filter(|&other| walks(cpu, other, sharers))
        .for_each(|other| to.insert(other));
    among.into_iter().for_each(|among| cpu.sets().give(among));
    let event = if to.is_empty() { Event::SyncSkipped } else { Event::SyncSent };
    cpu.note(mm.id, event, 1);
    sync_round::interrupt_some(cpu, mm.id, sharers, to);
}

/// Interrupts the CPUs that walk the mm; of a shared table, those that walk any mm that has shared it.
pub enum Targeted {}

impl Policy for Targeted {
    const NAME: &'static str = "targeted";
    const SAFE: bool = true;
    const TRUSTS_LOADED_MM: bool = false;

    fn walk_begin<M: Machine>(off: &IrqsOff<'_, M>, mm: MmId) {
        track(off, mm);
    }

    fn walk_end<M: Machine>(off: &IrqsOff<'_, M>, outer: MmId) {
        untrack(off, outer);
    }

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, _: Reached) -> T {
        interrupt(cpu, mm, MmSet::NONE.with(mm.id), None);
        contract::release::<Self, _, _>(cpu, mm, ticket)
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], _: Reached) {
        interrupt(cpu, mm, sharers_of(tables), None);
    }
}

/// As it was posted, but for the fences: of a shared table, too, it looks for walkers of the last mm only. Unsafe there.
pub enum TargetedPosted {}

impl Policy for TargetedPosted {
    const NAME: &'static str = "targeted-posted";
    const SAFE: bool = false;

    fn walk_begin<M: Machine>(off: &IrqsOff<'_, M>, mm: MmId) {
        track(off, mm);
    }

    fn walk_end<M: Machine>(off: &IrqsOff<'_, M>, outer: MmId) {
        untrack(off, outer);
    }

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, reached: Reached) -> T {
        Targeted::sync(cpu, mm, ticket, reached)
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, _: &[Arc<SharedTable>], _: Reached) {
        interrupt(cpu, mm, MmSet::NONE.with(mm.id), None);
    }
}

/// Skips as [`Pending`] does, and where that does not, interrupts only those of its targets that walk.
pub enum PendingTargeted {}

impl Policy for PendingTargeted {
    const NAME: &'static str = "pending+targeted";
    const SAFE: bool = true;

    fn walk_begin<M: Machine>(off: &IrqsOff<'_, M>, mm: MmId) {
        track(off, mm);
    }

    fn walk_end<M: Machine>(off: &IrqsOff<'_, M>, outer: MmId) {
        untrack(off, outer);
    }

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, reached: Reached) -> T {
        match mm.pending.redeem(ticket) {
            Ok(tables) => {
                cpu.note(mm.id, Event::SyncSkipped, 1);
                tables
            }
            Err(ticket) => Targeted::sync(cpu, mm, ticket, reached),
        }
    }

    fn free_early<T>(mm: &Mm, ticket: Ticket<T>) -> Result<T, Ticket<T>> {
        Pending::free_early(mm, ticket)
    }

    fn owe<M: Machine, T>(
        cpu: &mut Cpu<'_, M>,
        mm: &Mm,
        table: &SharedTable,
        ticket: &Ticket<T>,
        reached: Reached,
    ) {
        Pending::owe(cpu, mm, table, ticket, reached);
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], _: Reached) {
        let debts = pending::debts(cpu, tables);
        interrupt(cpu, mm, sharers_of(tables), Some(debts));
    }
}
