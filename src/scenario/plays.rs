//! What a mutator does in a turn: one operation, prepared, done step by step, and its traces noted.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::Rng;

use crate::cpumask::CpuId;
use crate::machine::{Cause, Machine};
use crate::mm::{Mm, MmId};
use crate::ops::collapse::{Collapse, Outcome};
use crate::ops::protect::Protect;
use crate::ops::unmap::Unmap;
use crate::ops::unshare::{Join, Leave, Survive, Tables};
use crate::ops::{Any, Ended, Job, Stepped};
use crate::policy::Policy;
use crate::scenario::cast::TeamCast;
use crate::scenario::choice::Kind;
use crate::scenario::ranges::{self, NoMemory, PAGES, Place, Ranges};
use crate::scenario::run::Run;
use crate::scenario::team::{Errand, Expect, Team};
use crate::world::Cpu;

/// A mutator at work.
pub(crate) struct Play<'r, M: Machine> {
    pub(crate) run: &'r Run<M>,
    /// Which team.
    pub(crate) index: usize,
    pub(crate) cast: &'r TeamCast,
    pub(crate) team: &'r Team,
    pub(crate) ranges: Ranges,
    pub(crate) random: SplitMix64,
    /// The turn under way.
    pub(crate) turn: u64,
    /// The workers that are held in it.
    pub(crate) held: Vec<CpuId>,
    /// The shared tables of the turn, and who has a share.
    sharing: Vec<(MmId, Tables)>,
    /// The mms that will want to join.
    joiners: Vec<(MmId, Tables)>,
}

/// Something that an mm does with shared tables.
#[derive(Clone, Copy)]
enum Act {
    Leave,
    Survive,
    Join,
}

/// All that one mm does with the shared tables of a turn.
struct Part {
    mm: MmId,
    /// From the end.
    todo: Vec<Act>,
    job: Option<Job>,
    waits: bool,
}

