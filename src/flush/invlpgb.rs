//! Flushing by INVLPGB: the hardware reaches every TLB, and interrupts no CPU. It proves nothing about walkers.

use crate::event::Event;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::types::{Invlpgb, MmId, Range, VirtAddr};
use crate::world::Cpu;

/// Starts to invalidate `range` of `mm`, which has a global ASID, in as many instructions as the machine's limit asks for.
pub(crate) fn start<M: Machine>(cpu: &Cpu<'_, M>, mm: &Mm, range: Range) {
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

/// Waits until what this CPU has started, on behalf of `mm`, is done.
pub(crate) fn complete<M: Machine>(cpu: &Cpu<'_, M>, mm: MmId) {
    cpu.world().machine.tlbsync(cpu.id());
    cpu.note(mm, Event::Tlbsync, 1);
}

/// Flushes everything on every CPU, the kernel's translations too, on behalf of no mm.
pub(crate) fn flush_everything<M: Machine>(cpu: &Cpu<'_, M>) {
    flush_of_no_mm(cpu, Invlpgb::Everything);
}

/// Flushes the translations of every mm, on every CPU (Linux: `invlpgb_flush_all_nonglobals()`).
pub(crate) fn flush_all_mms<M: Machine>(cpu: &Cpu<'_, M>) {
    flush_of_no_mm(cpu, Invlpgb::NonGlobal);
}

fn flush_of_no_mm<M: Machine>(cpu: &Cpu<'_, M>, what: Invlpgb) {
    cpu.world().machine.invlpgb(cpu.id(), what);
    cpu.note(MmId::KERNEL, Event::Invlpgb, 1);
    complete(cpu, MmId::KERNEL);
}
