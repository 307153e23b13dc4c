//! What all CPUs share ([`World`]), and what code that runs on one CPU holds ([`Cpu`], [`IrqsOff`]).

use alloc::boxed::Box;
use crossbeam_utils::CachePadded;

use crate::atomic::{AtomicU64, Figure, Ordering};
use crate::call::{Calls, SetPool};
use crate::cpumask::CpuId;
use crate::flush::FlushConfig;
use crate::machine::{Event, Machine, Violation};
use crate::mm::asid::Asids;
use crate::mm::membership::CpuState;
use crate::mm::{Mm, MmConfig, MmId, tables};
use crate::detect::Oracle;

/// A machine and the mms on it.
pub struct World<M: Machine> {
    /// The hardware.
    pub machine: M,
    /// How this machine flushes.
    pub config: FlushConfig,
    pub(crate) cpus: Box<[CachePadded<CpuState>]>,
    pub(crate) calls: Calls,
    pub(crate) asids: Asids,
    /// How many wait for a grace period: a hint for walkers that are held.
    pub(crate) grace_waiters: AtomicU64,
    /// Counts unlinks, for telling which walks began before one.
    pub(crate) unlink_clock: Figure,
    /// What the detectors have found.
    pub oracle: Oracle,
    mms: Box<[Mm]>,
}

impl<M: Machine> World<M> {
    /// A world with an address space for each of `mms`, loaded nowhere. `None` if there is no memory for their roots.
    pub fn new(machine: M, config: FlushConfig, mms: impl IntoIterator<Item = MmConfig>) -> Option<Self> {
        let cpus = machine.cpus();
        let asids = Asids::new(config.asids);
        let mms = (1..)
            .zip(mms)
            .map(|(id, config)| Mm::new(&machine, MmId::new(id), config))
            .collect::<Option<Box<[Mm]>>>()?;
        Some(World {
            cpus: (0..cpus).map(|_| CachePadded::new(CpuState::new())).collect(),
            calls: Calls::new(cpus),
            asids,
            grace_waiters: AtomicU64::new(0),
            unlink_clock: Figure::new(0),
            oracle: Oracle::new(),
            machine,
            config,
            mms,
        })
    }

    /// Records what a detector has found.
    pub fn caught(&self, violation: Violation) {
        self.oracle.record(&violation);
        self.machine.caught(&violation);
    }

    /// The mm of that number.
    pub fn mm(&self, id: MmId) -> &Mm {
        &self.mms[id.index()]
    }

    /// All mms.
    pub fn mms(&self) -> &[Mm] {
        &self.mms
    }

    /// The handle of a CPU, for the code that runs on it.
    ///
    /// # Panics
    ///
    /// If the CPU has one already: there is one flow of code on a CPU, interrupts apart.
    pub fn enter(&self, id: CpuId) -> Cpu<'_, M> {
        // Relaxed: each CPU touches only its own word.
        let entered = self.cpus[id.0].entered.swap(1, Ordering::Relaxed);
        assert_eq!(entered, 0, "{id} was entered twice");
        self.cpus[id.0].quiescent.at_work();
        Cpu { world: self, id, sets: SetPool::new(self.machine.cpus()) }
    }
}

impl<M: Machine> Drop for World<M> {
    fn drop(&mut self) {
        // After a violation nobody knows which tables are whose.
        if !self.oracle.has_caught() {
            self.mms.iter().for_each(|mm| tables::free_all(&self.machine, mm.root));
        }
    }
}

/// The flow of code on one CPU, interrupts on. Sending interrupts, switching and sleeping need it mutably.
pub struct Cpu<'w, M: Machine> {
    world: &'w World<M>,
    id: CpuId,
    sets: SetPool,
}

impl<'w, M: Machine> Cpu<'w, M> {
    /// Which CPU.
    pub fn id(&self) -> CpuId {
        self.id
    }

    /// What it shares with the others.
    pub fn world(&self) -> &'w World<M> {
        self.world
    }

    pub(crate) fn state(&self) -> &'w CpuState {
        &self.world.cpus[self.id.0]
    }

    /// Sets to work with.
    pub fn sets(&mut self) -> &mut SetPool {
        &mut self.sets
    }

    /// Counts `n` times `event` for `mm` on this CPU.
    pub fn note(&self, mm: MmId, event: Event, n: u64) {
        self.world.machine.note(self.id, mm, event, n);
    }

    /// Runs `body` with maskable interrupts off. It has no [`Cpu`], and so cannot send, wait or switch.
    pub fn irqs_off<R>(&mut self, body: impl FnOnce(&IrqsOff<'w, M>) -> R) -> R {
        let off = IrqsOff { world: self.world, id: self.id };
        let result = self.world.machine.irqs_off(|| body(&off));
        self.window();
        result
    }

    /// A point at which an interrupt may be taken.
    pub fn window(&mut self) {
        self.world.machine.window(self.id, || self.world.interrupt(self.id));
    }

    /// Waits, interrupts on, halted and idle: somebody must interrupt this CPU.
    pub fn park(&mut self, until: impl FnMut() -> bool) {
        self.state().quiescent.idle();
        self.world.machine.park(self.id, || self.world.interrupt(self.id), until);
        self.state().quiescent.at_work();
    }

    /// Waits, interrupts on and idle, for what may take as long as a grace period.
    pub fn rest(&mut self, until: impl FnMut() -> bool) {
        self.state().quiescent.idle();
        self.wait(until);
        self.state().quiescent.at_work();
    }

    /// Waits, interrupts on.
    pub fn wait(&mut self, until: impl FnMut() -> bool) {
        self.world.machine.wait(self.id, || self.world.interrupt(self.id), until);
    }
}

impl<M: Machine> Drop for Cpu<'_, M> {
    fn drop(&mut self) {
        self.state().quiescent.idle();
        // Relaxed: as in `World::enter`.
        self.state().entered.store(0, Ordering::Relaxed);
    }
}

/// A stretch of code on one CPU with maskable interrupts off.
pub struct IrqsOff<'w, M: Machine> {
    world: &'w World<M>,
    id: CpuId,
}

impl<'w, M: Machine> IrqsOff<'w, M> {
    /// Which CPU.
    pub fn id(&self) -> CpuId {
        self.id
    }

    /// What it shares with the others.
    pub fn world(&self) -> &'w World<M> {
        self.world
    }

    pub(crate) fn state(&self) -> &'w CpuState {
        &self.world.cpus[self.id.0]
    }

    /// Counts `n` times `event` for `mm` on this CPU.
    pub fn note(&self, mm: MmId, event: Event, n: u64) {
        self.world.machine.note(self.id, mm, event, n);
    }
}

impl<'w, M: Machine> World<M> {
    /// The same, for the interrupt handler, where interrupts are off already.
    pub(crate) fn in_handler(&'w self, id: CpuId) -> IrqsOff<'w, M> {
        IrqsOff { world: self, id }
    }
}
