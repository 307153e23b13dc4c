//! A flag in the gather, "its flush reached the mm": the posted v3, with its reset question answered.
//!
//! The flag is [`Reached`]: made by the flush that follows the last unlink, and consumed by the sync of that unlink. So
//! it is false at the start, and false again after another unlink.

use alloc::sync::Arc;

use crate::event::Event;
use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::shared_table::SharedTable;
use crate::pending_gup_sync::Ticket;
use crate::policy::broadcast::Broadcast;
use crate::policy::contract::{self, Policy};
use crate::world::Cpu;

/// Skips the sync if the flush of this very gather was an interrupt that reached all possible walkers; of a shared table,
/// if that was so for every mm that has left.
pub enum Gather {}

impl Policy for Gather {
    const NAME: &'static str = "gather";
    const SAFE: bool = true;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, reached: Reached) -> T {
        sync_unless_reached::<Broadcast, _, _>(cpu, mm, ticket, reached)
    }

    fn owe<M: Machine, T>(_: &mut Cpu<'_, M>, _: &Mm, table: &SharedTable, _: &Ticket<T>, reached: Reached) {
        if !reached.is_mm() {
            table.set_missed();
        }
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], reached: Reached) {
        contract::settle_if_missed::<Broadcast, _>(cpu, mm, tables, reached);
    }
}

/// Hands the tables out on the word of the flag; syncs as `Otherwise` does where that is false.
pub(super) fn sync_unless_reached<Otherwise: Policy, M: Machine, T>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    ticket: Ticket<T>,
    reached: Reached,
) -> T {
    if reached.is_mm() {
        cpu.note(mm.id, Event::SyncSkipped, 1);
        contract::release::<Gather, _, _>(cpu, mm, ticket)
    } else {
        Otherwise::sync(cpu, mm, ticket, reached)
    }
}

/// As it was posted: of a shared table it asks about the last flush only. Unsafe there.
pub enum GatherPosted {}

impl Policy for GatherPosted {
    const NAME: &'static str = "gather-posted";
    const SAFE: bool = false;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, reached: Reached) -> T {
        Gather::sync(cpu, mm, ticket, reached)
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], reached: Reached) {
        if reached.is_mm() {
            cpu.note(mm.id, Event::SyncSkipped, 1);
        } else {
            Broadcast::settle(cpu, mm, tables, reached);
        }
    }
}
