//! A worker elsewhere: it visits another mm, or sleeps with that loaded, and finds its own again, as it has left it or flushed
//! since.

use crate::machine::Bench;
use crate::phases::Phase;
use crate::team::Asleep;
use crate::worker::Worker;
use gupsync::detect::{Caught, Violation};
use gupsync::mm::Mm;
use gupsync::types::{CpuId, Frame, VirtAddr};
use gupsync::world::Cpu;

impl<'r, M: Bench> Worker<'r, M> {
    /// While an mm comes to rest, its CPUs are counted, and no worker naps or goes away.
    pub(crate) fn asleep(&self) -> Asleep<'r> {
        let spec = &self.run.spec;
        if !self.run.phases.is_open(Phase::Count) {
            Asleep::AsItIs
        } else if spec.naps.is_on() {
            Asleep::Lazily(self.mm)
        } else if spec.visits.is_on() {
            Asleep::Elsewhere(self.mm, self.elsewhere())
        } else {
            Asleep::AsItIs
        }
    }

    /// An mm in which nothing is mapped where this one works.
    pub(crate) fn elsewhere(&self) -> &'r Mm {
        self.run.world.mm(self.run.cast.elsewhere())
    }

    /// With `visits`, goes to another mm, uses what is mapped there, and comes back: the TLB may keep the translation of this
    /// turn, and must not use it there.
    pub(crate) fn visit(&self, cpu: &mut Cpu<'_, M>) {
        if !self.run.spec.visits.is_on() || !self.run.phases.is_open(Phase::Count) {
            return;
        }
        let (elsewhere, at) = (self.elsewhere(), self.touched);
        cpu.switch_mm(Some(elsewhere));
        let (kept, found) = self.look_at(cpu.id(), at);
        if kept.or(found).is_some() {
            let (kind, cpu, mm, table) = (Caught::StaleTranslation, cpu.id(), elsewhere.id, Frame(0));
            self.run.world.caught(Violation { kind, cpu, mm, va: at, table, ticket: 0 });
        }
        if self.run.spec.remap.is_on() {
            self.run.window.look(&self.run.world, cpu.id());
        }
        cpu.switch_mm(Some(self.mm));
    }

    /// What this CPU may read at `va` by a translation that it has kept, and what it does read.
    pub(crate) fn look_at(&self, cpu: CpuId, va: VirtAddr) -> (Option<u64>, Option<u64>) {
        let machine = &self.run.world.machine;
        machine.irqs_off(cpu, || (machine.kept().of(cpu, va), machine.touch(cpu, va)))
    }
}
