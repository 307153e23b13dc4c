//! Workers that go offline around an operation.
//!
//! # Guarantee
//!
//! When [`Hotplug::await_offline`] returns, the workers that were named are offline, and each stays so until the
//! operation is over, unless it races with it. A worker is back, with its mm loaded, before it is through with its
//! turn.

use gupsync::atomic::{AtomicU64, Ordering};
use gupsync::cpumask::CpuMask;
use gupsync::hotplug;
use gupsync::types::CpuId;
use gupsync::world::Cpu;

use crate::machine::Spin;

/// The workers of one team that go offline.
pub(crate) struct Hotplug {
    named: CpuMask,
    /// How many of them are offline.
    offline: AtomicU64,
}

impl Hotplug {
    /// None is to go, on `cpus` CPUs.
    pub(crate) fn new(cpus: usize) -> Self {
        Hotplug { named: CpuMask::new(cpus), offline: AtomicU64::new(0) }
    }

    /// Mutator: names the workers that go in the turn that is opened next. Published by what opens it.
    pub(crate) fn name(&self, workers: &[CpuId]) {
        // Relaxed, both: published by what opens the turn.
        self.named.drain(Ordering::Relaxed, |_| ());
        workers.iter().for_each(|worker| self.named.insert(*worker, Ordering::Relaxed));
    }

    /// Mutator: comes back when `count` workers are offline.
    pub(crate) fn await_offline<M: Spin>(&self, cpu: &mut Cpu<'_, M>, count: usize) {
        // Acquire: pairs with the Release in `go`.
        cpu.rest(|| self.offline.load(Ordering::Acquire) == count as u64);
    }

    /// Worker: whether it is to go.
    pub(crate) fn is_named(&self, worker: CpuId) -> bool {
        // Relaxed: published by what has opened the turn.
        self.named.contains(worker, Ordering::Relaxed)
    }

    /// Worker: goes offline, and comes back when `may_come` says so, or when it is called, as it must not be: says
    /// whether it was.
    pub(crate) fn go<M: Spin>(&self, cpu: &mut Cpu<'_, M>, mut may_come: impl FnMut() -> bool) -> bool {
        let (world, id) = (cpu.world(), cpu.id());
        let offline = hotplug::go_offline(cpu);
        // Release: pairs with the Acquire in `await_offline`.
        self.offline.fetch_add(1, Ordering::Release);
        world.machine.spin(|| may_come() || world.is_called(id));
        let is_called = world.is_called(id);
        // Relaxed: it is through with its turn later, which is awaited.
        self.offline.fetch_sub(1, Ordering::Relaxed);
        offline.come_online();
        is_called
    }
}
