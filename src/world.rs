//! What all CPUs share ([`World`]), and what code that runs on one CPU holds ([`Cpu`], [`IrqsOff`]).

use alloc::boxed::Box;
use crossbeam_utils::CachePadded;

use crate::atomic::{AtomicU64, Ordering};
use crate::config::{FlushConfig, MmConfig};
use crate::cpu_state::CpuState;
use crate::cpumask::SetPool;
use crate::detect::{Findings, Violation};
use crate::event::Event;
use crate::machine::Machine;
use crate::mm::asid::Asids;
use crate::mm::{Mm, page_table};
use crate::online::Online;
use crate::smp_call::SmpCalls;
use crate::stats::UnlinkClock;
use crate::types::{CpuId, Frame, FrameSize, MmId};

/// A machine and the mms on it.
pub struct World<M: Machine> {
    /// The hardware.
    pub machine: M,
    /// How this machine flushes.
    pub config: FlushConfig,
    pub(crate) cpus: Box<[CachePadded<CpuState>]>,
    pub(crate) calls: SmpCalls,
    pub(crate) online: Online,
    pub(crate) asids: Asids,
    /// How many CPUs wait for a grace period: a hint for walkers that are held.
    pub(crate) grace_waiters: AtomicU64,
    /// For the figures beside a sync.
    pub(crate) unlink_clock: UnlinkClock,
    /// What the detectors have found.
    pub findings: Findings,
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
            calls: SmpCalls::new(cpus),
            online: Online::new(cpus),
            asids,
            grace_waiters: AtomicU64::new(0),
            unlink_clock: UnlinkClock::new(),
            findings: Findings::new(),
            machine,
            config,
            mms,
        })
    }

    /// Records what a detector has found.
    #[cold]
    pub fn caught(&self, violation: Violation) {
        self.findings.record(&violation);
        self.machine.caught(&violation);
    }

    /// Drops a reference to a page, and frees the page if it was the last.
    #[inline(never)]
    pub fn put_page(&self, page: Frame) {
        if self.machine.page(page).put() {
            self.machine.free(page, FrameSize::Small);
        }
    }

    /// Whether another CPU waits for `cpu` to answer, or for the end of its walk. A hint.
    pub fn is_waited_for(&self, cpu: CpuId) -> bool {
        // Relaxed: a hint.
        self.is_called(cpu) || self.grace_waiters.load(Ordering::Relaxed) != 0
    }

    /// Whether a request for `cpu` waits to be answered. A hint; but none does while it is offline.
    pub fn is_called(&self, cpu: CpuId) -> bool {
        !self.calls.mailbox(cpu).is_empty()
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
    /// If the CPU has one already. Each flow of code enters the CPU on which it begins; a task that goes to other CPUs
    /// ([`Cpu::may_migrate`]) is back there when it drops its handle.
    pub fn enter(&self, id: CpuId) -> Cpu<'_, M> {
        // Relaxed: each CPU touches only its own word.
        let entered = self.cpus[id.0].entered.swap(1, Ordering::Relaxed);
        assert_eq!(entered, 0, "{id} was entered twice");
        self.cpus[id.0].quiescent.at_work();
        Cpu { world: self, id, sets: SetPool::new(self.machine.cpus()), preempt_count: 0 }
    }
}

impl<M: Machine> Drop for World<M> {
    fn drop(&mut self) {
        // After a violation it is not known which tables are whose.
        if !self.findings.has_caught() {
            self.mms.iter().for_each(|mm| page_table::free_all(&self.machine, mm.root));
        }
    }
}

/// A task on the CPU that it runs on, interrupts on. Sending interrupts, switching and sleeping need it mutably, and so
/// does going to another CPU: while it is borrowed, the task stays where it is.
pub struct Cpu<'w, M: Machine> {
    world: &'w World<M>,
    id: CpuId,
    sets: SetPool,
    /// For how many reasons the task may not be preempted.
    preempt_count: usize,
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

    /// The task may be preempted here, and go on on another CPU. Until it is back, it walks nothing and waits for no
    /// grace period: being idle is said of a CPU here, and does not go with the task (in Linux a switch of tasks is a
    /// quiescent state).
    pub fn may_migrate(&mut self) {
        if self.preempt_count == 0 {
            let here = self.id;
            self.id = self.world.machine.preempt(here);
            self.note(MmId::KERNEL, Event::Migrated, u64::from(self.id != here));
        }
    }

    /// Does `body` on this CPU alone (Linux: `preempt_disable()`).
    pub(crate) fn pinned<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        self.preempt_count += 1;
        let result = body(self);
        self.preempt_count -= 1;
        result
    }

    /// Does `body` on this CPU alone, with the PTE lock of `mm`. Interrupts stay on, and it may send: a CPU that waits for the
    /// lock answers.
    pub(crate) fn with_pte_lock<R>(&mut self, mm: &Mm, body: impl FnOnce(&mut Self) -> R) -> R {
        self.pinned(|cpu| {
            cpu.wait(|| mm.pte_lock.try_lock());
            let result = body(cpu);
            mm.pte_lock.unlock();
            result
        })
    }

    /// Runs `body` with maskable interrupts off. It has no [`Cpu`], and so cannot send, wait or switch.
    #[inline(always)]
    pub fn irqs_off<R>(&mut self, body: impl FnOnce(&IrqsOff<'w, M>) -> R) -> R {
        let off = IrqsOff { world: self.world, id: self.id };
        self.world.machine.irqs_off(self.id, || body(&off))
    }

    /// Runs `body`, which gets the machine, in a quiescent state: this CPU walks nothing meanwhile, and no grace period
    /// waits for it.
    pub fn idle<R>(&mut self, body: impl FnOnce(&'w M) -> R) -> R {
        self.state().quiescent.idle();
        let result = body(&self.world.machine);
        self.state().quiescent.at_work();
        result
    }

    /// Waits, interrupts on and idle, for what may take as long as a grace period.
    pub fn rest(&mut self, until: impl FnMut() -> bool) {
        let id = self.id;
        self.idle(|machine| machine.wait(id, until));
    }

    /// Waits, interrupts on.
    pub fn wait(&mut self, until: impl FnMut() -> bool) {
        self.world.machine.wait(self.id, until);
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
    /// The same, for an NMI handler: it keeps maskable interrupts off, whatever it has interrupted.
    pub fn in_nmi(&'w self, id: CpuId) -> IrqsOff<'w, M> {
        self.in_handler(id)
    }

    /// The same, for the interrupt handler, where interrupts are off already.
    pub(crate) fn in_handler(&'w self, id: CpuId) -> IrqsOff<'w, M> {
        IrqsOff { world: self, id }
    }
}
