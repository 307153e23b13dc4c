//! Which CPU this is, and how many maskable interrupts it has taken.

use core::arch::asm;
use core::sync::atomic::AtomicU64;

use gupsync::types::CpuId;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

/// What GS points to.
#[repr(C)]
pub struct PerCpu {
    id: usize,
    /// Atomic, because an interrupt handler adds to it while the interrupted code reads it.
    interrupts: AtomicU64,
}

impl PerCpu {
    /// Of the CPU of that number.
    pub fn new(id: CpuId) -> Self {
        PerCpu { id: id.0, interrupts: AtomicU64::new(0) }
    }
}

/// Says which CPU this is, from now on.
pub fn set(own: &'static PerCpu) {
    GsBase::write(VirtAddr::from_ptr(own));
}

/// The number of this CPU. [`set`] comes before anything that asks.
pub fn get() -> CpuId {
    let id: usize;
    // SAFETY: GS points to this CPU's `PerCpu` from `set` on, which comes before anything that asks.
    unsafe { asm!("mov {}, gs:[0]", out(reg) id, options(nostack, preserves_flags, readonly)) };
    CpuId(id)
}

/// Counts a maskable interrupt, in its handler.
pub fn count_interrupt() {
    // SAFETY: GS points to this CPU's `PerCpu`, and the word is atomic: no other CPU touches it, and one instruction cannot be
    // interrupted half-way.
    unsafe { asm!("inc qword ptr gs:[8]", options(nostack)) };
}

/// How many were counted.
pub fn interrupts_taken() -> u64 {
    let count: u64;
    // SAFETY: as in `count_interrupt`.
    unsafe { asm!("mov {}, gs:[8]", out(reg) count, options(nostack, preserves_flags)) };
    count
}

/// The number of this CPU, for messages, which may come before [`set`].
pub fn get_or_boot() -> CpuId {
    if GsBase::read().is_null() { CpuId(0) } else { get() }
}
