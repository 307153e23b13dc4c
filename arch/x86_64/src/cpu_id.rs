//! Which CPU this is.

use core::arch::asm;

use gupsync::types::CpuId;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

/// What GS points to.
#[repr(C)]
pub struct PerCpu {
    id: usize,
}

impl PerCpu {
    /// Of the CPU of that number.
    pub fn new(id: CpuId) -> Self {
        PerCpu { id: id.0 }
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

/// The same for messages, which may come before [`set`].
pub fn get_or_boot() -> CpuId {
    if GsBase::read().is_null() { CpuId(0) } else { get() }
}
