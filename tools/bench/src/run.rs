//! One policy at one workload: the CPUs' roles, and the rows that come out.

use alloc::vec::Vec;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::SeedableRng;

use crate::cast::{Cast, Role};
use crate::counts::{Counts, Isolated, Measured, Tickets};
use crate::layout;
use crate::machine::Bench;
use crate::phases::Phases;
use crate::ranges::Ranges;
use crate::row::Row;
use crate::samples::Samples;
use crate::spec::{MmName, PolicyName, Spec, Status};
use crate::team::Team;
use crate::window::Window;
use gupsync::atomic::{Figure, Ordering};
use gupsync::event::Event;
use gupsync::types::{CpuId, MmId};
use gupsync::world::{Cpu, World};

/// One policy at one workload, with a world of its own.
pub struct Run<M: Bench> {
    /// The world: interrupt handlers need it.
    pub world: World<M>,
    pub(crate) spec: Spec,
    pub(crate) cast: Cast,
    pub(crate) teams: Vec<Team>,
    pub(crate) phases: Phases,
    pub(crate) tallies: Vec<Tally>,
    pub(crate) longest_gap: LongestGap,
    pub(crate) window: Window,
    pub(crate) samples: Samples,
    /// By CPU: in how many counted turns a worker has walked to a page before the operation, and how often a flusher
    /// has flushed.
    pub(crate) deeds: Vec<Figure>,
    pub(crate) policy: PolicyName,
    /// Tickets taken and covered before counting began, per mm.
    before: Vec<[Figure; 2]>,
}

/// What a mutator counts itself.
pub(crate) struct Tally {
    /// Operations done.
    ops: Figure,
    /// Those of them that had to be taken back.
    failed: Figure,
    /// Those of them before which every worker could walk to a page.
    walkable: Figure,
    /// Cycles spent in them.
    cycles: Figure,
}

impl Tally {
    fn new() -> Self {
        Tally { ops: Figure::new(0), failed: Figure::new(0), walkable: Figure::new(0), cycles: Figure::new(0) }
    }

    pub(crate) fn add(&self, cycles: u64, done: bool, walkable: bool) {
        // Relaxed: read after the mutator has reported.
        self.ops.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(!done), Ordering::Relaxed);
        self.walkable.fetch_add(u64::from(walkable), Ordering::Relaxed);
        self.cycles.fetch_add(cycles, Ordering::Relaxed);
    }
}

/// The longest time that any isolated CPU was away.
pub(crate) struct LongestGap(Figure);

impl LongestGap {
    pub(crate) fn new() -> Self {
        LongestGap(Figure::new(0))
    }

    pub(crate) fn record(&self, gap: u64) {
        // Relaxed: a figure.
        self.0.fetch_max(gap, Ordering::Relaxed);
    }

    /// In the machine's clock.
    pub(crate) fn get(&self) -> u64 {
        // Relaxed: read after the last report.
        self.0.load(Ordering::Relaxed)
    }
}

/// How a row ended. A violation is never hidden by what else went wrong.
fn status(has_caught: bool, has_no_memory: bool, is_restless: bool) -> Status {
    let ends = [
        (has_caught, Status::Violation),
        (has_no_memory, Status::Memory),
        (is_restless, Status::Unsettled),
        (true, Status::Ok),
    ];
    ends.into_iter().find_map(|(is_so, status)| is_so.then_some(status)).expect("the last is so")
}

impl<M: Bench> Run<M> {
    /// A run of `policy`, ready to start. `None` if there is no memory for it.
    pub fn new(machine: M, spec: &Spec, policy: PolicyName) -> Option<Self> {
        let cast = Cast::new(spec, machine.cpus());
        let teams = cast.teams.iter().map(|team| Team::new(machine.cpus(), team.workers.len())).collect();
        let world = World::new(machine, spec.flush_config(), cast.mms.iter().copied())?;
        for team in &cast.teams {
            Ranges::new()
                .map_small(&world.machine, world.mm(team.mms[0]), layout::SIBLING, 0..layout::PAGES)
                .ok()?;
        }
        let before = world.mms().iter().map(|_| [Figure::new(0), Figure::new(0)]).collect();
        let tallies = cast.teams.iter().map(|_| Tally::new()).collect();
        let deeds = (0..world.machine.cpus()).map(|_| Figure::new(0)).collect();
        let (phases, longest_gap) = (Phases::new(), LongestGap::new());
        let window = Window::new(&world.machine);
        let samples = Samples::new(world.machine.cpus());
        Some(Run {
            deeds,
            world,
            spec: spec.clone(),
            cast,
            teams,
            phases,
            tallies,
            longest_gap,
            window,
            samples,
            policy,
            before,
        })
    }

    /// How many mms a run of `spec` has: so many rows of counters its machine needs.
    pub fn mms(spec: &Spec, cpus: usize) -> usize {
        Cast::new(spec, cpus).mms.len()
    }

    /// The CPUs on which the mutators of a run of `spec` begin.
    pub fn mutators(spec: &Spec, cpus: usize) -> Vec<CpuId> {
        Cast::new(spec, cpus).teams.iter().map(|team| team.mutator).collect()
    }

    /// Wakes the CPUs whose role `which` accepts.
    pub(crate) fn kick(&self, cpu: &Cpu<'_, M>, which: impl Fn(Role) -> bool) {
        let sleepers: Vec<_> = self.cast.in_role(which).collect();
        self.world.machine.wake(cpu.id(), sleepers.iter().copied(), MmId::KERNEL);
    }

    /// Whether there is no point in going on.
    pub(crate) fn must_stop(&self) -> bool {
        self.world.findings.has_caught() || self.phases.has_no_memory() || self.phases.is_restless()
    }

