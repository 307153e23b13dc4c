//! A turn with shared tables: several mms join, leave, survive and exit, one after the other or step by step in between.

use alloc::vec::Vec;

use crate::choice::Kind;
use crate::machine::Bench;
use crate::mutation::Mutation;
use crate::ranges::{self, NoMemory, Place, Ranges};
use crate::turns::Expect;
use gupsync::ops::exit::Exit;
use gupsync::ops::unshare::{Join, Leave, SharedTables, Survive};
use gupsync::ops::{Any, Ended, Job, Stepped};
use gupsync::policy::Policy;
use gupsync::types::MmId;
use gupsync::world::Cpu;

/// How an mm changes its share of the tables, and what becomes of the mm.
#[derive(Clone, Copy)]
enum Change {
    Leave,
    Survive,
    Join,
    Exit,
}

/// An mm, and its changes in a turn.
struct Sharer {
    mm: MmId,
    /// The next one last.
    todo: Vec<Change>,
    job: Option<Job>,
    /// Whether it can go on only when another has got on.
    waits: bool,
    /// After so many steps it is the last to be chosen.
    slow_after: u64,
}

impl Sharer {
    fn new(mm: MmId, changes: impl IntoIterator<Item = Change>) -> Self {
        Sharer { mm, todo: changes.into_iter().collect(), job: None, waits: false, slow_after: u64::MAX }
    }
}

/// A slow sharer is held up after fewer steps than this: about as many as the longest sharer has.
const STEPS: usize = 10;

