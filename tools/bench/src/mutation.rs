//! What a mutator does in a turn: one operation, prepared, done step by step, and its traces noted.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::cast::{Role, TeamCast};
use crate::choice::{Kind, Sender};
use crate::errand::Errand;
use crate::machine::Bench;
use crate::ranges::{self, NoMemory, Place, Ranges};
use crate::run::Run;
use crate::team::Team;
use crate::turns::Expect;
use gupsync::mm::Mm;
use gupsync::ops::collapse::{Collapse, Outcome};
use gupsync::ops::collapse_several::CollapseSeveral;
use gupsync::ops::mthp::{Mthp, PMD_ORDER};
use gupsync::ops::protect::Protect;
use gupsync::ops::unmap::Unmap;
use gupsync::ops::unshare::SharedTables;
use gupsync::ops::{Any, Ended, Job, Stepped};
use gupsync::policy::Policy;
use gupsync::types::{CpuId, Frame, FrameSize, HUGE_SIZE, MmId, VirtAddr};
use gupsync::world::Cpu;

/// A mutator at work.
pub(crate) struct Mutation<'r, M: Bench> {
    pub(crate) run: &'r Run<M>,
    /// Which team.
    pub(crate) index: usize,
    pub(crate) cast: &'r TeamCast,
    pub(crate) team: &'r Team,
    pub(crate) ranges: Ranges,
    pub(crate) random: SplitMix64,
    /// The turn under way.
    pub(crate) turn: u64,
    /// Whether a walker of the mm can come to a page before its operation.
    pub(crate) is_walkable: bool,
    /// The workers that are held in it.
    pub(crate) held: Vec<CpuId>,
    /// The workers that go offline in it.
    pub(crate) offline: Vec<CpuId>,
    /// The worker that goes on touching in it.
    pub(crate) toucher: Option<CpuId>,
    /// The worker that has a page of its range pinned.
    pub(crate) pinner: Option<CpuId>,
    /// Where its task goes: apart, so that all else is drawn as if it stayed.
    routes: SplitMix64,
    /// The mms that have a share in the shared tables of the turn, and in which.
    pub(crate) sharing: Vec<(MmId, SharedTables)>,
    /// Shared tables that the team's mm will find if it leaves the shared ones by protecting them.
    pub(crate) own: Option<SharedTables>,
    /// The mms that will want to join.
    pub(crate) joiners: Vec<(MmId, SharedTables)>,
}

impl<'r, M: Bench> Mutation<'r, M> {
    pub(crate) fn new(run: &'r Run<M>, team: usize, random: SplitMix64) -> Self {
        Mutation {
            run,
            index: team,
            cast: &run.cast.teams[team],
            team: &run.teams[team],
            ranges: Ranges::new(),
            random,
            turn: 0,
            is_walkable: false,
            held: Vec::new(),
            offline: Vec::new(),
            toucher: None,
            routes: SplitMix64::seed_from_u64(run.spec.seed ^ (team as u64 + 1) << 48),
            pinner: None,
            sharing: Vec::new(),
            own: None,
            joiners: Vec::new(),
        }
    }

