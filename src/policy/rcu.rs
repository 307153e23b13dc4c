//! A grace period in place of the interrupts: as mainline frees tables that no unlinker waits for.

use alloc::sync::Arc;

use crate::event::Event;
use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::shared_table::SharedTable;
use crate::pending_gup_sync::Ticket;
use crate::policy::contract::{self, Policy};
use crate::world::Cpu;

/// Waits until every CPU has been idle or was so all along. No interrupt, but no bound on the time either.
pub enum Rcu {}

impl Policy for Rcu {
    const NAME: &'static str = "rcu";
    const SAFE: bool = true;
    const TRUSTS_LOADED_MM: bool = false;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, _: Reached) -> T {
        wait(cpu, mm);
        contract::release::<Self, _, _>(cpu, mm, ticket)
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, _: &[Arc<SharedTable>], _: Reached) {
        wait(cpu, mm);
    }
}

fn wait<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    cpu.note(mm.id, Event::SyncSent, 1);
    cpu.synchronize_rcu();
}
