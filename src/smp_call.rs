//! Requests from CPU to CPU: what they ask, how they are written down, and how they are acknowledged.
//!
//! # Guarantee
//!
//! A request is read by its target as it was written. An ack is given after the request was carried out, and all
//! that the target had done until then is visible to the sender that has seen all acks.
//!
//! # Mechanism
//!
//! A CPU has one request at a time, in its own slot. The sender's bit in a target's inbox stands for the request: the
//! APIC may coalesce interrupts, bits it cannot lose. Who may send, and what acks prove, is said in
//! [`crate::sync_round`]; what a target does, in [`crate::flush`].

use alloc::boxed::Box;
use crossbeam_utils::CachePadded;

use crate::atomic::{AtomicU64, Ordering};
use crate::cpumask::{CpuMask, CpuSet};
use crate::event::Cause;
use crate::types::{CpuId, FrameSize, MmId, MmSet, Range, VirtAddr};

/// What a CPU is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Flush the translations of an mm.
    Flush(FlushCall),
    /// Nothing: the ack is all that is wanted.
    Sync(MmId),
    /// Nothing, likewise, for the sake of a table that several mms have shared.
    Debt {
        /// The mm whose share was dropped.
        mm: MmId,
        /// The mms that have shared the table.
        sharers: MmSet,
    },
    /// Flush everything: a kernel-range flush, as far as a CPU is concerned.
    Kernel,
    /// Nothing, for a caller that wants every CPU to have been interrupted.
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

/// The CPUs that have acknowledged a request of one sender. Made where all acks have been awaited, and nowhere else.
pub struct Acks {
    sender: CpuId,
    by: CpuSet,
    others: usize,
}

impl Acks {
    /// The sender that was answered.
    pub fn sender(&self) -> CpuId {
        self.sender
    }

    /// The CPUs that answered.
    pub fn by(&self) -> &CpuSet {
        &self.by
    }

    /// Whether it was every CPU of the machine but the sender.
    pub fn is_everyone(&self) -> bool {
        self.by.len() == self.others
    }

    /// The set, for its next use.
    pub(crate) fn into_set(self) -> CpuSet {
        self.by
    }
}

/// The slots of all CPUs.
pub(crate) struct SmpCalls(Box<[CachePadded<Slot>]>);

struct Slot {
    mailbox: Mailbox,
    /// What this CPU wants from others: the fields of one [`Call`], valid while its bit is in some inbox.
    request: [AtomicU64; 5],
}

/// Who wants something from one CPU, and how many acks that CPU itself still waits for.
pub struct Mailbox {
    inbox: CpuMask,
    outstanding: AtomicU64,
}

impl Mailbox {
    /// Empty, for `cpus` CPUs.
    pub fn new(cpus: usize) -> Self {
        Mailbox { inbox: CpuMask::new(cpus), outstanding: AtomicU64::new(0) }
    }

    /// Sender: expects `acks` acks to the request that it has written down, before it posts it anywhere.
    pub fn expect(&self, acks: usize) {
        // Relaxed: the Release of each `post` publishes it.
        self.outstanding.store(acks as u64, Ordering::Relaxed);
    }

    /// Sender `from`: its request is for the owner of this mailbox too. Publishes what the sender wrote before.
    pub fn post(&self, from: CpuId) {
        // Release: pairs with the Acquire of `drain`; publishes the request.
        self.inbox.insert(from, Ordering::Release);
    }

    /// Target: visits the senders that want something, each once.
    pub fn take(&self, visit: impl FnMut(CpuId)) {
        // Acquire: pairs with the Release of `post`; the request is read as it was written.
        self.inbox.drain(Ordering::Acquire, visit);
    }

    /// Target: has carried out the request of this mailbox's owner.
    pub fn ack(&self) {
        // Release: pairs with the Acquire in `is_answered`; all that the target did before it answered.
        self.outstanding.fetch_sub(1, Ordering::Release);
    }

    /// Sender: whether all acks are in.
    pub fn is_answered(&self) -> bool {
        // Acquire: pairs with the Release of each `ack`. All that the targets did before they answered, their walks
        // above all, happened before what the sender does next.
        self.outstanding.load(Ordering::Acquire) == 0
    }

    /// Whether no CPU wants anything. A hint.
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }
}

impl SmpCalls {
    pub(crate) fn new(cpus: usize) -> Self {
        let slot =
            || Slot { mailbox: Mailbox::new(cpus), request: core::array::from_fn(|_| AtomicU64::new(0)) };
        SmpCalls((0..cpus).map(|_| CachePadded::new(slot())).collect())
    }

    /// Writes `call` down as `sender`'s one request, to be acknowledged by `targets` CPUs.
    pub(crate) fn write(&self, sender: CpuId, call: Call, targets: usize) {
        let own = &self.0[sender.0];
        own.write(call);
        own.mailbox.expect(targets);
    }

    /// Target: takes the requests that are for `cpu`, and acknowledges each when `carry_out` has returned. What that has
    /// done and counted is visible to the sender that has the ack.
    pub(crate) fn serve(&self, cpu: CpuId, mut carry_out: impl FnMut(CpuId, Call)) {
        self.mailbox(cpu).take(|sender| {
            carry_out(sender, self.0[sender.0].read());
            self.mailbox(sender).ack();
        });
    }

    /// The mailbox of `cpu`.
    pub(crate) fn mailbox(&self, cpu: CpuId) -> &Mailbox {
        &self.0[cpu.0].mailbox
    }

    /// The acks to `sender`, which has awaited them, of the CPUs in `by`.
    pub(crate) fn acks(&self, sender: CpuId, by: CpuSet) -> Acks {
        Acks { sender, by, others: self.0.len() - 1 }
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

    // Relaxed in both: the mailboxes publish the words; the slot is not written again before all acks (Release) were
    // awaited (Acquire).
    fn write(&self, call: Call) {
        let words = match call {
            Call::Sync(mm) => [Self::SYNC, mm.word(), 0, 0, 0],
            Call::Debt { mm, sharers } => [Self::DEBT, mm.word(), sharers.word(), 0, 0],
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
            Self::DEBT => return Call::Debt { mm, sharers: MmSet::from_word(word(2)) },
            Self::KERNEL => return Call::Kernel,
            Self::EVERYONE => return Call::Everyone,
            Self::FLUSH => Range::All,
            Self::FLUSH_SMALL => pages(FrameSize::Small),
            _ => pages(FrameSize::Huge),
        };
        Call::Flush(FlushCall { mm, range, tlb_gen: word(2) })
    }
}