    /// The team's own mm.
    pub(crate) fn mm(&self) -> &'r Mm {
        self.run.world.mm(self.cast.mms[0])
    }

    /// Whether a walker of the mm can be inside the tables of this turn's operation.
    pub(crate) fn is_mapped(&self, kind: Kind) -> bool {
        kind != Kind::Unshare || self.sharing.iter().any(|(mm, _)| *mm == self.mm().id)
    }

    pub(crate) fn draw(&mut self, below: usize) -> usize {
        (self.random.next_u64() % below as u64) as usize
    }

    /// Maps what the operation of this turn works on.
    pub(crate) fn prepare<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, kind: Kind) -> Result<(), NoMemory> {
        let (mm, machine, turn) = (self.mm(), &self.run.world.machine, self.turn);
        self.ranges.await_grace(cpu);
        self.ranges.make_room::<P, M>(cpu, mm, turn);
        let layout = self.run.spec.layout();
        let va = layout.address(kind, turn);
        match kind {
            Kind::Protect if layout.size == FrameSize::Huge => self.ranges.map_huge(machine, mm, turn, layout),
            Kind::Protect => self.ranges.map_small(machine, mm, va, layout.places(kind)),
            Kind::Collapse => (0..layout.ranges).try_for_each(|range| {
                self.ranges.map_small(machine, mm, layout.page_of(kind, turn, range), layout.places(kind))
            }),
            Kind::Unmap => (0..layout.tables).try_for_each(|table| {
                self.ranges.map_small(machine, mm, layout.page_of(kind, turn, table), layout.places(kind))
            }),
            Kind::Unshare => self.prepare_sharing(),
            Kind::Reclaim => self.prepare_victims(),
        }
    }

    /// Does the operation; says what workers will find, and whether it could be done.
    pub(crate) fn operate<P: Policy>(
        &mut self,
        cpu: &mut Cpu<'_, M>,
        kind: Kind,
    ) -> Result<(Expect, bool), NoMemory> {
        let spec = &self.run.spec;
        let va = spec.layout().address(kind, self.turn);
        match kind {
            Kind::Collapse if spec.order < PMD_ORDER => {
                let fresh = self.ranges.take_pages(&self.run.world.machine)?;
                let mthp = Mthp::new(va, spec.order, spec.batch as usize, fresh);
                let Ended::Mthp(outcome) = self.finish::<P>(cpu, mthp) else {
                    unreachable!("an mTHP collapse ends as one")
                };
                self.ranges.record(self.turn, Place::Small(va));
                for page in outcome.left {
                    self.run.world.machine.free(page, FrameSize::Small);
                }
                Ok((Expect::Mapped, outcome.pinned == 0))
            }
            Kind::Collapse if spec.ranges > 1 => {
                let addresses: Vec<_> =
                    (0..spec.ranges).map(|range| VirtAddr(va.0 + range * HUGE_SIZE)).collect();
                let huge = |_| self.ranges.take_huge(&self.run.world.machine);
                let huge = addresses.iter().map(huge).collect::<Result<Vec<_>, _>>()?;
                let ranges = addresses.into_iter().zip(huge);
                let Ended::CollapseSeveral(outcomes) =
                    self.finish::<P>(cpu, CollapseSeveral::new(ranges.clone()))
                else {
                    unreachable!("a collapse of several ranges ends as one")
                };
                let pinned = outcomes.iter().filter(|outcome| **outcome == Outcome::Pinned).count();
                // Of some ranges only: the others are huge pages now.
                let is_as_before = pinned == outcomes.len();
                for ((va, huge), outcome) in ranges.zip(outcomes) {
                    self.put_away(va, huge, outcome);
                }
                Ok((if is_as_before { Expect::AsBefore } else { Expect::Mapped }, pinned == 0))
            }
            Kind::Collapse => {
                let huge = self.ranges.take_huge(&self.run.world.machine)?;
                let Ended::Collapse(outcome) = self.finish::<P>(cpu, Collapse::Ready { va, huge }) else {
                    unreachable!("a collapse ends as one")
                };
                self.put_away(va, huge, outcome);
                let done = outcome != Outcome::Pinned;
                Ok((if done { Expect::Mapped } else { Expect::AsBefore }, done))
            }
            Kind::Protect => {
                let layout = spec.layout();
                self.finish::<P>(cpu, Protect::Ready { start: va, pages: layout.pages, size: layout.size });
                let place = match layout.size {
                    FrameSize::Small => Place::Small(va),
                    FrameSize::Huge => Place::HugePages(ranges::huge_pages(self.turn, layout)),
                };
                self.ranges.record(self.turn, place);
                Ok((Expect::ReadOnly, true))
            }
            Kind::Unmap => {
                let Ended::Unmap(unmapped) = self.finish::<P>(cpu, Unmap::new(va, spec.tables, spec.room()))
                else {
                    unreachable!("an unmap ends as one")
                };
                self.ranges.deferred.extend(unmapped);
                self.ranges.look_after_deferred::<P, M>(cpu);
                Ok((Expect::Nothing, true))
            }
            Kind::Unshare => self.unshare::<P>(cpu),
            Kind::Reclaim => Ok((self.reclaim::<P>(cpu), true)),
        }
    }

    /// Keeps what a collapse has left. After a pin there is no second attempt: the range is used as it was, and goes
    /// when its time has come, like any other.
    fn put_away(&mut self, va: VirtAddr, huge: Frame, outcome: Outcome) {
        match outcome {
            Outcome::Collapsed(table) => {
                self.ranges.give_table(&self.run.world.machine, table);
                self.ranges.record(self.turn, Place::Huge(va, huge));
            }
            Outcome::Pinned => {
                self.ranges.give_huge(huge);
                self.ranges.record(self.turn, Place::Small(va));
            }
        }
    }

    /// Does one operation from its first step to its last.
    fn finish<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, op: impl Into<Any>) -> Ended {
        let mut job = Job { mm: self.mm().id, op: op.into() };
        loop {
            let is_flushed = matches!(job.op, Any::Collapse(Collapse::Flushed(..)));
            if is_flushed && self.run.spec.is_piggyback() {
                self.piggyback(cpu);
            }
            let is_isolated = matches!(job.op, Any::Collapse(Collapse::Isolated(..)));
            if is_isolated && self.lets_pin() && self.team.hold.is_any_inside() {
                self.team.hold.let_pin(cpu, self.turn);
            }
            match self.step::<P>(cpu, job) {
                Stepped::Next(next) | Stepped::Wait(next) => job = next,
                Stepped::Done(ended) => return ended,
            }
        }
    }

    /// One step, here or on another CPU.
    pub(crate) fn step<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, job: Job) -> Stepped {
        let is_about_to = is_about_to_begin(&job.op) || self.is_held_above() && is_about_to_exit(&job.op);
        if !self.held.is_empty() && job.mm == self.mm().id && is_about_to {
            self.team.hold.await_one(cpu);
        }
        let elsewhere = if self.run.spec.migrate.is_on() { self.draw_free_worker() } else { None };
        match elsewhere {
            Some(worker) => *self.send(cpu, worker, Errand::Step(job)).expect("a step has led somewhere"),
            None => self.step_here::<P>(cpu, job),
        }
    }

    /// One step. Its task may go to other CPUs meanwhile, and is back at the end.
    fn step_here<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, job: Job) -> Stepped {
        if self.run.spec.sender == Sender::Pinned {
            return job.step::<P, M>(cpu);
        }
        let (machine, home) = (&self.run.world.machine, cpu.id());
        machine.let_migrate(home, self.draw_route(home));
        let stepped = job.step::<P, M>(cpu);
        machine.let_migrate(cpu.id(), [Some(home), None]);
        cpu.may_migrate();
        stepped
    }

    /// Where the task goes on, the next two times that it may be preempted: where all is as at home, so that the same
    /// CPUs are interrupted. Once at least it goes somewhere, if it can.
    fn draw_route(&mut self, home: CpuId) -> [Option<CpuId>; 2] {
        let is_free = |cpu: &CpuId| self.is_free(*cpu) && self.toucher != Some(*cpu);
        let there: Vec<_> = match self.cast.inside {
            true => self.cast.workers.clone().map(CpuId).filter(is_free).collect(),
            false => self.run.cast.in_role(|role| role == Role::Bystander).collect(),
        };
        if there.is_empty() {
            return [None; 2];
        }
        let mut draw = |below: usize| (self.routes.next_u64() % below as u64) as usize;
        let (first, second) = (there[draw(there.len())], there[draw(there.len())]);
        match draw(4) {
            0 => [Some(home), Some(second)],
            1 => [Some(first), Some(home)],
            _ => [Some(first), Some(second)],
        }
    }

    pub(crate) fn send(&self, cpu: &mut Cpu<'_, M>, worker: CpuId, errand: Errand) -> Option<Box<Stepped>> {
        let mm = self.mm().id;
        self.team.errands.send(cpu, worker, errand, |cpu| {
            self.run.world.machine.wake(cpu.id(), core::iter::once(worker), mm);
        })
    }

    /// The operation is over, and so is the turn of every worker: the one that has a page pinned gives it back.
    pub(crate) fn unpin(&mut self, cpu: &mut Cpu<'_, M>) {
        if let Some(pinner) = self.pinner.take() {
            self.send(cpu, pinner, Errand::Unpin);
        }
    }

    /// Whether `worker` is neither held nor offline.
    pub(crate) fn is_free(&self, worker: CpuId) -> bool {
        !self.held.contains(&worker) && !self.offline.contains(&worker)
    }

    /// A worker that is free, or `None`: the task may stay where it is.
    fn draw_free_worker(&mut self) -> Option<CpuId> {
        let workers = self.cast.workers.clone();
        let drawn = CpuId(workers.start + self.draw(workers.len() + 1));
        (workers.contains(&drawn.0) && self.is_free(drawn)).then_some(drawn)
    }

    /// Whether a walker that no sync has made leave goes on before the pages are copied, and pins one: in one turn of
    /// two. In the other it is inside until the operation is over, and reads the table then.
    fn lets_pin(&self) -> bool {
        (self.turn ^ self.run.spec.seed).is_multiple_of(2)
    }

    /// Whether walkers are held in an upper table, until that goes: they are back there when the tables below have gone.
    fn is_held_above(&self) -> bool {
        self.run.spec.layout().holds_above(Kind::Unshare, self.turn)
    }

    /// The worker that does what a piggyback needs.
    pub(crate) fn sibling(&self) -> CpuId {
        CpuId(self.cast.workers.end - 1)
    }

    /// Between flush and sync: the vCPU that was preempted goes on, and a sibling does what interrupts the walkers.
    fn piggyback(&mut self, cpu: &mut Cpu<'_, M>) {
        self.team.hold.release(cpu, self.turn);
        self.send(cpu, self.sibling(), Errand::Sibling(self.run.spec.workload));
    }
}

/// Whether the first table goes next, or the right to write, in an operation that walkers are held for.
fn is_about_to_begin(op: &Any) -> bool {
    match op {
        Any::Collapse(collapse) => matches!(collapse, Collapse::Ready { .. }),
        Any::CollapseSeveral(collapse) => collapse.is_ready(),
        Any::Mthp(mthp) => mthp.is_ready(),
        Any::Unmap(unmap) => unmap.is_at_tables(),
        Any::Leave(leave) => leave.is_ready(),
        Any::Protect(protect) => matches!(protect, Protect::Ready { .. }),
        _ => false,
    }
}

/// Whether an upper table goes next.
fn is_about_to_exit(op: &Any) -> bool {
    matches!(op, Any::Exit(exit) if exit.is_ready())
}
