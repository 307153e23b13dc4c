//! What a CPU does when it is called.
//!
//! # Guarantee
//!
//! Each request is carried out and then acknowledged in a context with no walk below it on this CPU: in the maskable
//! interrupt handler, because a walk keeps that off; or by the task that runs there, between walks.

use crate::event::Event;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::smp_call::{Call, FlushCall};
use crate::types::{CpuId, MmId, Range};
use crate::world::{Cpu, IrqsOff, World};

impl<M: Machine> World<M> {
    /// The maskable interrupt handler: carries out and acknowledges what others have asked of `cpu`.
    ///
    /// Interrupts are off, and there is no walk below on `cpu`. An NMI handler, or a walker that polls, would acknowledge
    /// from inside a walk.
    pub fn interrupt(&self, cpu: CpuId) {
        self.machine.note(cpu, MmId::KERNEL, Event::InterruptTaken, 1);
        self.serve(cpu);
    }

    fn serve(&self, cpu: CpuId) {
        self.calls.serve(cpu, |call| {
            self.carry_out(cpu, call);
            self.machine.acked(cpu, call.cause(), call.mm());
        });
    }

    fn carry_out(&self, cpu: CpuId, call: Call) {
        let off = self.in_handler(cpu);
        let loaded = off.state().own_loaded_mm();
        match call {
            Call::Kernel => self.machine.flush_all(cpu),
            Call::Everyone => {}
            Call::Stop => self.online.await_sends(&off.state().sends),
            Call::Debt { mm, sharers } => {
                if !sharers.contains(loaded) {
                    off.note(mm, Event::ForeignInterrupt, 1);
                }
            }
            // Interrupts are off throughout a switch, so this is not seen; if it were, it would mean nothing yet.
            _ if loaded == MmId::SWITCHING => {}
            Call::Flush(flush) if loaded == flush.mm => off.flush_own(self.mm(flush.mm), flush),
            Call::Sync(mm) if loaded == mm => {}
            Call::Batch => off.flush_loaded(),
            // As in Linux, only a flush trims the cpumask.
            Call::Sync(mm) => off.note(mm, Event::ForeignInterrupt, 1),
            Call::Flush(FlushCall { mm, .. }) => {
                off.note(mm, Event::ForeignInterrupt, 1);
                off.leave(self.mm(mm));
            }
        }
    }
}

impl<M: Machine> Cpu<'_, M> {
    /// Carries out and acknowledges what others have asked of this CPU, before their interrupt is taken: idle, say (Linux:
    /// `flush_smp_call_function_queue()`, which `do_idle()`, the stopper and a dying CPU call). A walk borrows the `Cpu`, so
    /// there is none below.
    pub fn serve(&mut self) {
        self.irqs_off(|off| off.world().serve(off.id()));
    }
}

impl<M: Machine> IrqsOff<'_, M> {
    /// Carries out a flush on this CPU, if it has the mm loaded.
    pub(crate) fn flush_own(&self, mm: &Mm, call: FlushCall) {
        let state = self.state();
        if state.own_loaded_mm() != mm.id {
            return;
        }
        // A lazy CPU drops the mm, but loads it under its global ASID, if there is one, as any other does.
        if state.own_is_lazy() && !mm.asid.now().is_global() {
            self.drop_lazy();
        } else {
            self.bring_up(mm, call.tlb_gen, call.range);
        }
    }

    /// Carries out the flush of a batch: drops all that this CPU holds of the mm that it has loaded, if that is behind.
    pub(crate) fn flush_loaded(&self) {
        let mm = self.state().own_loaded_mm();
        if mm != MmId::KERNEL {
            // No flush of this mm has number 0: more than its range may be due.
            self.flush_own(self.world().mm(mm), FlushCall { mm, range: Range::All, tlb_gen: 0 });
        }
    }
}
