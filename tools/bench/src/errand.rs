//! Errands: what a mutator has another CPU do in its place.
//!
//! # Guarantee
//!
//! [`Errands::send`] returns when the worker has done the errand. All that the mutator had done before is visible to the
//! worker, and all that the worker did is visible to the mutator, as if a task had migrated there and back.

use alloc::boxed::Box;
use crossbeam_utils::atomic::AtomicCell;

use gupsync::atomic::{AtomicU64, Ordering};
use gupsync::machine::Machine;
use gupsync::ops::{Job, Stepped};
use gupsync::types::CpuId;
use gupsync::world::Cpu;

use crate::spec::Workload;

/// Something that a worker is asked to do between two walks.
pub(crate) enum Errand {
    /// One step of an operation: the task has migrated there.
    Step(Job),
    /// What a sibling of the mutator might do, for a piggyback.
    Sibling(Workload),
    /// To see that the page of this turn is not there any more.
    FindGone,
    /// To give back the page that it has pinned for this turn.
    Unpin,
}

/// The errands of one team: one at a time.
pub(crate) struct Errands {
    /// The CPU that has an errand, plus one.
    sent_to: AtomicU64,
    errand: AtomicCell<Option<Box<Errand>>>,
    answer: AtomicCell<Option<Box<Stepped>>>,
}

impl Errands {
    /// None is under way.
    pub(crate) fn new() -> Self {
        Errands { sent_to: AtomicU64::new(0), errand: AtomicCell::new(None), answer: AtomicCell::new(None) }
    }

    /// Mutator: sends `errand` to `worker`, which is not held, wakes it by `kick`, and waits for the answer.
    pub(crate) fn send<M: Machine>(
        &self,
        cpu: &mut Cpu<'_, M>,
        worker: CpuId,
        errand: Errand,
        kick: impl FnOnce(&mut Cpu<'_, M>),
    ) -> Option<Box<Stepped>> {
        self.errand.store(Some(Box::new(errand)));
        // Release: pairs with the Acquire in `is_for`; the errand is there, and what came before it is visible.
        self.sent_to.store(worker.0 as u64 + 1, Ordering::Release);
        kick(cpu);
        // Acquire: pairs with the Release in `answer`.
        cpu.rest(|| self.sent_to.load(Ordering::Acquire) == 0);
        self.answer.take()
    }

    /// Worker: whether there is one for it.
    pub(crate) fn is_for(&self, worker: CpuId) -> bool {
        // Acquire: pairs with the Release in `send`.
        self.sent_to.load(Ordering::Acquire) == worker.0 as u64 + 1
    }

    /// Worker: takes the errand that is for it.
    pub(crate) fn take(&self) -> Errand {
        *self.errand.take().expect("an errand was sent")
    }

    /// Worker: the errand is done.
    pub(crate) fn answer(&self, answer: Option<Box<Stepped>>) {
        self.answer.store(answer);
        // Release: pairs with the Acquire in `send`.
        self.sent_to.store(0, Ordering::Release);
    }
}
