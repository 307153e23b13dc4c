//! A grace period: mainline's fallback where tables are freed by RCU.

use alloc::sync::Arc;

use crate::flush::Reached;
use crate::machine::{Event, Machine};
use crate::mm::Mm;
use crate::mm::shared::SharedTable;
use crate::pending_gup_sync::Ticket;
use crate::policy::Policy;
use crate::world::Cpu;

/// Waits until every CPU has been idle or was so all along. No interrupt, but no bound on the time either.
pub enum Rcu {}

impl Policy for Rcu {
    const NAME: &'static str = "rcu";
    const SAFE: bool = true;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, _: Reached) -> T {
        wait(cpu, mm);
        ticket.release_on_the_word_of(Self::NAME)
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, _: &[Arc<SharedTable>], _: Reached) {
        wait(cpu, mm);
    }
}

fn wait<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    cpu.note(mm.id, Event::SyncSent, 1);
    cpu.synchronize_rcu();
}
