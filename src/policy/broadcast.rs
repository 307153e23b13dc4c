//! An interrupt to every other online CPU after each unlink: mainline Linux, `tlb_remove_table_sync_one()`.

use alloc::sync::Arc;

use crate::event::Event;
use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::shared_table::SharedTable;
use crate::pending_gup_sync::Ticket;
use crate::policy::contract::{self, Policy};
use crate::sync_round;
use crate::world::Cpu;

/// Safe whatever the flush did, because every CPU answers after the unlink.
pub enum Broadcast {}

impl Policy for Broadcast {
    const NAME: &'static str = "broadcast";
    const SAFE: bool = true;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, _: Reached) -> T {
        interrupt_all(cpu, mm);
        contract::release::<Self, _, _>(cpu, mm, ticket)
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, _: &[Arc<SharedTable>], _: Reached) {
        interrupt_all(cpu, mm);
    }
}

fn interrupt_all<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    cpu.note(mm.id, Event::SyncSent, 1);
    sync_round::broadcast(cpu, mm);
}
