//! Grace periods: waiting until every CPU has been somewhere where no walk can be.
//!
//! # Guarantee
//!
//! When a [`GracePeriod`] has elapsed, every walk that could have seen what was unlinked before it began is over.
//! Nobody is interrupted for it, and nobody promises how long it takes.
//!
//! # Mechanism
//!
//! Each CPU counts when it goes idle and when it is back at work; the count is even while it is idle: halted, lazy,
//! waiting for others, or not at work at all. A grace period has elapsed for a CPU that was idle when it began, or
//! has gone idle since. A CPU inside a walk cannot: going idle needs the [`Cpu`] that the walk borrows.

use alloc::boxed::Box;

use crate::atomic::{AtomicU64, Figure, Ordering, fence};
use crate::cpumask::CpuId;
use crate::machine::Machine;
use crate::world::{Cpu, World};

/// The quiescent states of one CPU.
pub(crate) struct Quiescent {
    count: AtomicU64,
    /// Reasons to be idle: a CPU that is lazy may halt as well. Its own.
    reasons: Figure,
}

impl Quiescent {
    /// Of a CPU that is idle.
    pub(crate) fn new() -> Self {
        Quiescent { count: AtomicU64::new(0), reasons: Figure::new(1) }
    }

    /// The CPU has a reason (more) to be idle.
    pub(crate) fn idle(&self) {
        // Relaxed: its own.
        if self.reasons.fetch_add(1, Ordering::Relaxed) == 0 {
            // Release: pairs with the Acquire in `look`; walks so far are over.
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    /// A reason is gone; with the last one the CPU is at work.
    pub(crate) fn at_work(&self) {
        // Relaxed: its own.
        if self.reasons.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Relaxed: F6 follows.
            self.count.fetch_add(1, Ordering::Relaxed);
            // F6: "at work" is visible before anything is read of the tables. Pairs with F1: who finds this CPU
            // idle has unlinked before, and the walks that follow see the cleared entries.
            fence(Ordering::SeqCst);
        }
    }

    fn look(&self) -> u64 {
        // Acquire: pairs with the Release in `idle`.
        self.count.load(Ordering::Acquire)
    }
}

/// A grace period: the counts of all CPUs when it began.
#[derive(Debug)]
pub struct GracePeriod(Box<[u64]>);

impl<M: Machine> World<M> {
    /// Begins a grace period for what was unlinked before.
    pub fn begin_grace_period(&self) -> GracePeriod {
        GracePeriod(self.cpus.iter().map(|state| state.quiescent.look()).collect())
    }

    /// Whether it has elapsed, as far as CPUs other than `me` go: `me` asks, and so is in no walk.
    pub fn has_elapsed(&self, me: CpuId, period: &GracePeriod) -> bool {
        self.cpus.iter().zip(&period.0).enumerate().all(|(cpu, (state, &began))| {
            cpu == me.0 || began.is_multiple_of(2) || state.quiescent.look() != began
        })
    }
}

impl<M: Machine> Cpu<'_, M> {
    /// Waits for a grace period, in a quiescent state itself.
    pub fn synchronize_rcu(&mut self) {
        let (world, me) = (self.world(), self.id());
        let period = world.begin_grace_period();
        // Relaxed: a hint for those who would otherwise have no reason to end their walks.
        world.grace_waiters.fetch_add(1, Ordering::Relaxed);
        self.rest(|| world.has_elapsed(me, &period));
        // Relaxed: as above.
        world.grace_waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
