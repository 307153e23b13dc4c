//! No sync at all: unsafe, the negative control.

use alloc::sync::Arc;

use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::shared_table::SharedTable;
use crate::pending_gup_sync::Ticket;
use crate::policy::contract::{self, Policy};
use crate::world::Cpu;

/// Relies on the flush alone. Right where every flush interrupts all who walk, wrong everywhere else.
pub enum Never {}

impl Policy for Never {
    const NAME: &'static str = "never";
    const SAFE: bool = false;
    const TRUSTS_LOADED_MM: bool = false;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, _: Reached) -> T {
        contract::release::<Self, _, _>(cpu, mm, ticket)
    }

    fn settle<M: Machine>(_: &mut Cpu<'_, M>, _: &Mm, _: &[Arc<SharedTable>], _: Reached) {}
}
