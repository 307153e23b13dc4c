//! Requests from CPU to CPU: what they ask, how they are written down, and how they are acknowledged.
//!
//! # Guarantee
//!
//! A request is read by its target as it was written. An ack is given after the request was carried out, and all
//! that the target had done until then is visible to the task that has seen all acks, on any CPU.
//!
//! # Mechanism
//!
//! A request belongs to its round, not to the CPU that sends it: it is written down in a *slot*, and of one CPU's
//! rounds several may be in flight. There are as many slots as CPUs, but 256 at the most, so that a target does not
//! look through more than that; each is named by a CPU, its *home*. A sender takes the one that its CPU comes first to
//! if it is free, and else the next that is. The slot's bit in a target's inbox stands for the
//! request: the APIC may coalesce interrupts, bits it cannot lose.
//!
//! The last ack frees the slot, whether or not the round is awaited by then. So a slot counts the requests that it has
//! held, and a round knows by the number of its own that it was answered, though the slot may be another's.
//!
//! No slot free: the sender waits for the one that it came first to, interrupts on. There is no deadlock: a sender that holds a slot
//! has sent, or sends without waiting for anything, and each of its targets answers once it has interrupts on, which it
//! has while it waits for a slot itself. (Nothing says that the slot that comes free goes to the sender that has waited
//! longest.)
//!
//! Who may send, and what acks prove, is said in [`crate::sync_round`]; what a target does, in [`crate::flush`].

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
    /// Flush what is loaded, whichever mm that is: a batch that knows none.
    Batch,
    /// Flush everything: a kernel-range flush, as far as a CPU is concerned.
    Kernel,
    /// Nothing, for a caller that wants every CPU to have been interrupted.
    Everyone,
    /// To say when the sends are over that this interrupts, for a CPU that goes offline.
    Stop,
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
            Call::Flush(_) | Call::Batch => Cause::Flush,
            Call::Sync(_) | Call::Debt { .. } => Cause::Sync,
            Call::Kernel | Call::Everyone | Call::Stop => Cause::Other,
        }
    }

    /// The mm it is about; the kernel, if none.
    pub fn mm(self) -> MmId {
        match self {
            Call::Flush(flush) => flush.mm,
            Call::Sync(mm) | Call::Debt { mm, .. } => mm,
            Call::Batch | Call::Kernel | Call::Everyone | Call::Stop => MmId::KERNEL,
        }
    }
}

/// The CPUs that have acknowledged a request, or were offline when it was sent: then they are in no walk either. Made
/// where all acks have been awaited, and nowhere else.
pub struct Acks {
    by: CpuSet,
    others: usize,
}

impl Acks {
    /// These CPUs.
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

/// The most requests that are in flight at a time, of all senders together.
const MOST_SLOTS: usize = 256;

/// The inboxes of all CPUs, and the slots: those of the first CPUs.
pub(crate) struct SmpCalls(Box<[CachePadded<Slot>]>);

struct Slot {
    mailbox: Mailbox,
    /// What its holder wants from others: the fields of one [`Call`], valid while its bit is in some inbox.
    request: [AtomicU64; 5],
}

/// A request that was written down: its slot, by that slot's home, and its number there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) home: CpuId,
    pub(crate) number: u64,
}

/// Of one CPU: which slots want something from it, and how many acks its own slot still waits for.
pub struct Mailbox {
    inbox: CpuMask,
    /// How many acks are outstanding, in the lowest bits, and above them the number of the request. Changed by atomic
    /// read-modify-writes only, so a load that sees a later value still acquires every ack before it (a release
    /// sequence).
    state: AtomicU64,
}

/// The bits of [`Mailbox::state`] that count acks: more than there are CPUs.
const ACKS: u64 = 0xffff;

impl Mailbox {
    /// Empty and free, for so many slots.
    pub fn new(slots: usize) -> Self {
        Mailbox { inbox: CpuMask::new(slots), state: AtomicU64::new(0) }
    }

