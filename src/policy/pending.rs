//! `pending_gup_sync`, per mm: this project.

use alloc::sync::Arc;

use crate::cpumask::CpuSet;
use crate::event::Event;
use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::shared_table::SharedTable;
use crate::pending_gup_sync::Ticket;
use crate::policy::contract::{Policy, sharers_of};
use crate::sync_round;
use crate::world::Cpu;

/// Skips the sync if any real interrupt has reached all possible walkers of the mm since the unlink, from any sender and
/// for any reason. If not, interrupts the possible walkers of this mm and no other CPU.
pub enum Pending {}

impl Policy for Pending {
    const NAME: &'static str = "pending";
    const SAFE: bool = true;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, _: Reached) -> T {
        match mm.pending.redeem(ticket) {
            Ok(tables) => {
                cpu.note(mm.id, Event::SyncSkipped, 1);
                tables
            }
            Err(ticket) => {
                cpu.note(mm.id, Event::SyncSent, 1);
                interrupt(cpu, mm, ticket)
            }
        }
    }

    fn free_early<T>(mm: &Mm, ticket: Ticket<T>) -> Result<T, Ticket<T>> {
        mm.pending.redeem(ticket)
    }

    /// If the ticket is covered, no walker of this mm is inside. If not, the CPUs that may be are written down: a walker
    /// does not migrate, so these CPUs suffice whatever happens later.
    fn owe<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, table: &SharedTable, ticket: &Ticket<T>, _: Reached) {
        if mm.pending.covers(ticket) {
            return;
        }
        sync_round::for_each_possible_walker(cpu, mm, |other| table.add_debt(other));
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], _: Reached) {
        let debts = debts(cpu, tables);
        let event = if debts.is_empty() { Event::SyncSkipped } else { Event::SyncSent };
        cpu.note(mm.id, event, 1);
        sync_round::interrupt_some(cpu, mm.id, sharers_of(tables), debts);
    }
}

/// The sync is due. Apart from the way on which it is skipped, which so saves no registers.
#[cold]
fn interrupt<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>) -> T {
    sync_round::round(cpu, mm);
    mm.pending.redeem(ticket).unwrap_or_else(|ticket| {
        panic!("ticket {} of {:?} is not covered by the round after it", ticket.number(), mm.id)
    })
}

/// Takes the debts of all tables, but for this CPU, which is in no walk.
pub(crate) fn debts<M: Machine>(cpu: &mut Cpu<'_, M>, tables: &[Arc<SharedTable>]) -> CpuSet {
    let mut debts = cpu.sets().take();
    tables.iter().for_each(|table| table.take_debts(&mut debts));
    debts.remove(cpu.id());
    debts
}
