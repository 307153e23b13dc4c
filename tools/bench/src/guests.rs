//! Those who keep no step with any team: switchers, flushers, and CPUs that take up a position and stay there.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::Rng;

use gupsync::cpumask::CpuId;
use gupsync::flush::{self, Tables};
use gupsync::machine::{Machine, Range};
use gupsync::mm::Mm;
use gupsync::policy::{ForPolicy, Policy};
use crate::choice::Kind;
use crate::ranges;
use crate::run::Run;
use crate::stage::Phase;
use gupsync::walk::{self, Walked};
use gupsync::world::Cpu;

/// Up to so many pauses between two things that a guest does.
const PAUSES: u64 = 64;

/// A CPU that has the mm of a team loaded, lazily.
pub(crate) fn be_lazy<M: Machine>(run: &Run<M>, cpu: CpuId, team: usize) {
    let mut cpu = run.world.enter(cpu);
    cpu.park(|| run.stage.is_open(Phase::Pose));
    cpu.switch_to(Some(run.world.mm(run.cast.teams[team].mms[0])));
    cpu.go_lazy();
    run.stage.report();
    cpu.park(|| run.stage.is_open(Phase::Over));
    cpu.switch_to(None);
}

/// A CPU that has run the mm of a team, and has another one loaded.
pub(crate) fn be_stale<M: Machine>(run: &Run<M>, cpu: CpuId, team: usize) {
    let mut cpu = run.world.enter(cpu);
    cpu.park(|| run.stage.is_open(Phase::Pose));
    cpu.switch_to(Some(run.world.mm(run.cast.teams[team].mms[0])));
    cpu.switch_to(Some(run.world.mm(run.cast.elsewhere())));
    run.stage.report();
    cpu.park(|| run.stage.is_open(Phase::Over));
    cpu.switch_to(None);
}

/// A CPU that flushes the mm of a team, as a sibling's `mprotect` would, while the team works.
pub(crate) fn flush_on<M: Machine>(run: &Run<M>, cpu: CpuId, team: usize) {
    let mut random = run.random(cpu);
    let mut cpu = run.world.enter(cpu);
    let mm = run.world.mm(run.cast.teams[team].mms[0]);
    cpu.park(|| run.stage.is_open(Phase::Count));
    cpu.switch_to(Some(mm));
    while !run.stage.is_open(Phase::Stop) {
        let range = Range::small(ranges::SIBLING, 1 + random.next_u64() % 40);
        let _ = flush::flush(&mut cpu, mm, range, Tables::Kept, None);
        linger(&mut cpu, &mut random);
    }
    cpu.switch_to(None);
    run.stage.report();
}

/// Passes the time, idle at first.
fn linger<M: Machine>(cpu: &mut Cpu<'_, M>, random: &mut SplitMix64) {
    let mut pauses = random.next_u64() % PAUSES;
    cpu.rest(|| {
        let is_over = pauses == 0;
        pauses = pauses.saturating_sub(1);
        is_over
    });
}

/// A CPU that goes from mm to mm, walks them, and is lazy in them, for a policy.
pub(crate) struct Switch<'r, M: Machine> {
    pub(crate) run: &'r Run<M>,
    pub(crate) cpu: CpuId,
}

impl<M: Machine> ForPolicy for Switch<'_, M> {
    type Output = ();

    fn run<P: Policy>(self) {
        let run = self.run;
        let mut random = run.random(self.cpu);
        let mut cpu = run.world.enter(self.cpu);
        cpu.park(|| run.stage.is_open(Phase::Count));
        while !run.stage.is_open(Phase::Stop) {
            let team = (random.next_u64() % run.teams.len() as u64) as usize;
            if !run.cast.teams[team].has_guests {
                continue;
            }
            let mm = run.world.mm(run.cast.teams[team].mms[0]);
            cpu.switch_to(Some(mm));
            self.visit::<P>(&mut cpu, mm, team, &mut random);
            if random.next_u64().is_multiple_of(2) {
                cpu.go_lazy();
                linger(&mut cpu, &mut random);
                cpu.unlazy(mm);
                self.visit::<P>(&mut cpu, mm, team, &mut random);
            }
            linger(&mut cpu, &mut random);
        }
        cpu.switch_to(None);
        run.stage.report();
    }
}

impl<M: Machine> Switch<'_, M> {
    /// Walks where the team works now.
    fn visit<P: Policy>(&self, cpu: &mut Cpu<'_, M>, mm: &Mm, team: usize, random: &mut SplitMix64) {
        let Some(turn) = self.run.teams[team].glance() else { return };
        let at = ranges::page_of(turn.kind, turn.number, self.run.spec.tables, random.next_u64());
        let mut pauses = random.next_u64() % PAUSES;
        let level = if turn.kind == Kind::Unshare { 2 } else { 1 };
        let inside = |off: &gupsync::world::IrqsOff<'_, M>, at: u32, _| {
            while at == level && pauses > 0 && !off.world().is_waited_for(off.id()) {
                off.world().machine.pause();
                pauses -= 1;
            }
        };
        if let Walked::Pinned { page, .. } = walk::gup_fast::<P, M>(cpu, mm, at, inside) {
            self.run.world.put_page(page);
        }
    }
}