impl<'r, M: Machine> Play<'r, M> {
    pub(crate) fn new(run: &'r Run<M>, team: usize, random: SplitMix64) -> Self {
        Play {
            run,
            index: team,
            cast: &run.cast.teams[team],
            team: &run.teams[team],
            ranges: Ranges::new(),
            random,
            turn: 0,
            held: Vec::new(),
            sharing: Vec::new(),
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
    pub(crate) fn prepare(&mut self, cpu: &mut Cpu<'_, M>, kind: Kind) -> Result<(), NoMemory> {
        let (mm, machine, turn) = (self.mm(), &self.run.world.machine, self.turn);
        self.ranges.make_room(cpu, mm, turn);
        let va = ranges::address(kind, turn);
        match kind {
            Kind::Collapse | Kind::Protect => self.ranges.map_small(machine, mm, va),
            Kind::Unmap => (0..self.run.spec.tables).try_for_each(|table| {
                self.ranges.map_small(machine, mm, ranges::page_of(kind, turn, self.run.spec.tables, table))
            }),
            Kind::Unshare => self.prepare_sharing(),
        }
    }

    fn prepare_sharing(&mut self) -> Result<(), NoMemory> {
        let (world, spec, mms) = (&self.run.world, &self.run.spec, &self.cast.mms);
        // Where steps are interleaved, some do not share at first; two do.
        let sharers = if spec.interleave.is_on() { 2 + self.draw(mms.len() - 1) } else { mms.len() };
        let first = self.draw(mms.len());
        let mut order: Vec<_> = (0..mms.len()).map(|index| mms[(first + index) % mms.len()]).collect();
        if !spec.interleave.is_on() {
            order.clone_from(mms);
            order.rotate_right(self.turn as usize % mms.len());
        }
        let tables = self.ranges.make_shared(&world.machine, order[0], self.turn, spec.tables, false)?;
        for (index, id) in order.iter().enumerate() {
            if index < sharers {
                Ranges::share(&world.machine, world.mm(*id), &tables, index == 0)?;
                self.sharing.push((*id, tables.clone()));
            } else {
                Ranges::reserve(&world.machine, world.mm(*id), &tables)?;
                self.joiners.push((*id, tables.clone()));
            }
        }
        Ok(())
    }

    /// Does the operation; says what workers will find, and whether it could be done.
    pub(crate) fn operate<P: Policy>(
        &mut self,
        cpu: &mut Cpu<'_, M>,
        kind: Kind,
    ) -> Result<(Expect, bool), NoMemory> {
        let va = ranges::address(kind, self.turn);
        let spec = &self.run.spec;
        match kind {
            Kind::Collapse => {
                let huge = self.ranges.take_huge(&self.run.world.machine)?;
                let Ended::Collapse(outcome) = self.finish::<P>(cpu, Collapse::Ready { va, huge }) else {
                    unreachable!("a collapse ends as one")
                };
                let done = match outcome {
                    Outcome::Collapsed(table) => {
                        self.ranges.give_table(&self.run.world.machine, table);
                        self.ranges.settle(self.turn, Place::Huge(va, huge));
                        true
                    }
                    Outcome::Pinned => {
                        self.ranges.give_huge(huge);
                        self.ranges.settle(self.turn, Place::Small(va));
                        false
                    }
                };
                Ok((Expect::Mapped, done))
            }
            Kind::Protect => {
                self.finish::<P>(cpu, Protect::Ready { start: va, pages: PAGES });
                self.ranges.settle(self.turn, Place::Small(va));
                Ok((Expect::ReadOnly, true))
            }
            Kind::Unmap => {
                let Ended::Unmap(unmapped) = self.finish::<P>(cpu, Unmap::new(va, spec.tables, spec.gather))
                else {
                    unreachable!("an unmap ends as one")
                };
                for table in unmapped.free {
                    self.ranges.give_table(&self.run.world.machine, table);
                }
                self.ranges.deferred.extend(unmapped.deferred);
                self.ranges.look_after_deferred(cpu);
                Ok((Expect::Nothing, true))
            }
            Kind::Unshare => self.unshare::<P>(cpu),
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
            match self.step::<P>(cpu, job) {
                Stepped::Next(next) | Stepped::Wait(next) => job = next,
                Stepped::Done(ended) => return ended,
            }
        }
    }

    /// One step, here or on another CPU.
    fn step<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, job: Job) -> Stepped {
        let elsewhere = if self.run.spec.migrate.is_on() { self.draw_free_worker() } else { None };
        match elsewhere {
            Some(worker) => *self.send(cpu, worker, Errand::Step(job)).expect("a step has led somewhere"),
            None => job.step::<P, M>(cpu),
        }
    }

    fn send(&self, cpu: &mut Cpu<'_, M>, worker: CpuId, errand: Errand) -> Option<Box<Stepped>> {
        let mm = self.mm().id;
        self.team.send(cpu, worker, errand, |cpu| {
            self.run.world.machine.send(cpu.id(), worker, Cause::Kick, mm);
        })
    }

    /// A worker that is not held, or nobody: the task may stay where it is.
    fn draw_free_worker(&mut self) -> Option<CpuId> {
        let workers = self.cast.workers.clone();
        let drawn = CpuId(workers.start + self.draw(workers.len() + 1));
        (workers.contains(&drawn.0) && !self.held.contains(&drawn)).then_some(drawn)
    }

    /// Between flush and sync: the vCPU that was preempted goes on, and a sibling interrupts everybody.
    fn piggyback(&mut self, cpu: &mut Cpu<'_, M>) {
        self.team.release(cpu, self.turn);
        let sibling = CpuId(self.cast.workers.end - 1);
        self.send(cpu, sibling, Errand::Sibling(self.run.spec.workload));
    }

    /// Everybody does his part with the shared tables of this turn.
    fn unshare<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>) -> Result<(Expect, bool), NoMemory> {
        let interleave = self.run.spec.interleave.is_on();
        let mut parts = self.cast_parts(interleave);
        // Whoever waits is tried again once somebody else has got on.
        while !parts.iter().all(|part| part.waits) {
            let who = if interleave { self.draw(parts.len()) } else { 0 };
            let part = &mut parts[who];
            let Some(job) = part.job.take().or_else(|| self.begin(part.mm, part.todo.pop()?)) else {
                parts.remove(who);
                continue;
            };
            match self.step::<P>(cpu, job) {
                Stepped::Wait(job) => {
                    part.job = Some(job);
                    part.waits = true;
                    continue;
                }
                Stepped::Next(job) => part.job = Some(job),
                Stepped::Done(ended) => {
                    self.note_end(part.mm, ended);
                    // Freed as early as may be: what is still walked then is caught.
                    self.ranges.look_after_deferred(cpu);
                }
            }
            parts.iter_mut().for_each(|part| part.waits = false);
        }
        let mm = self.mm();
        let mut holders = core::mem::take(&mut self.sharing);
        self.joiners.clear();
        let tables = self.run.spec.tables;
        let held = holders.iter().find(|(id, _)| *id == mm.id).map_or(0, |(_, held)| held.len());
        let mut expect = match held {
            0 => Expect::Nothing,
            all if all == tables as usize => Expect::Mapped,
            _ => Expect::Anything,
        };
        if expect == Expect::Nothing && self.turn % 3 == 0 {
            // The mm had not unmapped but protected the range: the next access finds a table of its own.
            let own = self.ranges.make_shared(&self.run.world.machine, mm.id, self.turn, tables, true)?;
            Ranges::share(&self.run.world.machine, mm, &own, true)?;
            holders.push((mm.id, own));
            expect = Expect::ReadOnly;
        }
        self.ranges.settle(self.turn, Place::Shared(holders));
        Ok((expect, true))
    }

