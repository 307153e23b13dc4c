//! Flushing by INVLPGB: the hardware reaches every TLB, and interrupts nobody.

use crate::flush::{Reached, Tables, ipi};
use crate::machine::{Event, Invlpgb, Machine, Range};
use crate::mm::{Mm, MmId, VirtAddr};
use crate::world::Cpu;

/// Flushes `range` of `mm`, which has a global ASID. Proves nothing about walkers, unless the mm is in transition
/// and some CPU still runs it under its old ASID: then the whole mask is interrupted too.
pub(crate) fn flush<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, range: Range, tlb_gen: u64) -> Reached {
    issue(cpu, mm, range);
    let reached = if mm.asid.is_in_transition() && !cpu.try_settle(mm) {
        ipi::flush(cpu, mm, range, Tables::Freed, tlb_gen)
    } else {
        Reached::Short
    };
    cpu.world().machine.tlbsync(cpu.id());
    cpu.note(mm.id, Event::Tlbsync, 1);
    reached
}

/// Starts the invalidation, in as many instructions as the machine's limit asks for.
fn issue<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, range: Range) {
    let machine = &cpu.world().machine;
    let asid = mm.asid.now();
    let start_one = |range| {
        machine.invlpgb(cpu.id(), Invlpgb::Of { asid, range });
        cpu.note(mm.id, Event::Invlpgb, 1);
    };
    match range {
        Range::All => start_one(Range::All),
        Range::Pages { start, pages, size } => {
            let most = machine.invlpgb_max();
            for done in (0..pages).step_by(most as usize) {
                let start = VirtAddr(start.0 + done * size.bytes());
                start_one(Range::Pages { start, pages: most.min(pages - done), size });
            }
        }
    }
}

/// Flushes everything on every CPU, the kernel's translations too, on behalf of no mm.
pub(crate) fn flush_everything<M: Machine>(cpu: &Cpu<'_, M>) {
    let machine = &cpu.world().machine;
    machine.invlpgb(cpu.id(), Invlpgb::Everything);
    machine.tlbsync(cpu.id());
    cpu.note(MmId::KERNEL, Event::Invlpgb, 1);
    cpu.note(MmId::KERNEL, Event::Tlbsync, 1);
}
