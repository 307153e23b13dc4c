//! Tables whose unlinker does not wait: they are freed when they may be, by the CPU that looks next.
//!
//! Linux frees them by RCU (`tlb_remove_table()`, with `CONFIG_PT_RECLAIM` also where there is no memory for a batch of them).

use crate::event::Event;
use crate::machine::Machine;
use crate::pending_gup_sync::Ticket;
use crate::policy::Policy;
use crate::rcu::GracePeriod;
use crate::types::MmId;
use crate::world::Cpu;

/// Unlinked tables, out of use until a grace period has elapsed, or the policy can say earlier that no walker is inside.
#[must_use = "deferred tables are lost unless they are looked after"]
pub struct Deferred<T> {
    mm: MmId,
    ticket: Ticket<T>,
    period: GracePeriod,
}

impl<T> Deferred<T> {
    /// Begins a grace period for the tables of `ticket`, of `mm`.
    pub fn new<M: Machine>(cpu: &Cpu<'_, M>, mm: MmId, ticket: Ticket<T>) -> Self {
        Deferred { mm, ticket, period: cpu.world().begin_grace_period() }
    }

    /// Gives the tables out if they may be reused.
    ///
    /// # Errors
    ///
    /// Itself, if they may not.
    pub fn poll<P: Policy, M: Machine>(self, cpu: &Cpu<'_, M>) -> Result<T, Self> {
        let Deferred { mm, ticket, period } = self;
        let (tables, freed) = match P::free_early(cpu.world().mm(mm), ticket) {
            Ok(tables) => (tables, Event::FreedByTicket),
            Err(ticket) if cpu.world().has_elapsed(cpu.id(), &period) => {
                (ticket.into_tables(), Event::FreedByGracePeriod)
            }
            Err(ticket) => return Err(Deferred { mm, ticket, period }),
        };
        cpu.note(mm, freed, 1);
        Ok(tables)
    }
}
