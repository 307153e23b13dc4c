//! What is measured: a function for each kind of piece, of its own in the kernel's file. From its first instruction to its
//! return, both included, all is counted that it executes, but for what is [aside](super::count::aside).

use core::arch::asm;

use gupsync::atomic::{AtomicU64, Ordering};
use gupsync::config::FreedTables;
use gupsync::flush::{self, Reached};
use gupsync::gup_fast::{Walked, gup_fast};
use gupsync::mm::Mm;
use gupsync::ops::collapse::Collapse;
use gupsync::ops::unshare::{Leave, Left};
use gupsync::ops::{Operation, Step};
use gupsync::pending_gup_sync::Ticket;
use gupsync::policy::{self, Policy};
use gupsync::types::{CpuId, Frame, PAGE_SIZE, Range, VirtAddr};
use gupsync::world::{Cpu, IrqsOff, World};

use super::bare::Bare;

type One<'c> = &'c mut Cpu<'static, Bare>;

/// No instruction: it keeps the call of the function that it is in, whatever that does.
#[inline(always)]
fn keep() {
    // SAFETY: does nothing.
    unsafe { asm!("", options(nostack, preserves_flags)) };
}

#[inline(never)]
pub fn empty() {
    keep();
}

/// No walker is held.
fn inside(_: &IrqsOff<'static, Bare>, _: u32, _: Frame) {}

/// Walks to the pages from `va` on, one after the other.
#[inline(never)]
pub fn walk<P: Policy>(cpu: One<'_>, mm: &Mm, va: VirtAddr, walked: &mut [Walked]) {
    keep();
    let mut at = va.0;
    for walked in walked {
        *walked = gup_fast::<P, _>(cpu, mm, VirtAddr(at), inside);
        at += PAGE_SIZE;
    }
}

#[inline(never)]
pub fn sync<P: Policy>(cpu: One<'_>, mm: &Mm, ticket: Ticket<Frame>, reached: Reached) -> Frame {
    keep();
    P::sync(cpu, mm, ticket, reached)
}

#[inline(never)]
pub fn clear(entry: &AtomicU64) -> u64 {
    keep();
    entry.swap(0, Ordering::Relaxed)
}

/// The number of the ticket.
#[inline(never)]
pub fn unlink(cpu: One<'_>, mm: &Mm, table: Frame, entry: &AtomicU64) -> u64 {
    keep();
    let unlinked = policy::unlink(cpu, mm, table, |batch| {
        batch.clear(entry);
    });
    unlinked.ticket()
}

#[inline(never)]
pub fn redeem(mm: &Mm, ticket: Ticket<Frame>) -> Option<Frame> {
    keep();
    mm.pending.redeem(ticket).ok()
}

#[inline(never)]
pub fn flush(cpu: One<'_>, mm: &Mm, range: Range) -> Reached {
    keep();
    flush::flush(cpu, mm, range, FreedTables::No, None)
}

#[inline(never)]
pub fn answer(world: &World<Bare>, cpu: CpuId) {
    keep();
    world.interrupt(cpu);
}

#[inline(never)]
pub fn switch(cpu: One<'_>, next: Option<&Mm>) {
    keep();
    cpu.switch_mm(next);
}

#[inline(never)]
pub fn enter_lazy(cpu: One<'_>) {
    keep();
    cpu.enter_lazy_tlb();
}

#[inline(never)]
pub fn exit_lazy(cpu: One<'_>, mm: &Mm) {
    keep();
    cpu.exit_lazy_tlb(mm);
}

/// Until the table may be reused.
#[inline(never)]
pub fn collapse<P: Policy>(cpu: One<'_>, mm: &Mm, va: VirtAddr, huge: Frame) -> Frame {
    keep();
    let mut collapse = Collapse::Ready { va, huge };
    loop {
        collapse = match collapse.step::<P, _>(cpu, mm) {
            Step::Next(Collapse::Synced(_, table)) => return table,
            Step::Next(collapse) | Step::Wait(collapse) => collapse,
            Step::Done(outcome) => unreachable!("{outcome:?}"),
        }
    }
}

#[inline(never)]
pub fn unshare<P: Policy>(cpu: One<'_>, mm: &Mm, mut leave: Leave) -> Left {
    keep();
    loop {
        leave = match leave.step::<P, _>(cpu, mm) {
            Step::Next(leave) | Step::Wait(leave) => leave,
            Step::Done(left) => return left,
        }
    }
}
