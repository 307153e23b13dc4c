//! Flushing by interrupts: each CPU concerned flushes its own TLB, and answers.

use crate::atomic::Ordering;
use crate::call::{Call, FlushCall};
use crate::cpumask::CpuId;
use crate::flush::{Reached, Tables};
use crate::machine::{Event, Machine, Range};
use crate::mm::membership::Found;
use crate::mm::{Mm, MmId};
use crate::world::{Cpu, IrqsOff, World};

/// Flushes `range` of `mm` by interrupting the CPUs that must not use it any longer, and covers the tickets taken
/// before if every CPU of the mm was reached.
pub(crate) fn flush<M: Machine>(
    cpu: &mut Cpu<'_, M>,
    mm: &Mm,
    range: Range,
    tables: Tables,
    tlb_gen: u64,
) -> Reached {
    let snapshot = mm.pending.begin();
    let (world, me) = (cpu.world(), cpu.id());
    let trim = tables == Tables::Kept && mm.is_time_to_trim();
    let mut deferred = 0;
    let mut to = cpu.sets().take();
    let need = cpu.sets().take();
    let targets = snapshot.targets(need, |need| {
        // Acquire: pairs with the Release in `leave`.
        mm.cpumask.for_each(Ordering::Acquire, |other| {
            if other == me {
                return;
            }
            let found = world.found(other, mm.id);
            if found.must_ack() {
                need.insert(other);
            }
            let concerned = tables == Tables::Freed || found.must_flush() || trim && found == Found::Elsewhere;
            if concerned && mm.config.hypercall && world.defer_flush(other) {
                deferred += 1;
            } else if concerned {
                to.insert(other);
            }
        });
    });
    cpu.note(mm.id, Event::Hypercall, deferred);
    let call = FlushCall { mm: mm.id, range, tlb_gen };
    let in_flight = cpu.issue(Call::Flush(call), to, targets);
    cpu.irqs_off(|off| off.flush_own(mm, call));
    match in_flight.wait(cpu) {
        Some(proof) => Reached::Mm(proof.cover()),
        None => Reached::Short,
    }
}

impl<M: Machine> World<M> {
    /// What a CPU does when it is called.
    pub(crate) fn respond(&self, cpu: CpuId, call: Call) {
        let off = self.in_handler(cpu);
        let loaded = off.state().own_loaded_mm();
        match call {
            Call::Kernel => self.machine.flush_local(cpu, Range::All),
            Call::Everyone => {}
            Call::Debt { mm, kin } => {
                if !kin.contains(loaded) {
                    off.note(mm, Event::ForeignInterrupt, 1);
                }
            }
            // Interrupts are off throughout a switch, so this is not seen; if it were, it would mean nothing yet.
            _ if loaded == MmId::SWITCHING => {}
            Call::Flush(flush) if loaded == flush.mm => off.flush_own(self.mm(flush.mm), flush),
            Call::Sync(mm) if loaded == mm => {}
            // As in Linux, only a flush trims the cpumask.
            Call::Sync(mm) => off.note(mm, Event::ForeignInterrupt, 1),
            Call::Flush(FlushCall { mm, .. }) => {
                off.note(mm, Event::ForeignInterrupt, 1);
                off.leave(self.mm(mm));
            }
        }
    }
}

impl<M: Machine> IrqsOff<'_, M> {
    /// Carries out a flush on this CPU, if it has the mm loaded.
    fn flush_own(&self, mm: &Mm, call: FlushCall) {
        let state = self.state();
        if state.own_loaded_mm() != mm.id {
            return;
        }
        // A lazy CPU drops the mm, but goes over to its global ASID, if there is one, as any other does.
        if state.own_is_lazy() && !mm.asid.now().is_global() {
            self.drop_lazy();
        } else {
            self.bring_up(mm, call.tlb_gen, call.range);
        }
    }
}
