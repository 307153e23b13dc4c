//! The one door to the hardware.
//!
//! The kernel, the models and the histories are [`Machine`]s that run this same library. Nothing else in `src/`
//! reaches the world, and every count and trace point passes here, once ([`Machine::note`], [`Machine::send`]).
//!
//! A machine delivers interrupts by itself. Its handler for a flush, sync or other interrupt on a CPU calls
//! [`World::interrupt`](crate::world::World::interrupt) there, interrupts off.

use crate::atomic::AtomicU64;
use crate::cpumask::CpuSet;
use crate::detect::Violation;
use crate::event::{Cause, Event};
use crate::page::Page;
use crate::types::{Asid, Cached, CpuId, Frame, FrameSize, Invlpgb, MmId, Range};

/// A machine that runs mms: CPUs, interrupts, TLBs and memory.
///
/// Every method that takes the [`CpuId`] of a caller is called on that CPU.
pub trait Machine: Sync {
    /// Whether figures are kept ([`crate::stats`]), and walkers look for what a detector finds ([`crate::detect`]). Neither
    /// is part of the protocol: a machine on which the instructions of that are counted has none of it.
    const INSTRUMENTED: bool = true;

    /// How many CPUs there are, online or not. Does not change. Called by rounds to all CPUs, and where sets are made.
    fn cpus(&self) -> usize;

    /// Runs `body` with maskable interrupts off. Those that came meanwhile may be taken before it returns. Called by
    /// [`Cpu::irqs_off`](crate::world::Cpu::irqs_off): walks, switches, a CPU's own part of a flush.
    fn irqs_off<R>(&self, cpu: CpuId, body: impl FnOnce() -> R) -> R;

    /// Waits, interrupts on, until `until` holds. Called by a sender for its acks, by an ASID transition, by a grace
    /// period.
    fn wait(&self, cpu: CpuId, until: impl FnMut() -> bool);

    /// The task that runs on `cpu`, interrupts on, may be preempted here. Returns the CPU on which it goes on, which
    /// sees all that it has done. Called by [`Cpu::may_migrate`](crate::world::Cpu::may_migrate): a sender between its
    /// snapshot and its look, and before it waits.
    fn preempt(&self, cpu: CpuId) -> CpuId {
        cpu
    }

    /// `cpu`, which has the kernel's tables loaded, is offline from here on, interrupts off, until [`Machine::plug`].
    /// It is sent nothing meanwhile, an mm that it had loaded may come to its end, no task goes there
    /// ([`Machine::preempt`]), and no INVLPGB need reach its TLB. Called by [`crate::hotplug::go_offline`].
    fn unplug(&self, cpu: CpuId);

    /// `cpu` is to come back, interrupts on: from here on an INVLPGB reaches its TLB. Called by
    /// [`Offline::come_online`](crate::hotplug::Offline::come_online).
    fn plug(&self, cpu: CpuId);

    /// Interrupts `to` for `cause`, on behalf of `mm`, and counts it where it is sent. Called by
    /// [`crate::sync_round::issue`].
    ///
    /// Everything this CPU wrote before is visible to the handler.
    fn send(&self, from: CpuId, to: CpuId, cause: Cause, mm: MmId);

    /// Counts that `cpu` has carried out a request for `mm`, and is about to acknowledge it. Called by the handler.
    fn acked(&self, cpu: CpuId, cause: Cause, mm: MmId);

    /// Loads a page-table root under `asid`. If what this CPU has cached under that is to be [`Cached::Dropped`], none
    /// of it is used from here on. What is cached under other ASIDs may stay, whatever is loaded: it is used when that
    /// ASID is loaded again and kept. Called by [`crate::switch_mm`].
    ///
    /// No fence: what is read before need not come before what is cached under `asid` is used.
    fn load_root(&self, cpu: CpuId, root: Frame, asid: Asid, cached: Cached);

    /// Flushes this CPU's translations of what is loaded, under its ASID. Called by the handler of a flush, and by a
    /// CPU that catches up.
    fn flush_local(&self, cpu: CpuId, range: Range);

    /// Flushes all of this CPU's translations, of every ASID, the kernel's too (Linux: `__flush_tlb_all()`). Called by
    /// the handler of a flush of the kernel's range and by its sender, interrupts on, where the hypervisor carries out
    /// a flush that was left to it, and by a CPU that comes online.
    fn flush_all(&self, cpu: CpuId);

    /// Has the hypervisor flush all translations of each CPU of `to`, of every ASID, whatever it runs; `cpu` may be one of
    /// them. It does so while a target keeps interrupts off, too, and inside a walk. When this returns, no CPU of `to` uses
    /// what it had cached before. One that is offline may be passed over, if all that it did is over. Called by
    /// [`crate::flush::hypercall_all`], interrupts off.
    fn flush_by_hypercall(&self, cpu: CpuId, to: &CpuSet);

    /// Executes INVLPGB: starts invalidating on all CPUs, interrupting none. Complete only after
    /// [`Machine::tlbsync`] on the same CPU. Called by [`crate::flush::invlpgb`].
    fn invlpgb(&self, cpu: CpuId, what: Invlpgb);

    /// Executes TLBSYNC: waits for this CPU's INVLPGBs. Called likewise.
    fn tlbsync(&self, cpu: CpuId);

    /// The most pages that one INVLPGB takes. Called likewise.
    fn invlpgb_max(&self) -> u64;

    /// The root that maps the kernel only. Called where a CPU drops an mm.
    fn kernel_root(&self) -> Frame;

    /// The words of a 4 KiB frame: entries if it is a page table, contents if it is a page. Called by walks and
    /// operations.
    fn words(&self, frame: Frame) -> &[AtomicU64];

    /// The descriptor of a frame. Called by walks and operations.
    fn page(&self, frame: Frame) -> &Page;

    /// Allocates memory, its contents undefined. Called where page tables are made.
    fn alloc(&self, size: FrameSize) -> Option<Frame>;

    /// Gives memory back. A machine with detectors marks a page as free, until it is reused. Called where page tables
    /// and pages come to their end.
    fn free(&self, frame: Frame, size: FrameSize);

    /// Copies one 4 KiB frame. Called by [`crate::ops::collapse`].
    fn copy(&self, from: Frame, to: Frame);

    /// Records `n` times `event` for `mm` on `cpu`. Called everywhere.
    fn note(&self, cpu: CpuId, mm: MmId, event: Event, n: u64);

    /// A detector has found something. Whether the machine goes on is its own affair. Called by
    /// [`World::caught`](crate::world::World::caught).
    fn caught(&self, violation: &Violation);
}
