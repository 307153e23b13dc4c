//! Call-function interrupts: one CPU asks others to do something and waits until all have.
//!
//! # Guarantee
//!
//! When [`InFlight::wait`] returns, every CPU asked has run the request in its maskable interrupt handler, after
//! [`Cpu::issue`] was called: it was outside every interrupts-off section, hence outside every walk, at one
//! moment in between. All it had done until then is visible to the sender.
//!
//! Three stages, and what each does *not* promise:
//!
//! - *issue*: the request is written and queued. Nobody has been interrupted.
//! - *dispatch*: the interrupts are sent. Nobody may have taken one.
//! - *wait*: all acknowledgements are in. Only now may a table be reused, and only if a [`Round`] says so.
//!
//! A [`Round`] is handed in at issue and comes back finished from wait. Nobody else ever sees the acks, so a
//! snapshot taken after them cannot be expressed.
//!
//! # Mechanism
//!
//! A CPU has one request at a time, in its own slot, and waits with interrupts on: two senders serve each other.
//! The sender's bit in a target's inbox stands for the request; the APIC may coalesce interrupts, bits it cannot
//! lose. A sender cannot be inside a walk: [`Cpu::irqs_off`] borrows the CPU that issuing needs.
//!
//! ```compile_fail,E0500
//! # use gupsync::{machine::Machine, sync, world::Cpu};
//! fn sends_from_inside<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &gupsync::mm::Mm) {
//!     cpu.irqs_off(|_off| sync::round(cpu, mm));
//! }
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use crossbeam_utils::CachePadded;

use crate::atomic::{AtomicU64, Ordering};
use crate::cpumask::{CpuId, CpuMask, CpuSet};
use crate::machine::{Cause, Event, FrameSize, Machine, Range};
use crate::mm::shared::Kin;
use crate::mm::{MmId, VirtAddr};
use crate::pending_gup_sync::{AckedByAll, Targets};
use crate::world::{Cpu, World};

/// What a CPU is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Flush the translations of an mm.
    Flush(FlushCall),
    /// Nothing: to answer is the answer.
    Sync(MmId),
    /// Nothing, likewise, for the sake of a table that several mms have shared.
    Debt {
        /// Whose share was dropped.
        mm: MmId,
        /// Who has shared it.
        kin: Kin,
    },
    /// Flush everything: a kernel-range flush, as far as a CPU is concerned.
    Kernel,
    /// Nothing, for a caller who wants every CPU to have been interrupted.
    Everyone,
}

/// The flush that a CPU is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushCall {
    /// The mm.
    pub mm: MmId,
    /// What of it.
    pub range: Range,
    /// The mm's `tlb_gen` that this flush brings a CPU to.
    pub tlb_gen: u64,
}

impl Call {
    /// Why the interrupt is sent.
    pub fn cause(self) -> Cause {
        match self {
            Call::Flush(_) => Cause::Flush,
            Call::Sync(_) | Call::Debt { .. } => Cause::Sync,
            Call::Kernel | Call::Everyone => Cause::Other,
        }
    }

    /// The mm it is about; the kernel, if none.
    pub fn mm(self) -> MmId {
        match self {
            Call::Flush(flush) => flush.mm,
            Call::Sync(mm) | Call::Debt { mm, .. } => mm,
            Call::Kernel | Call::Everyone => MmId::KERNEL,
        }
    }
}

/// Something begun before the interrupts are sent that learns who acknowledged.
pub trait Round {
    /// What the acks prove.
    type Outcome;

    /// Called once, when all acks are in. Sets no longer needed go back to `sets`.
    fn finish(self, acks: &Acks, sets: &mut SetPool) -> Self::Outcome;
}

/// A call whose acks prove nothing beyond that it was carried out.
impl Round for () {
    type Outcome = ();

    fn finish(self, _: &Acks, _: &mut SetPool) {}
}

impl<'mm> Round for Targets<'mm> {
    type Outcome = Option<AckedByAll<'mm>>;

    fn finish(self, acks: &Acks, sets: &mut SetPool) -> Self::Outcome {
        let (proof, need) = self.acked(acks);
        sets.give(need);
        proof
    }
}

/// The CPUs that acknowledged from their maskable handlers. Made by [`InFlight::wait`] alone.
pub struct Acks {
    by: CpuSet,
    others: usize,
}

impl Acks {
    /// Who.
    pub fn by(&self) -> &CpuSet {
        &self.by
    }

    /// Whether it was every CPU of the machine but the sender.
    pub fn is_everyone(&self) -> bool {
        self.by.len() == self.others
    }
}

/// Sets that a CPU works with, kept so that a round allocates nothing.
pub struct SetPool {
    cpus: usize,
    spare: Vec<CpuSet>,
}

impl SetPool {
    pub(crate) fn new(cpus: usize) -> Self {
        SetPool { cpus, spare: Vec::new() }
    }

    /// An empty set.
    pub fn take(&mut self) -> CpuSet {
        let mut set = self.spare.pop().unwrap_or_else(|| CpuSet::new(self.cpus));
        set.clear();
        set
    }

    /// Takes a set back.
    pub fn give(&mut self, set: CpuSet) {
        self.spare.push(set);
    }
}

/// The requests of all CPUs.
pub(crate) struct Calls(Box<[CachePadded<Slot>]>);

struct Slot {
    /// Who wants something from this CPU.
    inbox: CpuMask,
    /// What this CPU wants from others: the fields of one [`Call`], valid while its bit is in some inbox.
    request: [AtomicU64; 5],
    /// Acks that this CPU still waits for.
    outstanding: AtomicU64,
}

