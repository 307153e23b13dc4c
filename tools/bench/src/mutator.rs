//! The mutator of a team: warm-up, then so many operations, each in a turn with all workers. The first team's leads.

use alloc::vec::Vec;

use crate::cast::Role;
use crate::choice::{Flush, Kind};
use crate::machine::Bench;
use crate::mutation::Mutation;
use crate::phases::Phase;
use crate::ranges::NoMemory;
use crate::row::Row;
use crate::run::Run;
use crate::turns::{Activity, Expect, Turn};
use gupsync::policy::{ForPolicy, Policy};
use gupsync::types::CpuId;
use gupsync::world::Cpu;

/// At the most so many operations until every CPU has joined and any ASID transition is over. A few are enough, but where
/// CPUs race on a host that is short of its own, chance may find one out of the cpumask after each of a dozen.
const WARM_UP: u64 = 256;
/// In one operation of so many, from the first on, walkers are held.
const HOLD_EVERY: u64 = 4;
/// After so many operations an mm that renews itself begins anew.
const LIFE: u64 = 4;

/// [`Run::lead`] and [`Run::follow`] for a mutator, for a policy.
pub(crate) struct Mutate<'r, M: Bench, F> {
    pub(crate) run: &'r Run<M>,
    pub(crate) cpu: CpuId,
    pub(crate) team: usize,
    /// Called now and then with the number of operations done.
    pub(crate) progress: F,
}

impl<M: Bench, F: FnMut(u64)> ForPolicy for Mutate<'_, M, F> {
    /// The rows, if it leads.
    type Output = Vec<Row>;

    fn run<P: Policy>(mut self) -> Vec<Row> {
        let (run, leads) = (self.run, self.team == 0);
        let mut cpu = run.world.enter(self.cpu);
        let cpu = &mut cpu;
        let random = run.random(self.cpu);
        let mut mutation = Mutation::new(run, self.team, random);
        if mutation.cast.inside {
            cpu.switch_mm(Some(mutation.mm()));
        }
        if !run.phases.has_no_memory() && warm_up::<P, M>(&mut mutation, cpu).is_err() {
            run.phases.set_no_memory();
        }
        run.phases.report();
        if leads {
            lead_to_count(run, cpu);
        }
        run.phases.await_phase(cpu, Phase::Count);
        if count::<P, M>(&mut mutation, cpu, &mut self.progress).is_err() {
            run.phases.set_no_memory();
        }
        run.phases.report();
        let rows = if leads { lead_to_end(run, cpu) } else { Vec::new() };
        run.phases.await_phase(cpu, Phase::Over);
        mutation.team.turns.end();
        kick_workers(&mutation, cpu);
        cpu.switch_mm(None);
        let mm = mutation.mm();
        mutation.ranges.give_back::<P, M>(cpu, mm);
        rows
    }
}

fn lead_to_count<M: Bench>(run: &Run<M>, cpu: &mut Cpu<'_, M>) {
    run.phases.await_reports(cpu, run.teams.len());
    let poses = |role| matches!(role, Role::Lazy(_) | Role::Stale(_));
    run.phases.open(Phase::Pose);
    run.kick(cpu, poses);
    run.phases.await_reports(cpu, run.cast.in_role(poses).count());
    run.begin_counting();
    run.phases.open(Phase::Count);
    run.kick(cpu, |role| matches!(role, Role::Switcher | Role::Flusher(_) | Role::Isolated(_)));
}

fn lead_to_end<M: Bench>(run: &Run<M>, cpu: &mut Cpu<'_, M>) -> Vec<Row> {
    run.phases.await_reports(cpu, run.teams.len());
    let guests = |role| matches!(role, Role::Switcher | Role::Flusher(_) | Role::Isolated(_));
    run.phases.open(Phase::Stop);
    run.phases.await_reports(cpu, run.cast.in_role(guests).count());
    let rows = run.rows();
    run.phases.open(Phase::Over);
    run.kick(cpu, |role| matches!(role, Role::Lazy(_) | Role::Stale(_)));
    rows
}

fn kick_workers<M: Bench>(mutation: &Mutation<'_, M>, cpu: &Cpu<'_, M>) {
    let workers = mutation.cast.workers.clone().map(CpuId);
    mutation.run.world.machine.wake(cpu.id(), workers, mutation.mm().id);
}

