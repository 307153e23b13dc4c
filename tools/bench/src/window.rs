//! A kernel mapping that changes: what a flush of the kernel's range is for.
//!
//! # Guarantee
//!
//! A CPU that looks after [`Window::remap`] has come back, and reads an older page than that one mapped, has kept a
//! translation over a flush of the kernel's range: it is caught.

use crate::machine::Bench;
use gupsync::atomic::{AtomicU64, Figure, Ordering};
use gupsync::detect::{Caught, Violation};
use gupsync::flush;
use gupsync::types::{CpuId, Frame, MmId};
use gupsync::world::{Cpu, World};

/// The window of one run.
pub(crate) struct Window {
    /// What the page holds that was mapped last before a flush that is over.
    flushed: AtomicU64,
    /// How often the worker that touches has looked.
    looks: AtomicU64,
    /// Since counting began: how many remaps a worker on another CPU has read through, before and after.
    read: Figure,
}

impl Window {
    /// As an earlier run has left it: what it mapped is not mapped again, so no old translation is taken for a new one.
    pub(crate) fn new<M: Bench>(machine: &M) -> Self {
        let now = machine.kernel_window();
        Window { flushed: AtomicU64::new(now), looks: AtomicU64::new(0), read: Figure::new(0) }
    }

    /// Maps another page there, and flushes the kernel's range. One CPU at a time.
    pub(crate) fn remap<M: Bench>(&self, cpu: &mut Cpu<'_, M>) {
        // Relaxed: written by the CPU that remapped last, which has told this one to go on.
        let next = self.flushed.load(Ordering::Relaxed) + 1;
        cpu.world().machine.map_kernel_window(next);
        flush::kernel_range(cpu);
        // Release: pairs with the Acquire in `look`.
        self.flushed.store(next, Ordering::Release);
        self.look(cpu.world(), cpu.id());
    }

    /// The same while a worker goes on touching: comes back when it has looked since.
    pub(crate) fn remap_before_a_toucher<M: Bench>(&self, cpu: &mut Cpu<'_, M>) {
        self.remap(cpu);
        // Acquire, both: pair with the Release in `looked`. The first look to end may have begun before the flush was over.
        let before = self.looks.load(Ordering::Acquire);
        cpu.rest(|| self.looks.load(Ordering::Acquire) >= before + 2);
        // Relaxed: a figure.
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads through the window on this CPU.
    pub(crate) fn look<M: Bench>(&self, world: &World<M>, cpu: CpuId) {
        let va = M::KERNEL_WINDOW;
        // Acquire: pairs with the Release in `remap`.
        let flushed = self.flushed.load(Ordering::Acquire);
        let machine = &world.machine;
        let (kept, found) = machine.irqs_off(cpu, || (machine.kept().of(cpu, va), machine.touch(cpu, va)));
        let is_stale = found.is_none_or(|found| found < flushed) || kept.is_some_and(|found| found < flushed);
        // One finding is enough: a CPU looks as often as it can.
        if is_stale && !world.findings.has_caught() {
            let (kind, mm, table) = (Caught::StaleKernelMapping, MmId::KERNEL, Frame(0));
            world.caught(Violation { kind, cpu, mm, va, table, ticket: 0 });
        }
    }

    /// The worker that touches has looked.
    pub(crate) fn looked(&self) {
        // Release: pairs with the Acquire in `remap_before_a_toucher`.
        self.looks.fetch_add(1, Ordering::Release);
    }

    /// Starts counting anew.
    pub(crate) fn forget(&self) {
        // Relaxed: a figure, and no other CPU is at work.
        self.read.store(0, Ordering::Relaxed);
    }

    /// How many remaps since then were read through by a worker on another CPU.
    pub(crate) fn read(&self) -> u64 {
        // Relaxed: the mutators have reported.
        self.read.load(Ordering::Relaxed)
    }
}
