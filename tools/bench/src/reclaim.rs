//! A turn with a reclaim: pages of the team's mm and of its other mms go in one batch; another thread may come in between.

use crate::choice::{Between, Kind};
use crate::errand::Errand;
use crate::machine::Bench;
use crate::mutation::Mutation;
use crate::ranges::{NoMemory, Place};
use crate::turns::Expect;
use gupsync::ops::protect::Protect;
use gupsync::ops::reclaim::{Reclaim, Victim};
use gupsync::ops::unmap::Unmap;
use gupsync::ops::{Any, Ended, Job, Stepped};
use gupsync::policy::Policy;
use gupsync::types::{CpuId, ENTRIES, FrameSize, VirtAddr};
use gupsync::world::Cpu;

impl<M: Bench> Mutation<'_, M> {
    fn victim_address(&self) -> VirtAddr {
        self.run.spec.layout().address(Kind::Reclaim, self.turn)
    }

    /// Maps pages at the same address of each mm of the team.
    pub(crate) fn prepare_victims(&mut self) -> Result<(), NoMemory> {
        let (world, va, places) = (&self.run.world, self.victim_address(), self.run.spec.layout());
        self.cast.mms.iter().try_for_each(|mm| {
            self.ranges.map_small(&world.machine, world.mm(*mm), va, places.places(Kind::Reclaim))
        })
    }

    /// Reclaims them, in one batch.
    pub(crate) fn reclaim<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>) -> Expect {
        let (mms, va) = (&self.cast.mms, self.victim_address());
        let victims = mms.iter().map(|mm| Victim { mm: *mm, start: va, pages: ENTRIES as u64 }).collect();
        let mut job = Job { mm: self.mm().id, op: Reclaim::new(cpu, victims).into() };
        let between = self.run.spec.between.0;
        loop {
            let is_unmapped = matches!(&job.op, Any::Reclaim(reclaim) if reclaim.is_unmapped());
            // One that another CPU has called since comes back: the flush is to find it inside.
            if is_unmapped && !self.held.is_empty() {
                self.team.hold.await_one(cpu);
            }
            if let Some(between) = between.filter(|_| is_unmapped) {
                self.come_between::<P>(cpu, between);
            }
            match self.step::<P>(cpu, job) {
                Stepped::Next(next) | Stepped::Wait(next) => job = next,
                Stepped::Done(_) => break,
            }
        }
        // An unmap has taken the table of the team's mm.
        let kept = usize::from(between == Some(Between::Unmap));
        self.ranges.record(self.turn, Place::SmallIn(mms[kept..].to_vec(), va));
        Expect::Nothing
    }

    /// Another thread of the team's mm does something on the range; when it comes back, no CPU may use what was mapped there.
    /// It runs on a worker, or, if none is free, in place of the mutator.
    fn come_between<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, between: Between) {
        let (mm, start, room) = (self.mm().id, self.victim_address(), self.run.spec.room());
        let op = match between {
            Between::Protect => Protect::Ready { start, pages: ENTRIES as u64, size: FrameSize::Small }.into(),
            Between::Unmap => Unmap::new(start, 1, room).into(),
        };
        let workers = self.cast.workers.clone();
        let nth = |index: usize| CpuId(workers.start + (self.turn as usize + index) % workers.len());
        let is_able = |worker: &CpuId| self.is_free(*worker) && self.toucher != Some(*worker);
        let sibling = (0..workers.len()).map(nth).find(is_able);
        let mut job = Job { mm, op };
        let ended = loop {
            let stepped = match sibling {
                Some(worker) => *self.send(cpu, worker, Errand::Step(job)).expect("a step has led somewhere"),
                None => job.step::<P, M>(cpu),
            };
            match stepped {
                Stepped::Next(next) | Stepped::Wait(next) => job = next,
                Stepped::Done(ended) => break ended,
            }
        };
        if let Some(worker) = sibling {
            self.send(cpu, worker, Errand::FindGone);
        }
        if let Ended::Unmap(unmapped) = ended {
            self.ranges.deferred.extend(unmapped);
            self.ranges.look_after_deferred::<P, M>(cpu);
        }
    }
}
