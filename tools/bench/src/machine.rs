//! What the bench needs of a machine beyond what the protocol does: to use translations, to wait, to wake, to count.

use crate::choice::MachineName;
use crate::kept::Kept;
use gupsync::event::Event;
use gupsync::machine::Machine;
use gupsync::types::{CpuId, MmId, VirtAddr};

/// A machine on which a walker can be held.
pub trait Spin: Machine {
    /// Waits, interrupts off, until `until` holds. Pauses between looks.
    fn spin(&self, until: impl FnMut() -> bool);
}

/// A machine on which the bench runs.
pub trait Bench: Spin {
    /// What rows call it.
    const NAME: MachineName;

    /// Waits like [`Machine::wait`], but halted: looks again only after an interrupt.
    fn park(&self, cpu: CpuId, until: impl FnMut() -> bool);

    /// Runs code that nothing but an interrupt disturbs, until `until` holds; `look` is what it does, as often as the machine
    /// has it look. How long it was away at the longest, in the unit of [`Bench::clock`].
    fn run_undisturbed(&self, cpu: CpuId, look: impl FnMut(), until: impl FnMut() -> bool) -> u64;

    /// Wakes all of `sleepers`, on behalf of `mm`, and counts it. A wake-up is not acknowledged.
    fn wake(&self, from: CpuId, sleepers: impl Iterator<Item = CpuId> + Clone, mm: MmId);

    /// The task on this CPU goes on on the CPUs of `route` in turn, each time that it may be preempted from now on:
    /// once they [park](Bench::park).
    fn let_migrate(&self, own: CpuId, route: [Option<CpuId>; 2]);

    /// Sends this CPU an NMI. Its handler calls [`Run::on_nmi`](crate::Run::on_nmi).
    fn send_nmi(&self, own: CpuId);

    /// Reads through the MMU, by the mm that is loaded; `None` where nothing is mapped. Remembered by [`Bench::kept`].
    fn touch(&self, cpu: CpuId, va: VirtAddr) -> Option<u64>;

    /// The translations that CPUs have touched, and that their TLBs may still hold for all that they were told.
    fn kept(&self) -> &Kept;

    /// Where one page of the kernel's range is mapped that may be changed. [`Bench::touch`] reads there too, whatever
    /// is loaded.
    const KERNEL_WINDOW: VirtAddr;

    /// Maps another page there, which holds `value`. Flushes nothing.
    fn map_kernel_window(&self, value: u64);

    /// What is mapped there now, whatever TLBs hold.
    fn kernel_window(&self) -> u64;

    /// Writes a word through the MMU, the one that is there already; says whether the mapping let it.
    fn write(&self, va: VirtAddr, value: u64) -> bool;

    /// How often `event` was recorded for `mm` since the last [`Bench::forget_counts`], on all CPUs together.
    fn counted(&self, mm: MmId, event: Event) -> u64;

    /// The same, on one CPU.
    fn counted_on(&self, cpu: CpuId, mm: MmId, event: Event) -> u64;

    /// Starts counting anew.
    fn forget_counts(&self);

    /// What happens from now on is not read: the counts are.
    fn end_counts(&self);

    /// Cycles, or instructions where the machine counts those; modelled nanoseconds where time is.
    fn clock(&self) -> u64;
}
