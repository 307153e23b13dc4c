//! The mm's CPUs in place of every CPU: the smallest change to mainline, and what it leaves for a flag to save.
//!
//! Here the CPUs that may be inside a walk are asked each time, and nothing is remembered of earlier interrupts.

use alloc::sync::Arc;

use crate::event::Event;
use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::shared_table::SharedTable;
use crate::pending_gup_sync::Ticket;
use crate::policy::contract::{self, Policy, sharers_of};
use crate::policy::gather::{self, Gather};
use crate::sync_round;
use crate::world::Cpu;

/// Interrupts the possible walkers of the mm after each unlink; of a shared table, those of every mm that shares it or
/// has left it. No state.
pub enum Mask {}

impl Policy for Mask {
    const NAME: &'static str = "mask";
    const SAFE: bool = true;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, _: Reached) -> T {
        cpu.note(mm.id, Event::SyncSent, 1);
        sync_round::round(cpu, mm);
        contract::release::<Self, _, _>(cpu, mm, ticket)
    }

    /// A walker does not migrate, and keeps its mm loaded: one that is inside on behalf of an mm that has left is found by
    /// that mm's cpumask. Each leaver's F1 comes before its drop, and every drop before this look.
    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], _: Reached) {
        let sharers = sharers_of(tables);
        let mut to = cpu.sets().take();
        for sharer in cpu.world().mms().iter().filter(|mm| sharers.contains(mm.id)) {
            sync_round::for_each_possible_walker(cpu, sharer, |other| to.insert(other));
        }
        cpu.note(mm.id, Event::SyncSent, 1);
        sync_round::interrupt_some(cpu, mm.id, sharers, to);
    }
}

/// Skips what [`Gather`] skips, and interrupts whom [`Mask`] interrupts.
pub enum GatherMask {}

impl Policy for GatherMask {
    const NAME: &'static str = "gather+mask";
    const SAFE: bool = true;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, reached: Reached) -> T {
        gather::sync_unless_reached::<Mask, _, _>(cpu, mm, ticket, reached)
    }

    fn owe<M: Machine, T>(
        cpu: &mut Cpu<'_, M>,
        mm: &Mm,
        table: &SharedTable,
        ticket: &Ticket<T>,
        reached: Reached,
    ) {
        Gather::owe(cpu, mm, table, ticket, reached);
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], reached: Reached) {
        contract::settle_if_missed::<Mask, _>(cpu, mm, tables, reached);
    }
}