    /// Who does what with the shared tables of this turn.
    fn cast_parts(&mut self, interleave: bool) -> Vec<Part> {
        let mut parts = Vec::new();
        let last = self.sharing.len() - 1;
        // At most one can survive, and where steps are interleaved it need not leave afterwards.
        let survivor = match interleave {
            true => self.draw(2 * self.sharing.len()),
            false => last + (self.turn % 2) as usize,
        };
        let stays = interleave && self.draw(2) == 0;
        for (index, (mm, _)) in self.sharing.iter().enumerate() {
            let survives = (index == survivor).then_some(Act::Survive);
            let leaves = (index != survivor || !stays).then_some(Act::Leave);
            let todo = leaves.into_iter().chain(survives).collect();
            parts.push(Part { mm: *mm, todo, job: None, waits: false });
        }
        let joiners = self.joiners.iter();
        parts.extend(joiners.map(|(mm, _)| Part {
            mm: *mm,
            todo: [Act::Join].into(),
            job: None,
            waits: false,
        }));
        parts
    }

    /// Begins what `id` does next with the shared tables.
    fn begin(&self, id: MmId, act: Act) -> Option<Job> {
        let share = |sharing: &[(MmId, Tables)]| {
            sharing.iter().find(|(who, _)| *who == id).map(|(_, tables)| tables.clone())
        };
        let op: Any = match act {
            Act::Leave => Leave::new(share(&self.sharing)?).into(),
            Act::Survive => Survive::new(share(&self.sharing)?).into(),
            Act::Join => Join::new(share(&self.joiners)?).into(),
        };
        Some(Job { mm: id, op })
    }

    /// Notes who has a share now.
    fn note_end(&mut self, id: MmId, ended: Ended) {
        match ended {
            Ended::Leave(left) => {
                self.sharing.retain(|(who, _)| *who != id);
                self.ranges.deferred.extend(left);
            }
            Ended::Join(joined) if !joined.is_empty() => self.sharing.push((id, joined)),
            _ => {}
        }
    }
}
