//! Grace periods: waiting until every CPU has been somewhere where no walk can be.
//!
//! # Guarantee
//!
//! When a [`GracePeriod`] has elapsed, every walk that could have seen what was unlinked before it began is over.
//! No CPU is interrupted for it, and how long it takes is not promised.
//!
//! # Mechanism
//!
//! Each CPU counts when it goes idle and when it is back at work; the count is even while it is idle: halted, lazy,
//! waiting for others, or not at work at all. A grace period has elapsed for a CPU that was idle when it began, or
//! has gone idle since. A CPU inside a walk cannot: going idle needs the [`Cpu`] that the walk borrows.

use alloc::boxed::Box;

use crate::atomic::Ordering;
use crate::machine::Machine;
use crate::types::CpuId;
use crate::world::{Cpu, World};

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
        // Relaxed: a hint for walkers that would otherwise have no reason to end their walks.
        world.grace_waiters.fetch_add(1, Ordering::Relaxed);
        self.rest(|| world.has_elapsed(me, &period));
        // Relaxed: as above.
        world.grace_waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
