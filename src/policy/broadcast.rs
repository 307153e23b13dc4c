//! An interrupt to every other online CPU after each unlink: mainline Linux, `tlb_remove_table_sync_one()`.

use alloc::sync::Arc;

use crate::flush::Reached;
use crate::machine::{Event, Machine};
use crate::mm::Mm;
use crate::mm::shared::SharedTable;
use crate::pending_gup_sync::Ticket;
use crate::policy::Policy;
use crate::sync;
use crate::world::Cpu;

/// Safe whatever the flush did, because every CPU answers after the unlink.
pub enum Broadcast {}

impl Policy for Broadcast {
    const NAME: &'static str = "broadcast";
    const SAFE: bool = true;

    fn sync<M: Machine, T>(cpu: &mut Cpu<'_, M>, mm: &Mm, ticket: Ticket<T>, _: Reached) -> T {
        interrupt_all(cpu, mm);
        ticket.release_on_the_word_of(Self::NAME)
    }

    fn settle<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, _: &[Arc<SharedTable>], _: Reached) {
        interrupt_all(cpu, mm);
    }
}

fn interrupt_all<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    cpu.note(mm.id, Event::SyncSent, 1);
    sync::round_of_everyone(cpu, mm);
}
