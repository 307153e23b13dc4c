//! CPUs that keep no step with any team: switchers and flushers, and lazy and stale ones, which stay as they are.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::Rng;

use crate::layout;
use crate::machine::Bench;
use crate::phases::Phase;
use crate::run::Run;
use gupsync::atomic::Ordering;
use gupsync::config::FreedTables;
use gupsync::flush;
use gupsync::gup_fast::{self, Walked};
use gupsync::mm::Mm;
use gupsync::policy::{ForPolicy, Policy};
use gupsync::types::{CpuId, Range};
use gupsync::world::{Cpu, IrqsOff};

/// Up to so many pauses between two things that a guest does.
const PAUSES: u64 = 64;

/// A CPU that has the mm of a team loaded, lazily.
pub(crate) fn be_lazy<M: Bench>(run: &Run<M>, cpu: CpuId, team: usize) {
    let mut cpu = run.world.enter(cpu);
    park(&mut cpu, || run.phases.is_open(Phase::Pose));
    cpu.switch_mm(Some(run.world.mm(run.cast.teams[team].mms[0])));
    cpu.enter_lazy_tlb();
    run.phases.report();
    park(&mut cpu, || run.phases.is_open(Phase::Over));
    cpu.switch_mm(None);
}

/// A CPU that has run the mm of a team, and has another one loaded.
pub(crate) fn be_stale<M: Bench>(run: &Run<M>, cpu: CpuId, team: usize) {
    let mut cpu = run.world.enter(cpu);
    park(&mut cpu, || run.phases.is_open(Phase::Pose));
    cpu.switch_mm(Some(run.world.mm(run.cast.teams[team].mms[0])));
    cpu.switch_mm(Some(run.world.mm(run.cast.elsewhere())));
    run.phases.report();
    park(&mut cpu, || run.phases.is_open(Phase::Over));
    cpu.switch_mm(None);
}

/// A CPU that flushes the mm of a team, as a sibling's `mprotect` would, while the team works.
pub(crate) fn flush_on<M: Bench>(run: &Run<M>, cpu: CpuId, team: usize) {
    let mut random = run.random(cpu);
    let mut cpu = run.world.enter(cpu);
    let mm = run.world.mm(run.cast.teams[team].mms[0]);
    park(&mut cpu, || run.phases.is_open(Phase::Count));
    cpu.switch_mm(Some(mm));
    // Once at least: a flusher that does not flush is no evidence.
    let mut flushes = 0;
    while flushes == 0 || !run.phases.is_open(Phase::Stop) {
        let range = Range::small(layout::SIBLING, 1 + random.next_u64() % 40);
        let _ = flush::flush(&mut cpu, mm, range, FreedTables::No, None);
        flushes += 1;
        linger(&mut cpu, &mut random);
    }
    cpu.switch_mm(None);
    // Relaxed: published by the report.
    run.deeds[cpu.id().0].store(flushes, Ordering::Relaxed);
    run.phases.report();
}

/// Sleeps, idle, until `until` holds.
fn park<M: Bench>(cpu: &mut Cpu<'_, M>, until: impl FnMut() -> bool) {
    let id = cpu.id();
    cpu.idle(|machine| machine.park(id, until));
}

/// Passes the time, idle at first.
fn linger<M: Bench>(cpu: &mut Cpu<'_, M>, random: &mut SplitMix64) {
    let mut pauses = random.next_u64() % PAUSES;
    cpu.rest(|| {
        let is_over = pauses == 0;
        pauses = pauses.saturating_sub(1);
        is_over
    });
}

/// A CPU that goes from mm to mm, walks them, and is lazy in them, for a policy.
pub(crate) struct Switch<'r, M: Bench> {
    pub(crate) run: &'r Run<M>,
    pub(crate) cpu: CpuId,
}

impl<M: Bench> ForPolicy for Switch<'_, M> {
    type Output = ();

    fn run<P: Policy>(self) {
        let run = self.run;
        let mut random = run.random(self.cpu);
        let mut cpu = run.world.enter(self.cpu);
        park(&mut cpu, || run.phases.is_open(Phase::Count));
        let mut has_walked = false;
        while !has_walked || !run.phases.is_open(Phase::Stop) {
            let team = (random.next_u64() % run.teams.len() as u64) as usize;
            if !run.cast.teams[team].has_guests {
                continue;
            }
            let mm = run.world.mm(run.cast.teams[team].mms[0]);
            cpu.switch_mm(Some(mm));
            has_walked |= self.visit::<P>(&mut cpu, mm, team, &mut random);
            if random.next_u64().is_multiple_of(2) {
                cpu.enter_lazy_tlb();
                linger(&mut cpu, &mut random);
                cpu.exit_lazy_tlb(mm);
                self.visit::<P>(&mut cpu, mm, team, &mut random);
            }
            linger(&mut cpu, &mut random);
        }
        cpu.switch_mm(None);
        run.phases.report();
    }
}

impl<M: Bench> Switch<'_, M> {
    /// Walks where the team works now, if it does.
    fn visit<P: Policy>(&self, cpu: &mut Cpu<'_, M>, mm: &Mm, team: usize, random: &mut SplitMix64) -> bool {
        let Some(turn) = self.run.teams[team].turns.glance() else { return false };
        let at = self.run.spec.layout().page_of(turn.kind, turn.number, random.next_u64());
        let mut pauses = random.next_u64() % PAUSES;
        let level = self.run.spec.layout().held_level(turn.kind, turn.number);
        let inside = |off: &IrqsOff<'_, M>, at: u32, _| {
            if at != level {
                return;
            }
            off.world().machine.spin(|| {
                let is_over = pauses == 0 || off.world().is_waited_for(off.id());
                pauses = pauses.saturating_sub(1);
                is_over
            });
        };
        if let Walked::Pinned { page, .. } = gup_fast::gup_fast::<P, M>(cpu, mm, at, inside) {
            self.run.world.put_page(page);
        }
        true
    }
}
