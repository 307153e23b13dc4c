//! The one door to the hardware.
//!
//! The kernel, the models and the simulator are three [`Machine`]s that run this same library. Nothing else in
//! `src/` reaches the world, and every counter and trace point passes here, once ([`Machine::note`],
//! [`Machine::send`]).

use crate::atomic::AtomicU64;
use crate::cpumask::CpuId;
use crate::mm::tables::{HUGE_SIZE, PAGE_SIZE};
use crate::mm::{Asid, Frame, MmId, Page, VirtAddr};

/// Why a CPU is interrupted. Each cause has a vector of its own, so that QEMU's trace can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// To flush its TLB.
    Flush,
    /// To prove that it is in no walk.
    Sync,
    /// For a reason that has nothing to do with an mm: a kernel-range flush, a call of every CPU.
    Other,
    /// To wake it up. A scenario's own business: its handler acknowledges nothing.
    Kick,
}

/// What happened, for counters and for traces. One name for both, counted per mm and per CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Event {
    /// A flush IPI was sent (the ICR was written).
    FlushIpi,
    /// A sync IPI was sent.
    SyncIpi,
    /// An IPI was sent for another reason.
    OtherIpi,
    /// A wake-up was sent.
    Kick,
    /// A flush, sync or other interrupt was taken; one may serve several requests.
    InterruptTaken,
    /// A wake-up was taken.
    KickTaken,
    /// An NMI was taken.
    NmiTaken,
    /// A flush request was carried out and acknowledged.
    FlushAcked,
    /// A sync request was acknowledged.
    SyncAcked,
    /// Another request was carried out and acknowledged.
    OtherAcked,
    /// A request was carried out for an mm by a CPU that has another one loaded.
    ForeignInterrupt,
    /// A CPU that had the mm loaded has loaded another one; its bit stays in the cpumask.
    Departed,
    /// A CPU left the cpumask.
    Left,
    /// A policy was asked for tables.
    SyncAsked,
    /// A sync was asked for and needed no interrupt.
    SyncSkipped,
    /// A sync was asked for and went on to interrupt.
    SyncSent,
    /// A ticket was taken.
    Set,
    /// Tickets covered by the flush that belongs to them.
    ClearedByOwnFlush,
    /// Tickets covered by a sync.
    ClearedBySync,
    /// Tickets covered by somebody else's flush.
    ClearedByOtherFlush,
    /// Tickets covered by an interrupt that was neither.
    ClearedByOtherIpi,
    /// An INVLPGB was executed.
    Invlpgb,
    /// A TLBSYNC was executed.
    Tlbsync,
    /// An NMI stood in for the broadcast of one INVLPGB to one CPU.
    EmulationNmi,
    /// A flush was left to the hypervisor, because the vCPU was preempted.
    Hypercall,
    /// CPUs inside a walk that could see the table, when its sync was due.
    WalkingAtSync,
    /// Those of them whose walk began before the table was unlinked.
    AtRisk,
    /// A table was unlinked with a walker held inside its walk.
    HeldAtUnlink,
    /// A walk began.
    WalkBegin,
    /// A walk ended.
    WalkEnd,
}

impl Event {
    /// How many there are: the size of a row of counters.
    pub const COUNT: usize = Event::WalkEnd as usize + 1;
}

/// What a detector can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// A walker read a page table that had been taken out of use, or into other use, under its feet.
    InsideReusedTable,
    /// A walker holds a page that collapse has copied away.
    PinnedAfterCopy,
    /// An access used a translation after its flush had completed.
    StaleTranslation,
}

/// A finding: who, where and which ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub kind: Caught,
    /// By which CPU.
    pub cpu: CpuId,
    /// Of which mm.
    pub mm: MmId,
    /// At which address.
    pub va: VirtAddr,
    /// In which table; for a page, which page.
    pub table: Frame,
    /// The ticket with which the table was unlinked; 0 if it was not.
    pub ticket: u64,
}

/// A part of an address space whose translations are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All of it.
    All,
    /// `pages` pages from `start`.
    Pages {
        /// First address.
        start: VirtAddr,
        /// How many pages.
        pages: u64,
        /// How large they are.
        size: FrameSize,
    },
}

impl Range {
    /// `pages` pages of 4 KiB from `start`.
    pub fn small(start: VirtAddr, pages: u64) -> Self {
        Range::Pages { start, pages, size: FrameSize::Small }
    }
}

/// One INVLPGB instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invlpgb {
    /// Part or all of one address space.
    Of {
        /// Which.
        asid: Asid,
        /// What of it.
        range: Range,
    },
    /// Everything, the kernel's translations too.
    Everything,
}