impl Calls {
    pub(crate) fn new(cpus: usize) -> Self {
        let slot = || Slot {
            inbox: CpuMask::new(cpus),
            request: core::array::from_fn(|_| AtomicU64::new(0)),
            outstanding: AtomicU64::new(0),
        };
        Calls((0..cpus).map(|_| CachePadded::new(slot())).collect())
    }

    fn slot(&self, cpu: CpuId) -> &Slot {
        &self.0[cpu.0]
    }
}

impl Slot {
    const SYNC: u64 = 0;
    const KERNEL: u64 = 1;
    const EVERYONE: u64 = 2;
    const DEBT: u64 = 3;
    const FLUSH: u64 = 4;
    const FLUSH_SMALL: u64 = 5;
    const FLUSH_HUGE: u64 = 6;

    // Relaxed in both: the Release of `inbox.insert` publishes the words and the Acquire of `inbox.drain` reads
    // them after it; the slot is not written again before all acks (Release) were awaited (Acquire).
    fn write(&self, call: Call) {
        let words = match call {
            Call::Sync(mm) => [Self::SYNC, mm.word(), 0, 0, 0],
            Call::Debt { mm, kin } => [Self::DEBT, mm.word(), kin.0, 0, 0],
            Call::Kernel => [Self::KERNEL, 0, 0, 0, 0],
            Call::Everyone => [Self::EVERYONE, 0, 0, 0, 0],
            Call::Flush(FlushCall { mm, range, tlb_gen }) => match range {
                Range::All => [Self::FLUSH, mm.word(), tlb_gen, 0, 0],
                Range::Pages { start, pages, size: FrameSize::Small } => {
                    [Self::FLUSH_SMALL, mm.word(), tlb_gen, start.0, pages]
                }
                Range::Pages { start, pages, size: FrameSize::Huge } => {
                    [Self::FLUSH_HUGE, mm.word(), tlb_gen, start.0, pages]
                }
            },
        };
        for (word, value) in self.request.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Call {
        let word = |index: usize| self.request[index].load(Ordering::Relaxed);
        let mm = MmId::from_word(word(1));
        let pages = |size| Range::Pages { start: VirtAddr(word(3)), pages: word(4), size };
        let range = match word(0) {
            Self::SYNC => return Call::Sync(mm),
            Self::DEBT => return Call::Debt { mm, kin: Kin(word(2)) },
            Self::KERNEL => return Call::Kernel,
            Self::EVERYONE => return Call::Everyone,
            Self::FLUSH => Range::All,
            Self::FLUSH_SMALL => pages(FrameSize::Small),
            _ => pages(FrameSize::Huge),
        };
        Call::Flush(FlushCall { mm, range, tlb_gen: word(2) })
    }
}

/// A call that has been sent and not been awaited.
#[must_use = "until `wait`, nobody may have taken the interrupt"]
pub struct InFlight<R> {
    sender: CpuId,
    to: CpuSet,
    round: R,
}

impl<M: Machine> Cpu<'_, M> {
    /// Issues and dispatches `call` to every CPU of `to`, on behalf of `round`.
    pub fn issue<R: Round>(&mut self, call: Call, to: CpuSet, round: R) -> InFlight<R> {
        let (world, sender) = (self.world(), self.id());
        let own = world.calls.slot(sender);
        own.write(call);
        // Relaxed: the Release of each `inbox.insert` publishes it.
        own.outstanding.store(to.len() as u64, Ordering::Relaxed);
        to.for_each(|target| {
            // Release: pairs with the Acquire of `inbox.drain`; publishes the request.
            world.calls.slot(target).inbox.insert(sender, Ordering::Release);
            world.machine.send(sender, target, call.cause(), call.mm());
        });
        InFlight { sender, to, round }
    }
}

impl<R: Round> InFlight<R> {
    /// Waits for all acks, interrupts on, and finishes the round.
    ///
    /// # Panics
    ///
    /// On another CPU than the one that issued: a sender does not migrate.
    pub fn wait<M: Machine>(self, cpu: &mut Cpu<'_, M>) -> R::Outcome {
        assert_eq!(self.sender, cpu.id(), "a call was issued on one CPU and awaited on another");
        let own = cpu.world().calls.slot(self.sender);
        // Acquire: pairs with the Release of each ack. All that the targets did before they answered, their
        // walks above all, happened before what the sender does next.
        cpu.wait(|| own.outstanding.load(Ordering::Acquire) == 0);
        let acks = Acks { by: self.to, others: cpu.world().machine.cpus() - 1 };
        let outcome = self.round.finish(&acks, cpu.sets());
        cpu.sets().give(acks.by);
        outcome
    }
}

impl<M: Machine> World<M> {
    /// The maskable interrupt handler: carries out and acknowledges what others have asked of `cpu`.
    ///
    /// Only a maskable interrupt may lead here. An NMI, or a CPU that polls with interrupts off, would
    /// acknowledge from inside a walk.
    pub fn interrupt(&self, cpu: CpuId) {
        self.machine.note(cpu, MmId::KERNEL, Event::InterruptTaken, 1);
        // Acquire: pairs with the Release of `inbox.insert`.
        self.calls.slot(cpu).inbox.drain(Ordering::Acquire, |sender| {
            let slot = self.calls.slot(sender);
            let call = slot.read();
            self.respond(cpu, call);
            // Release: the ack. Pairs with the Acquire in `InFlight::wait`.
            slot.outstanding.fetch_sub(1, Ordering::Release);
            self.machine.acked(cpu, sender, call.cause(), call.mm());
        });
    }

    /// Whether somebody waits for `cpu` to answer, or for the end of its walk.
    pub fn is_waited_for(&self, cpu: CpuId) -> bool {
        // Relaxed: a hint.
        !self.calls.slot(cpu).inbox.is_empty() || self.grace_waiters.load(Ordering::Relaxed) != 0
    }
}
