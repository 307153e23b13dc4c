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
    const TRUSTS_LOADED_MM: bool = false;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, _: Reached) -> T {
        interrupt_all(cpu, mm);
        contract::release::<Self, _, _>(cpu, mm, ticket)
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, _: &[Arc<SharedTable>], _: Reached) {
        interrupt_all(cpu, mm);
    }
}

/// As Linux 6.16 to 6.19 had it, in `huge_pmd_unshare()`: one for each table that an mm leaves to others, before it drops
/// its share.
///
/// They come after the flush here, where those versions had them before it: the number is the same.
pub enum BroadcastPerTable {}

impl Policy for BroadcastPerTable {
    const NAME: &'static str = "broadcast-per-table";
    const SAFE: bool = true;
    const TRUSTS_LOADED_MM: bool = false;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, reached: Reached) -> T {
        Broadcast::sync(cpu, mm, ticket, reached)
    }

    /// An mm that has the table alone frees it by its ticket. The mark is for the mm that may join before it leaves; Linux
    /// keeps that one out by a lock.
    fn owe<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, table: &SharedTable, _: &Ticket<T>, _: Reached) {
        if table.is_unshared() {
            table.set_missed();
        } else {
            cpu.note(mm.id, Event::SyncAsked, 1);
            interrupt_all(cpu, mm);
        }
    }

    /// Each mm that has left and has no mark has waited for its own walkers.
    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, tables: &[Arc<SharedTable>], reached: Reached) {
        contract::settle_if_missed::<Broadcast, _>(cpu, mm, tables, reached);
    }
}

fn interrupt_all<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    cpu.note(mm.id, Event::SyncSent, 1);
    sync_round::broadcast(cpu, mm);
}
