//! The mutator of a team: warm-up, then so many operations, each in a turn with all workers. The first team's leads.

use alloc::vec::Vec;

use gupsync::cpumask::CpuId;
use gupsync::machine::{Cause, Machine};
use gupsync::policy::{ForPolicy, Policy};
use crate::cast::Role;
use crate::choice::Kind;
use crate::plays::Play;
use crate::ranges::{self, NoMemory};
use crate::row::Row;
use crate::run::Run;
use crate::stage::Phase;
use crate::team::{Expect, Part, Turn};
use gupsync::world::Cpu;

/// At the most so many operations until every CPU has joined and any ASID transition is over.
const WARM_UP: u64 = 16;
/// In one operation of so many, from the first on, walkers are held.
const HOLD_EVERY: u64 = 4;
/// After so many operations an mm that renews itself begins anew.
const LIFE: u64 = 4;

/// [`Run::lead`] and [`Run::play`] for a mutator, for a policy.
pub(crate) struct Mutate<'r, M: Machine, F> {
    pub(crate) run: &'r Run<M>,
    pub(crate) cpu: CpuId,
    pub(crate) team: usize,
    /// Called now and then with the number of operations done.
    pub(crate) progress: F,
}

impl<M: Machine, F: FnMut(u64)> ForPolicy for Mutate<'_, M, F> {
    /// The rows, if it leads.
    type Output = Vec<Row>;

    fn run<P: Policy>(mut self) -> Vec<Row> {
        let (run, leads) = (self.run, self.team == 0);
        let mut cpu = run.world.enter(self.cpu);
        let cpu = &mut cpu;
        let random = run.random(self.cpu);
        let mut play = Play::new(run, self.team, random);
        if play.cast.inside {
            cpu.switch_to(Some(play.mm()));
        }
        if !run.stage.has_no_memory() && warm_up::<P, M>(&mut play, cpu).is_err() {
            run.stage.set_no_memory();
        }
        run.stage.report();
        if leads {
            lead_to_count(run, cpu);
        }
        run.stage.await_phase(cpu, Phase::Count);
        if count::<P, M>(&mut play, cpu, &mut self.progress).is_err() {
            run.stage.set_no_memory();
        }
        run.stage.report();
        let rows = if leads { lead_to_end(run, cpu) } else { Vec::new() };
        run.stage.await_phase(cpu, Phase::Over);
        play.team.end();
        kick_workers(&play, cpu);
        cpu.switch_to(None);
        let mm = play.mm();
        play.ranges.give_back(cpu, mm);
        rows
    }
}

fn lead_to_count<M: Machine>(run: &Run<M>, cpu: &mut Cpu<'_, M>) {
    run.stage.await_reports(cpu, run.teams.len());
    let poses = |role| matches!(role, Role::Lazy(_) | Role::Stale(_));
    run.stage.open(Phase::Pose);
    run.kick(cpu, poses);
    run.stage.await_reports(cpu, run.cast.playing(poses).count());
    run.begin_counting();
    run.stage.open(Phase::Count);
    run.kick(cpu, |role| matches!(role, Role::Switcher | Role::Flusher(_) | Role::Isolated));
}

fn lead_to_end<M: Machine>(run: &Run<M>, cpu: &mut Cpu<'_, M>) -> Vec<Row> {
    run.stage.await_reports(cpu, run.teams.len());
    let guests = |role| matches!(role, Role::Switcher | Role::Flusher(_) | Role::Isolated);
    run.stage.open(Phase::Stop);
    run.stage.await_reports(cpu, run.cast.playing(guests).count());
    let rows = run.rows();
    run.stage.open(Phase::Over);
    run.kick(cpu, |role| matches!(role, Role::Lazy(_) | Role::Stale(_)));
    rows
}

fn kick_workers<M: Machine>(play: &Play<'_, M>, cpu: &Cpu<'_, M>) {
    let workers = play.cast.workers.clone().map(CpuId);
    play.run.world.machine.wake(cpu.id(), workers, play.mm().id);
}

/// Works until the mm has come to rest.
fn warm_up<P: Policy, M: Machine>(play: &mut Play<'_, M>, cpu: &mut Cpu<'_, M>) -> Result<(), NoMemory> {
    let kinds = play.run.spec.kinds();
    let mut settled = false;
    while !settled && play.turn < WARM_UP && !play.run.must_stop() {
        let kind = kinds[play.turn as usize % kinds.len()];
        turn::<P, M>(play, cpu, kind, false)?;
        settled = cpu.is_settled(play.mm(), play.cast.mm_cpus());
    }
    if !settled && !play.run.must_stop() {
        play.run.stage.set_unsettled();
    }
    Ok(())
}

