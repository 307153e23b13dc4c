//! A property decided at boot, "flushes are interrupts": the posted static-key series, v10.

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

/// Skips every sync on a machine that can only flush by interrupts, none on any other.
pub enum Property {}

impl Policy for Property {
    const NAME: &'static str = "property";
    const SAFE: bool = true;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, reached: Reached) -> T {
        if cpu.world().config.flushes_are_interrupts() {
            cpu.note(mm.id, Event::SyncSkipped, 1);
            contract::release::<Self, _, _>(cpu, mm, ticket)
        } else {
            Broadcast::sync(cpu, mm, ticket, reached)
        }
    }

    /// Every mm that has left was flushed by interrupts too.
    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], reached: Reached) {
        if cpu.world().config.flushes_are_interrupts() {
            cpu.note(mm.id, Event::SyncSkipped, 1);
        } else {
            Broadcast::settle(cpu, mm, tables, reached);
        }
    }
}
