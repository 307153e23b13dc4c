//! A worker elsewhere: it visits another mm, or sleeps with that loaded, and finds its own again, as it has left it or flushed
//! since.

use crate::choice::Kind;
use crate::machine::Bench;
use crate::phases::Phase;
use crate::team::Asleep;
use crate::turns::Turn;
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
    /// turn, and must not use it there. In a turn with a reclaim the other mm is of the same batch, and has the page too.
    pub(crate) fn visit(&self, cpu: &mut Cpu<'_, M>, turn: Turn) {
        if !self.visits() {
            return;
        }
        if turn.kind == Kind::Reclaim {
            cpu.switch_mm(Some(self.victim()));
            let _ = self.look_at(cpu.id(), self.touched);
        } else {
            cpu.switch_mm(Some(self.elsewhere()));
            self.find_gone(cpu, self.elsewhere());
        }
        if self.run.spec.remap.is_on() {
            self.run.window.look(&self.run.world, cpu.id());
        }
        cpu.switch_mm(Some(self.mm));
    }

    /// With `visits`, after a reclaim: what was kept of the other mm of the batch must not be used either.
    pub(crate) fn visit_victim(&self, cpu: &mut Cpu<'_, M>, last: Turn) {
        if self.visits() && last.kind == Kind::Reclaim {
            cpu.switch_mm(Some(self.victim()));
            self.find_gone(cpu, self.victim());
            cpu.switch_mm(Some(self.mm));
        }
    }

    fn visits(&self) -> bool {
        self.run.spec.visits.is_on() && self.run.phases.is_open(Phase::Count)
    }

    /// The second mm of a batch.
    fn victim(&self) -> &'r Mm {
        self.run.world.mm(self.victim)
    }

    /// The page of this turn is not mapped in `mm`, which is loaded: it must not be there.
    pub(crate) fn find_gone(&self, cpu: &Cpu<'_, M>, mm: &Mm) {
        let (cpu, at) = (cpu.id(), self.touched);
        let (kept, found) = self.look_at(cpu, at);
        if kept.or(found).is_some() {
            let (kind, mm, table) = (Caught::StaleTranslation, mm.id, Frame(0));
            self.run.world.caught(Violation { kind, cpu, mm, va: at, table, ticket: 0 });
        }
    }

    /// What this CPU may read at `va` by a translation that it has kept, and what it does read.
    pub(crate) fn look_at(&self, cpu: CpuId, va: VirtAddr) -> (Option<u64>, Option<u64>) {
        let machine = &self.run.world.machine;
        machine.irqs_off(cpu, || (machine.kept().of(cpu, va), machine.touch(cpu, va)))
    }
}