/// How much memory an allocation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSize {
    /// 4 KiB.
    Small,
    /// 2 MiB, aligned.
    Huge,
}

impl FrameSize {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        match self {
            FrameSize::Small => PAGE_SIZE,
            FrameSize::Huge => HUGE_SIZE,
        }
    }
}

/// A machine that runs mms: CPUs, interrupts, TLBs and memory.
///
/// Every method that takes a [`CpuId`] is called on that CPU.
pub trait Machine: Sync {
    /// How many CPUs are online. Does not change.
    fn cpus(&self) -> usize;

    /// Runs `body` with maskable interrupts off. Nests.
    fn irqs_off<R>(&self, body: impl FnOnce() -> R) -> R;

    /// Interrupts are on here. A machine that has no asynchronous interrupts calls `deliver` now.
    fn window(&self, cpu: CpuId, deliver: impl FnMut());

    /// Waits, interrupts on, until `until` holds. Pauses between looks, delivers as in [`Machine::window`].
    fn wait(&self, cpu: CpuId, deliver: impl FnMut(), until: impl FnMut() -> bool);

    /// One turn of a wait loop with interrupts off.
    fn pause(&self);

    /// Waits like [`Machine::wait`], but halted: looks again only after an interrupt.
    fn park(&self, cpu: CpuId, deliver: impl FnMut(), until: impl FnMut() -> bool);

    /// Interrupts `to` for `cause`, on behalf of `mm`, and counts it where it is sent.
    ///
    /// Everything this CPU wrote before is visible to the handler.
    fn send(&self, from: CpuId, to: CpuId, cause: Cause, mm: MmId);

    /// Wakes all of `sleepers`, for a scenario's sake: nobody acknowledges it.
    fn wake(&self, from: CpuId, sleepers: impl Iterator<Item = CpuId> + Clone, mm: MmId) {
        sleepers.for_each(|sleeper| self.send(from, sleeper, Cause::Kick, mm));
    }

    /// Counts that `cpu` has carried out a request of `sender`'s for `mm` and acknowledged it.
    fn acked(&self, cpu: CpuId, sender: CpuId, cause: Cause, mm: MmId);

    /// Loads a page-table root under `asid`. If that is the local one, it is empty of translations; what this CPU has
    /// cached under a global one may stay, since INVLPGB keeps it up to date.
    fn load_root(&self, cpu: CpuId, root: Frame, asid: Asid);

    /// Flushes this CPU's translations of the loaded mm.
    fn flush_local(&self, cpu: CpuId, range: Range);

    /// Executes INVLPGB: starts invalidating on all CPUs, interrupting none. Complete only after
    /// [`Machine::tlbsync`] on the same CPU.
    fn invlpgb(&self, cpu: CpuId, what: Invlpgb);

    /// Executes TLBSYNC: waits for this CPU's INVLPGBs.
    fn tlbsync(&self, cpu: CpuId);

    /// The most pages that one INVLPGB takes.
    fn invlpgb_max(&self) -> u64;

    /// The root that maps the kernel only.
    fn kernel_root(&self) -> Frame;

    /// The words of a 4 KiB frame: entries if it is a page table, contents if it is a page.
    fn words(&self, frame: Frame) -> &[AtomicU64];

    /// The descriptor of a frame.
    fn page(&self, frame: Frame) -> &Page;

    /// Allocates memory, its contents undefined.
    fn alloc(&self, size: FrameSize) -> Option<Frame>;

    /// Gives memory back.
    fn free(&self, frame: Frame, size: FrameSize);

    /// Copies one 4 KiB frame.
    fn copy(&self, from: Frame, to: Frame);

    /// Reads through the MMU, by the mm that is loaded; `None` where nothing is mapped.
    fn touch(&self, va: VirtAddr) -> Option<u64>;

    /// Writes a word through the MMU, the one that is there already; says whether the mapping let it.
    fn write(&self, va: VirtAddr, value: u64) -> bool;

    /// Records `n` times `event` for `mm` on `cpu`.
    fn note(&self, cpu: CpuId, mm: MmId, event: Event, n: u64);

    /// How often `event` was recorded for `mm` since the last [`Machine::forget_counts`], on all CPUs together.
    fn counted(&self, mm: MmId, event: Event) -> u64;

    /// The same, on one CPU.
    fn counted_on(&self, cpu: CpuId, mm: MmId, event: Event) -> u64;

    /// Starts counting anew.
    fn forget_counts(&self);

    /// A detector has found something. Whether the machine goes on is its own affair.
    fn caught(&self, violation: &Violation);

    /// Cycles, or instructions where the machine counts those.
    fn clock(&self) -> u64;
}