fn count<P: Policy, M: Machine>(
    play: &mut Play<'_, M>,
    cpu: &mut Cpu<'_, M>,
    progress: &mut impl FnMut(u64),
) -> Result<(), NoMemory> {
    let run = play.run;
    let kinds = run.spec.kinds();
    let tally = &run.tallies[play.index];
    for op in 0..run.spec.ops {
        if run.must_stop() {
            break;
        }
        if play.cast.renews && op % LIFE == 0 {
            renew(play, cpu);
        }
        // One in so many, but not always the same one: who leaves shared tables first goes by turns too.
        let holds_always = run.spec.is_piggyback() || run.spec.interleave.is_on();
        let hold = holds_always || op % HOLD_EVERY == op / HOLD_EVERY % HOLD_EVERY;
        let began = run.world.machine.clock();
        let done = turn::<P, M>(play, cpu, kinds[op as usize % kinds.len()], hold)?;
        tally.add(run.world.machine.clock() - began, done);
        progress(op + 1);
    }
    Ok(())
}

/// One turn: one operation, and every worker around it. Whether the operation could be done.
fn turn<P: Policy, M: Machine>(
    play: &mut Play<'_, M>,
    cpu: &mut Cpu<'_, M>,
    kind: Kind,
    hold: bool,
) -> Result<bool, NoMemory> {
    play.turn += 1;
    play.prepare(cpu, kind)?;
    play.held = if hold && play.is_mapped(kind) { draw_held(play) } else { Vec::new() };
    open(play, cpu, kind, Part::Walk);
    let operated = play.operate::<P>(cpu, kind);
    let expect = operated.as_ref().map_or(Expect::Anything, |(expect, _)| *expect);
    close(play, cpu, expect);
    operated.map(|(_, done)| done)
}

fn open<M: Machine>(play: &Play<'_, M>, cpu: &mut Cpu<'_, M>, kind: Kind, part: Part) {
    let turn = Turn { number: play.turn, va: ranges::address(kind, play.turn), kind, hold: false, part };
    // Where nobody is to be there beforehand, what the operation sends wakes workers as well.
    let wakes = play.run.spec.eager.is_on() || !play.held.is_empty();
    play.team.open(cpu, turn, &play.held, |cpu| {
        if wakes {
            kick_workers(play, cpu);
        }
    });
}

fn close<M: Machine>(play: &Play<'_, M>, cpu: &mut Cpu<'_, M>, expect: Expect) {
    let workers = play.cast.workers.clone().map(CpuId);
    play.team.close(cpu, play.turn, expect, workers, |cpu, worker| {
        play.run.world.machine.send(cpu.id(), worker, Cause::Kick, play.mm().id);
    });
}

/// Everybody leaves the mm, its ASID is given up, and everybody comes back: a process has ended, and another begins.
fn renew<M: Machine>(play: &mut Play<'_, M>, cpu: &mut Cpu<'_, M>) {
    together(play, cpu, Part::Leave);
    cpu.switch_to(None);
    cpu.renew(play.mm());
    if play.cast.inside {
        cpu.switch_to(Some(play.mm()));
    }
    together(play, cpu, Part::Return);
}

/// A turn without an operation.
fn together<M: Machine>(play: &mut Play<'_, M>, cpu: &mut Cpu<'_, M>, part: Part) {
    play.turn += 1;
    play.held.clear();
    open(play, cpu, Kind::Protect, part);
    close(play, cpu, Expect::Anything);
}

/// Those who are held: out of the vCPUs that are preempted, if there are any.
fn draw_held<M: Machine>(play: &mut Play<'_, M>) -> Vec<CpuId> {
    let among = match play.cast.preempted {
        0 => play.cast.workers.clone(),
        preempted => play.cast.workers.start..play.cast.workers.start + preempted,
    };
    let count = play.run.spec.hold.min(among.len());
    let first = if among.is_empty() { 0 } else { play.draw(among.len()) };
    (0..count).map(|index| CpuId(among.start + (first + index) % among.len())).collect()
}