impl<M: Bench> Mutation<'_, M> {
    /// Makes the shared tables of this turn, and shares them among the mms that have a share from the start.
    pub(crate) fn prepare_sharing(&mut self) -> Result<(), NoMemory> {
        let (world, spec, mms) = (&self.run.world, &self.run.spec, &self.cast.mms);
        let mut order = mms.clone();
        let sharers = if spec.interleave.is_on() {
            order.rotate_right(self.draw(mms.len()));
            1 + self.draw(mms.len())
        } else {
            order.rotate_right(self.turn as usize % mms.len());
            mms.len()
        };
        let tables = self.ranges.make_shared(&world.machine, order[0], self.turn, spec.layout(), false)?;
        // Made now: later they would be made of what the operation has freed, and hide the walkers that are still inside.
        // (An mm that has exited is not to come back.)
        self.own = match self.turn.is_multiple_of(3) && !spec.exit.is_on() {
            true => Some(self.ranges.make_shared(&world.machine, mms[0], self.turn, spec.layout(), true)?),
            false => None,
        };
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

    /// Every sharer does its changes of the shared tables of this turn.
    pub(crate) fn unshare<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>) -> Result<(Expect, bool), NoMemory> {
        let interleave = self.run.spec.interleave.is_on();
        let mut sharers = self.cast_sharers(interleave);
        // A sharer that waits is tried again once another has got on.
        while !sharers.iter().all(|sharer| sharer.waits) {
            let next = if interleave { self.choose(&sharers) } else { 0 };
            let sharer = &mut sharers[next];
            let Some(job) = sharer.job.take().or_else(|| self.begin(sharer.mm, sharer.todo.pop()?)) else {
                sharers.remove(next);
                continue;
            };
            sharer.slow_after = sharer.slow_after.saturating_sub(1);
            match self.step::<P>(cpu, job) {
                Stepped::Wait(job) => {
                    sharer.job = Some(job);
                    sharer.waits = true;
                    continue;
                }
                Stepped::Next(job) => sharer.job = Some(job),
                Stepped::Done(ended) => {
                    self.note_end(sharer.mm, ended);
                    // Freed as early as may be: what is still walked then is caught.
                    self.ranges.look_after_deferred::<P, M>(cpu);
                }
            }
            sharers.iter_mut().for_each(|sharer| sharer.waits = false);
        }
        self.joiners.clear();
        let mut holders = core::mem::take(&mut self.sharing);
        for (mm, held) in &mut holders {
            held.retain(|table| ranges::is_still_shared(cpu, *mm, table));
        }
        self.leave_behind(holders)
    }

    /// The sharers of this turn, each with its changes.
    fn cast_sharers(&mut self, interleave: bool) -> Vec<Sharer> {
        let last = self.sharing.len() - 1;
        // At most one can survive, and where steps are interleaved it need not leave afterwards.
        let survivor = match interleave {
            true => self.draw(2 * self.sharing.len()),
            false => last + (self.turn % 2) as usize,
        };
        let stays = interleave && self.draw(2) == 0;
        let exits = self.run.spec.exit.is_on();
        let sharers = self.sharing.iter().enumerate().map(|(index, (mm, _))| {
            let survives = (index == survivor).then_some(Change::Survive);
            let leaves = (index != survivor || !stays).then_some(Change::Leave);
            let exits = leaves.filter(|_| exits).map(|_| Change::Exit);
            Sharer::new(*mm, [exits, leaves, survives].into_iter().flatten())
        });
        let joiners = self.joiners.iter().map(|(mm, _)| Sharer::new(*mm, [Change::Join]));
        let mut sharers: Vec<_> = sharers.chain(joiners).collect();
        // In most turns one of them is held up somewhere, until no other can go on.
        let (slow, after) = (self.draw(sharers.len() + 1), self.draw(STEPS));
        if let Some(sharer) = sharers.get_mut(slow) {
            sharer.slow_after = after as u64;
        }
        sharers
    }

    /// The sharer that takes the next step: any that does not wait, the slow one last.
    fn choose(&mut self, sharers: &[Sharer]) -> usize {
        let ready = |slow: bool| {
            let is_ready = move |sharer: &Sharer| !sharer.waits && (slow || sharer.slow_after > 0);
            (0..sharers.len()).filter(|index| is_ready(&sharers[*index])).collect::<Vec<_>>()
        };
        let mut ready_now = ready(false);
        if ready_now.is_empty() {
            ready_now = ready(true);
        }
        ready_now[self.draw(ready_now.len())]
    }

    /// Begins what `id` does next with the shared tables.
    fn begin(&self, id: MmId, change: Change) -> Option<Job> {
        let share = |sharing: &[(MmId, SharedTables)]| {
            sharing.iter().find(|(mm, _)| *mm == id).map(|(_, tables)| tables.clone())
        };
        let op: Any = match change {
            Change::Leave => Leave::new(share(&self.sharing)?).into(),
            Change::Survive => Survive::new(share(&self.sharing)?).into(),
            Change::Join => Join::new(share(&self.joiners)?).into(),
            Change::Exit => {
                let start = self.run.spec.layout().address(Kind::Unshare, self.turn);
                Exit::Ready { start, tables: 1 }.into()
            }
        };
        Some(Job { mm: id, op })
    }

    /// Notes which mms have a share now.
    fn note_end(&mut self, id: MmId, ended: Ended) {
        match ended {
            Ended::Leave(left) => {
                self.sharing.retain(|(mm, _)| *mm != id);
                self.ranges.deferred.extend(left);
            }
            Ended::Exit(exited) => self.ranges.exited.push(exited),
            Ended::Join(joined) if !joined.is_empty() => self.sharing.push((id, joined)),
            _ => {}
        }
    }

    /// The turn is over: what workers will find, and which mm holds which tables.
    fn leave_behind(&mut self, mut holders: Vec<(MmId, SharedTables)>) -> Result<(Expect, bool), NoMemory> {
        let (mm, tables) = (self.mm(), self.run.spec.tables);
        let held = holders.iter().find(|(id, _)| *id == mm.id).map_or(0, |(_, held)| held.len());
        let mut expect = match held {
            0 => Expect::Nothing,
            all if all == tables as usize => Expect::Mapped,
            _ => Expect::Anything,
        };
        if let Some(own) = self.own.take() {
            if expect == Expect::Nothing {
                // The mm had not unmapped but protected the range: the next access finds a table of its own.
                Ranges::share(&self.run.world.machine, mm, &own, true)?;
                expect = Expect::ReadOnly;
            }
            holders.push((mm.id, own));
        }
        self.ranges.record(self.turn, Place::Shared(holders));
        Ok((expect, true))
    }
}