/// Works until the mm has come to rest.
fn warm_up<P: Policy, M: Bench>(mutation: &mut Mutation<'_, M>, cpu: &mut Cpu<'_, M>) -> Result<(), NoMemory> {
    let kinds = mutation.run.spec.kinds();
    let mut at_rest = false;
    while !at_rest && mutation.turn < WARM_UP + mutation.run.spec.asid_every && !mutation.run.must_stop() {
        let kind = match kinds[mutation.turn as usize % kinds.len()] {
            // The flush of a batch gives no mm its ASID.
            Kind::Reclaim => Kind::Protect,
            kind => kind,
        };
        turn::<P, M>(mutation, cpu, kind, false, false)?;
        at_rest = cpu.is_at_rest(mutation.mm(), mutation.cast.mm_cpus());
    }
    if !at_rest && !mutation.run.must_stop() {
        mutation.run.phases.set_restless();
    }
    Ok(())
}

fn count<P: Policy, M: Bench>(
    mutation: &mut Mutation<'_, M>,
    cpu: &mut Cpu<'_, M>,
    progress: &mut impl FnMut(u64),
) -> Result<(), NoMemory> {
    let run = mutation.run;
    let kinds = run.spec.kinds();
    let tally = &run.tallies[mutation.index];
    let mut collapses = 0;
    for op in 0..run.spec.ops {
        if run.must_stop() {
            break;
        }
        if mutation.cast.renews && op % LIFE == 0 {
            renew(mutation, cpu);
        }
        let holds_always = run.spec.is_piggyback() || run.spec.interleave.is_on();
        let hold = holds_always || is_held(op, kinds.len() as u64);
        let kind = kinds[op as usize % kinds.len()];
        collapses += u64::from(kind == Kind::Collapse);
        let pin = kind == Kind::Collapse && run.spec.pins.0.is_some_and(|pins| pins.is_due(collapses));
        let began = run.world.machine.clock();
        let done = turn::<P, M>(mutation, cpu, kind, hold, pin)?;
        tally.add(run.world.machine.clock() - began, done, mutation.is_walkable);
        progress(op + 1);
    }
    Ok(())
}

/// Whether walkers are held in operation `op`, where operations of so many kinds go by turns. In one of so many, but not always
/// the same one (which mm leaves shared tables first goes by turns too), and in each kind.
fn is_held(op: u64, kinds: u64) -> bool {
    let shifted_after = if kinds > HOLD_EVERY { HOLD_EVERY * kinds } else { HOLD_EVERY };
    op % HOLD_EVERY == op / shifted_after % HOLD_EVERY
}

/// One turn: one operation, and every worker around it. Whether the operation could be done.
fn turn<P: Policy, M: Bench>(
    mutation: &mut Mutation<'_, M>,
    cpu: &mut Cpu<'_, M>,
    kind: Kind,
    hold: bool,
    pin: bool,
) -> Result<bool, NoMemory> {
    mutation.turn += 1;
    mutation.prepare::<P>(cpu, kind)?;
    mutation.pinner = pin.then(|| nth_worker(mutation, 0));
    mutation.is_walkable = mutation.is_mapped(kind);
    mutation.held = if hold && mutation.is_walkable { draw_held(mutation) } else { Vec::new() };
    mutation.offline = name_offline(mutation);
    open(mutation, cpu, kind, Activity::Walk);
    if mutation.run.spec.remap.is_on() && mutation.index == 0 {
        match toucher_of(mutation) {
            Some(_) => mutation.run.window.remap_before_a_toucher(cpu),
            None => mutation.run.window.remap(cpu),
        }
    }
    let operated = mutation.operate::<P>(cpu, kind);
    let is_flushed = mutation.run.spec.flush != Flush::None;
    let expect = operated.as_ref().ok().filter(|_| is_flushed).map_or(Expect::Anything, |(expect, _)| *expect);
    mutation.team.turns.close(cpu, mutation.turn, expect);
    mutation.unpin(cpu);
    operated.map(|(_, done)| done)
}

