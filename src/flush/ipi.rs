//! Flushing by interrupts: each CPU concerned flushes its own TLB, and answers.

use crate::config::FreedTables;
use crate::flush::reached::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::smp_call::{Call, FlushCall};
use crate::sync_round::{self, Standing};
use crate::types::{CpuId, Range};
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
    flush_but(cpu, mm, range, freed_tables, tlb_gen, |_| false)
}

/// [`flush`], but for the CPUs that `defer` says are taken care of in another way. Their acks are missing, then.
pub(crate) fn flush_but<M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    range: Range,
    freed_tables: FreedTables,
    tlb_gen: u64,
    mut defer: impl FnMut(CpuId) -> bool,
) -> Reached {
    let freed = freed_tables == FreedTables::Yes;
    let trim = !freed && mm.is_time_to_trim();
    let begun = sync_round::begin(cpu, mm);
    let mut to = cpu.sets().take();
    let targets = sync_round::look(cpu, begun, |other, standing| {
        let is_concerned = freed || standing.needs_plain_flush() || trim && standing == Standing::Elsewhere;
        if is_concerned && !defer(other) {
            to.insert(other);
        }
    });
    let call = FlushCall { mm: mm.id, range, tlb_gen };
    let in_flight = targets.issue_and(Call::Flush(call), to, |off| off.flush_own(mm, call));
    match in_flight.wait(cpu) {
        Some(proof) => Reached::Mm(proof.cover()),
        None => Reached::Short,
    }
}
