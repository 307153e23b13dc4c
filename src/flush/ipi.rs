//! Flushing by interrupts: each CPU concerned flushes its own TLB, and answers.

use crate::config::FreedTables;
use crate::event::Event;
use crate::flush::reached::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::smp_call::{Call, FlushCall};
use crate::sync_round::{self, Standing};
use crate::types::Range;
use crate::world::Cpu;

/// Flushes `range` of `mm` by interrupting the CPUs that must not use it any longer, and covers the tickets taken
/// before if every CPU that may have been walking was reached.
pub(crate) fn flush<M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    range: Range,
    freed_tables: FreedTables,
    tlb_gen: u64,
) -> Reached {
    let world = cpu.world();
    let freed = freed_tables == FreedTables::Yes;
    let trim = !freed && mm.is_time_to_trim();
    let mut deferred = 0;
    let mut to = cpu.sets().take();
    let targets = sync_round::look(cpu, mm, |other, standing| {
        let is_concerned = freed || standing.needs_plain_flush() || trim && standing == Standing::Elsewhere;
        if is_concerned && mm.config.hypercall && world.defer_flush(other) {
            deferred += 1;
        } else if is_concerned {
            to.insert(other);
        }
    });
    cpu.note(mm.id, Event::Hypercall, deferred);
    let call = FlushCall { mm: mm.id, range, tlb_gen };
    let mut in_flight = sync_round::issue(&mut *cpu, Call::Flush(call), to, targets);
    in_flight.meanwhile(|off| off.flush_own(mm, call));
    match in_flight.wait() {
        Some(proof) => Reached::Mm(proof.cover()),
        None => Reached::Short,
    }
}