fn open<M: Bench>(mutation: &mut Mutation<'_, M>, cpu: &mut Cpu<'_, M>, kind: Kind, activity: Activity) {
    let toucher = if activity == Activity::Walk { toucher_of(mutation) } else { None };
    mutation.toucher = toucher;
    let (number, va) = (mutation.turn, mutation.run.spec.layout().address(kind, mutation.turn));
    let turn = Turn { number, va, kind, activity, toucher, pinner: mutation.pinner };
    // A turn without an operation races with nothing.
    let racing = mutation.run.spec.eager.is_on() && activity == Activity::Walk;
    let (held, offline) = (&mutation.held, &mutation.offline);
    mutation.team.open(cpu, turn, held, offline, racing, |cpu| kick_workers(mutation, cpu));
}

/// The worker that touches in this turn, if one is to: each by turns, but for those that are held. Workers that nap are
/// all to be asleep.
fn toucher_of<M: Bench>(mutation: &Mutation<'_, M>) -> Option<CpuId> {
    let (workers, spec) = (mutation.cast.workers.clone(), &mutation.run.spec);
    let is_wanted = spec.touch.is_on() || spec.remap.is_on();
    if workers.is_empty() || !is_wanted || spec.naps.is_on() {
        return None;
    }
    (0..workers.len()).map(|index| nth_worker(mutation, index)).find(|worker| !mutation.held.contains(worker))
}

/// The workers that go offline in this turn: each by turns, but for those that are needed. None goes before counting
/// begins: the mm comes to rest with all of them.
fn name_offline<M: Bench>(mutation: &Mutation<'_, M>) -> Vec<CpuId> {
    let (run, toucher) = (mutation.run, toucher_of(mutation));
    if run.spec.hotplug == 0 || !run.phases.is_open(Phase::Count) {
        return Vec::new();
    }
    let is_needed = |worker: &CpuId| {
        mutation.held.contains(worker)
            || [toucher, mutation.pinner].contains(&Some(*worker))
            || run.spec.is_piggyback() && *worker == mutation.sibling()
    };
    let workers = (0..mutation.cast.workers.len()).map(|index| nth_worker(mutation, index));
    workers.filter(|worker| !is_needed(worker)).take(run.spec.hotplug).collect()
}

/// The workers, each by turns, from the one on whose turn it is.
fn nth_worker<M: Bench>(mutation: &Mutation<'_, M>, index: usize) -> CpuId {
    let workers = &mutation.cast.workers;
    CpuId(workers.start + (mutation.turn as usize + index) % workers.len())
}

/// Every CPU leaves the mm, its ASID is given up, and every CPU comes back: a process has ended, and another begins.
fn renew<M: Bench>(mutation: &mut Mutation<'_, M>, cpu: &mut Cpu<'_, M>) {
    together(mutation, cpu, Activity::Leave);
    cpu.switch_mm(None);
    cpu.renew(mutation.mm());
    if mutation.cast.inside {
        cpu.switch_mm(Some(mutation.mm()));
    }
    together(mutation, cpu, Activity::Return);
}

/// A turn without an operation.
fn together<M: Bench>(mutation: &mut Mutation<'_, M>, cpu: &mut Cpu<'_, M>, activity: Activity) {
    mutation.turn += 1;
    mutation.held.clear();
    mutation.offline.clear();
    open(mutation, cpu, Kind::Protect, activity);
    mutation.team.turns.close(cpu, mutation.turn, Expect::Anything);
}

/// Draws the workers that are held: out of the vCPUs that are preempted, if there are any.
fn draw_held<M: Bench>(mutation: &mut Mutation<'_, M>) -> Vec<CpuId> {
    let among = match mutation.cast.preempted {
        0 => mutation.cast.workers.clone(),
        preempted => mutation.cast.workers.start..mutation.cast.workers.start + preempted,
    };
    let count = mutation.run.spec.hold.min(among.len());
    let first = if among.is_empty() { 0 } else { mutation.draw(among.len()) };
    (0..count).map(|index| CpuId(among.start + (first + index) % among.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::{HOLD_EVERY, Kind, is_held};

    #[test]
    fn walkers_are_held_in_operations_of_each_kind() {
        for kinds in 1..=Kind::ALL.len() as u64 {
            let held = |kind| (0..20).any(|op| op % kinds == kind && is_held(op, kinds));
            assert!((0..kinds).all(held), "{kinds}");
            assert_eq!((0..80).filter(|op| is_held(*op, kinds)).count() as u64, 80 / HOLD_EVERY);
        }
    }
}