    /// The random numbers of one CPU: the same for every policy.
    pub(crate) fn random(&self, cpu: CpuId) -> SplitMix64 {
        SplitMix64::seed_from_u64(self.spec.seed ^ (cpu.0 as u64) << 32)
    }

    /// What happens from now on is counted. No other CPU is at work.
    pub(crate) fn begin_counting(&self) {
        self.world.machine.forget_counts();
        self.window.forget();
        for (mm, before) in self.world.mms().iter().zip(&self.before) {
            let (set, cleared) = mm.pending.counts();
            // Relaxed: read by the same CPU.
            before[0].store(set, Ordering::Relaxed);
            before[1].store(cleared, Ordering::Relaxed);
        }
    }

    /// The rows: one for each team's mm if there are several, and one for all. No other CPU is at work.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.world.machine.end_counts();
        let (phases, findings) = (&self.phases, &self.world.findings);
        let status = status(findings.has_caught(), phases.has_no_memory(), phases.is_restless());
        let row = |mm, mms: &[MmId], tallies: &[Tally]| {
            let row = Row::new(&self.spec, self.policy, mm, self.world.machine.cpus(), status);
            let row = Row { machine: M::NAME, ..row };
            if status == Status::Memory {
                return row;
            }
            let counts = self.counts(mms, tallies, mm == MmName::Total);
            Row { counts, detail: self.world.findings.first(), ..row }
        };
        let mut rows = Vec::new();
        if self.teams.len() > 1 {
            for (team, tally) in self.cast.teams.iter().zip(&self.tallies) {
                let row = row(team.name, &team.mms, core::slice::from_ref(tally));
                rows.push(Row { mm_cpus: team.mm_cpus(), ..row });
            }
        }
        let all: Vec<_> = (1..=self.cast.mms.len()).map(MmId::new).chain([MmId::KERNEL]).collect();
        rows.push(row(MmName::Total, &all, &self.tallies));
        rows
    }

    /// What `mms` and their mutators have cost. What isolated CPUs recorded belongs to all mms together.
    fn counts(&self, mms: &[MmId], tallies: &[Tally], are_all: bool) -> Counts {
        let machine = &self.world.machine;
        let isolated: Vec<_> = self.cast.in_role(|role| matches!(role, Role::Isolated(_))).collect();
        let happened = |event| mms.iter().map(|mm| machine.counted(*mm, event)).sum();
        let on_isolated = |event| {
            let on = |cpu: &CpuId| mms.iter().map(|mm| machine.counted_on(*cpu, *mm, event)).sum::<u64>();
            isolated.iter().map(on).sum()
        };
        let (mut before, mut after) = (Tickets::default(), Tickets::default());
        for mm in mms.iter().filter(|mm| **mm != MmId::KERNEL) {
            let (set, cleared) = self.world.mm(*mm).pending.counts();
            after = Tickets { set: after.set + set, cleared: after.cleared + cleared };
            // Relaxed: written by the same CPU.
            let [set, cleared] = self.before[mm.index()].each_ref().map(|count| count.load(Ordering::Relaxed));
            before = Tickets { set: before.set + set, cleared: before.cleared + cleared };
        }
        // Relaxed: the mutators have reported.
        let tally = |get: fn(&Tally) -> &Figure| {
            tallies.iter().map(|tally| get(tally).load(Ordering::Relaxed)).sum::<u64>()
        };
        let walks = |cpu| mms.iter().map(|mm| machine.counted_on(cpu, *mm, Event::WalkEnd)).sum::<u64>();
        // Relaxed: the CPUs have reported, or are through with their turns.
        let deeds = |cpu: CpuId| self.deeds[cpu.0].load(Ordering::Relaxed);
        let least = |role: fn(Role) -> bool, of: &dyn Fn(CpuId) -> u64| {
            self.cast.in_role(role).map(of).min().filter(|_| are_all)
        };
        let team = self.cast.teams.iter().find(|team| team.mms[0] == mms[0]);
        let team = team.filter(|_| !are_all || self.teams.len() == 1);
        let acks: u64 = [Event::FlushAcked, Event::SyncAcked, Event::OtherAcked].map(happened).iter().sum();
        let has_isolated = are_all && !isolated.is_empty();
        let isolated = Isolated { happened: &on_isolated, longest_gap: self.longest_gap.get() };
        Counts::new(&Measured {
            happened: &happened,
            isolated: has_isolated.then_some(isolated),
            ops: tally(|tally| &tally.ops),
            failed: tally(|tally| &tally.failed),
            walkable: tally(|tally| &tally.walkable),
            least_reaching: team.and_then(|team| team.workers.clone().map(CpuId).map(deeds).min()),
            least_switching: least(|role| role == Role::Switcher, &walks),
            least_flushing: least(|role| matches!(role, Role::Flusher(_)), &deeds),
            cycles: tally(|tally| &tally.cycles),
            remaps_read: are_all.then(|| self.window.read()),
            coalesced: acks.checked_sub(happened(Event::InterruptTaken)).filter(|_| are_all),
            before,
            after,
            sync_violations: self.world.findings.sync_violations(),
            stale_translations: self.world.findings.stale_translations(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_10_a_violation_is_never_hidden_by_another_status() {
        for others in 0..4 {
            assert_eq!(status(true, others & 1 != 0, others & 2 != 0), Status::Violation);
        }
        assert_eq!(status(false, true, true), Status::Memory);
        assert_eq!(status(false, false, true), Status::Unsettled);
        assert_eq!(status(false, false, false), Status::Ok);
    }
}
