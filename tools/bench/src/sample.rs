//! Samples: an NMI comes to a CPU of an mm while it is between two tasks, or inside a walk, and its handler walks.
//!
//! # Guarantee
//!
//! [`Run::sample`] returns when the NMI that it has sent to its own CPU was handled there. A sample that is to be held is so:
//! inside its walk, or, if the guard has refused that, where it is, with interrupts off.

use crate::choice::{Sample, Toggle};
use crate::hold::At;
use crate::machine::Bench;
use crate::run::Run;
use crate::samples::Asked;
use gupsync::nmi_walk::{self, Guard, Sampled};
use gupsync::policy::{self, ForPolicy, Policy};
use gupsync::types::CpuId;
use gupsync::world::IrqsOff;

impl<M: Bench> Run<M> {
    /// Has an NMI sample this CPU, a worker's, at the page that its team works on. With `stays`, it is held.
    ///
    /// Not inlined into a walk, which executes none of it unless it is sampled.
    #[inline(never)]
    pub(crate) fn sample(&self, off: &IrqsOff<'_, M>, stays: bool) {
        let (cpu, machine) = (off.id(), &self.world.machine);
        self.samples.ask(cpu, if stays { Asked::Stay } else { Asked::Walk });
        machine.send_nmi(cpu);
        machine.spin(|| self.samples.asked(cpu).is_none());
    }

    /// What the NMI handler of `cpu` does, whatever the NMI was sent for.
    pub fn on_nmi(&self, cpu: CpuId) {
        if let Some(asked) = self.samples.asked(cpu) {
            policy::with(&self.policy, Walk { run: self, cpu, stays: asked == Asked::Stay });
            self.samples.done(cpu);
        }
    }

    /// Whether a walker is refused its walk when it is sampled to be held.
    fn guard(&self) -> Guard {
        match self.spec.nmi_guard {
            Toggle::On => Guard::On,
            Toggle::Off => Guard::Off,
        }
    }
}

/// The walk of a sample, for a policy.
struct Walk<'r, M: Bench> {
    run: &'r Run<M>,
    cpu: CpuId,
    stays: bool,
}

impl<M: Bench> ForPolicy for Walk<'_, M> {
    type Output = ();

    fn run<P: Policy>(self) {
        let Walk { run, cpu, stays } = self;
        let (index, cast) = run.cast.team_of(cpu).expect("a worker is sampled");
        let (team, mm) = (&run.teams[index], run.world.mm(cast.mms[0]));
        let Some(turn) = team.turns.glance() else { return };
        let is_preempted = cast.is_preempted(cpu);
        let stay = |off: &IrqsOff<'_, M>, walked| {
            // Its handler pins no page, and so leaves at once where a walker would go on to.
            if team.hold.stay(off, walked, turn.number, is_preempted, || team.turns.has_operated(turn.number)) {
                team.hold.leave();
            }
        };
        let at = run.spec.layout().page_of(turn.kind, turn.number, 0);
        let (mut is_to_stay, held_level) = (stays, run.spec.layout().held_level(turn.kind, turn.number));
        let inside = |off: &IrqsOff<'_, M>, level, table| {
            if level == held_level && core::mem::take(&mut is_to_stay) {
                stay(off, Some(At { mm, va: at, table }));
            }
        };
        let sampled = nmi_walk::page_size::<P, M>(&run.world, cpu, at, run.guard(), inside);
        if stays && sampled == Sampled::Refused {
            stay(&run.world.in_nmi(cpu), None);
        }
    }
}

impl Sample {
    /// Whether a walk that begins there is refused by the guard.
    pub(crate) fn is_between_tasks(self) -> bool {
        self != Sample::Walk
    }
}