    /// Sender: takes the slot, if it is free, for a request that expects so many acks. The request's number.
    pub fn claim(&self, acks: usize) -> Option<u64> {
        let next = |state: u64| (state & !ACKS) + ACKS + 1 + acks as u64;
        let claim = |state: u64| (state & ACKS == 0).then(|| next(state));
        // Acquire: pairs with the Release of each `ack`; what the targets read of the last request, they have read.
        // Relaxed on failure: another slot is tried.
        let before = self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, claim);
        before.ok().map(|state| next(state) & !ACKS)
    }

    /// Sender: the request in the slot of `home` is for the owner of this mailbox too. Publishes what the sender wrote
    /// before.
    pub fn post(&self, home: CpuId) {
        // Release: pairs with the Acquire of `drain`; publishes the request.
        self.inbox.insert(home, Ordering::Release);
    }

    /// Target: visits the slots that hold something for it, each once.
    pub fn take(&self, visit: impl FnMut(CpuId)) {
        // Acquire: pairs with the Release of `post`; the request is read as it was written.
        self.inbox.drain(Ordering::Acquire, visit);
    }

    /// Target: has carried out the request of this slot.
    pub fn ack(&self) {
        // Release: pairs with the Acquire in `is_answered`, and in `claim`; all that the target did before it answered.
        self.state.fetch_sub(1, Ordering::Release);
    }

    /// Sender, on any CPU: whether all acks to request `number` are in. The slot may hold another by now.
    pub fn is_answered(&self, number: u64) -> bool {
        // Acquire: pairs with the Release of each `ack`. All that the targets did before they answered, their walks
        // above all, happened before what the sender does next.
        let state = self.state.load(Ordering::Acquire);
        state & !ACKS != number || state & ACKS == 0
    }

    /// Whether no CPU wants anything. A hint.
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }
}

impl SmpCalls {
    pub(crate) fn new(cpus: usize) -> Self {
        let slots = cpus.min(MOST_SLOTS);
        let slot =
            || Slot { mailbox: Mailbox::new(slots), request: core::array::from_fn(|_| AtomicU64::new(0)) };
        SmpCalls((0..cpus).map(|_| CachePadded::new(slot())).collect())
    }

    /// The slots, by their homes, in the order in which `sender` tries them: there is one at least.
    pub(crate) fn homes(&self, sender: CpuId) -> impl Iterator<Item = CpuId> {
        let slots = self.0.len().min(MOST_SLOTS);
        (0..slots).map(move |next| CpuId((sender.0 + next) % slots))
    }

    /// Writes `call` down, to be acknowledged by `targets` CPUs, one at least, if the slot of `home` is free.
    pub(crate) fn write(&self, home: CpuId, call: Call, targets: usize) -> Option<Written> {
        let slot = &self.0[home.0];
        let number = slot.mailbox.claim(targets)?;
        slot.write(call);
        Some(Written { home, number })
    }

    /// Target, in a context with no walk below it: takes the requests that are for `cpu`, and acknowledges each when
    /// `carry_out` has returned. What that has done and counted is visible to the task that has the ack.
    pub(crate) fn serve(&self, cpu: CpuId, mut carry_out: impl FnMut(Call)) {
        self.mailbox(cpu).take(|home| {
            carry_out(self.0[home.0].read());
            self.mailbox(home).ack();
        });
    }

    /// The mailbox of `cpu`.
    pub(crate) fn mailbox(&self, cpu: CpuId) -> &Mailbox {
        &self.0[cpu.0].mailbox
    }

    /// The acks of the CPUs in `by`, which have been awaited where they are due.
    pub(crate) fn acks(&self, by: CpuSet) -> Acks {
        Acks { by, others: self.0.len() - 1 }
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
    const STOP: u64 = 7;
    const BATCH: u64 = 8;

    // Relaxed in both: the mailboxes publish the words; the slot is not written again before all acks (Release) are in
    // (Acquire, in `claim`).
    fn write(&self, call: Call) {
        let words = match call {
            Call::Sync(mm) => [Self::SYNC, mm.word(), 0, 0, 0],
            Call::Debt { mm, sharers } => [Self::DEBT, mm.word(), sharers.word(), 0, 0],
            Call::Batch => [Self::BATCH, 0, 0, 0, 0],
            Call::Kernel => [Self::KERNEL, 0, 0, 0, 0],
            Call::Everyone => [Self::EVERYONE, 0, 0, 0, 0],
            Call::Stop => [Self::STOP, 0, 0, 0, 0],
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
            Self::BATCH => return Call::Batch,
            Self::KERNEL => return Call::Kernel,
            Self::EVERYONE => return Call::Everyone,
            Self::STOP => return Call::Stop,
            Self::FLUSH => Range::All,
            Self::FLUSH_SMALL => pages(FrameSize::Small),
            _ => pages(FrameSize::Huge),
        };
        Call::Flush(FlushCall { mm, range, tlb_gen: word(2) })
    }
}
