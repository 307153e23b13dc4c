//! Pages of the firmware, typed as loader data.

use core::ptr::NonNull;
use uefi::boot::{self, AllocateType};
use uefi::mem::memory_map::MemoryType;

/// Allocates `count` pages; `None` if there are not so many.
pub fn allocate(count: usize) -> Option<NonNull<u8>> {
    boot::allocate_pages(AllocateType::AnyPages, MemoryType::LOADER_DATA, count).ok()
}

/// Gives `count` pages back.
///
/// # Safety
///
/// They were allocated together, and are not used any more.
pub unsafe fn free(start: NonNull<u8>, count: usize) {
    // SAFETY: As above. A failure could only leak them.
    let _ = unsafe { boot::free_pages(start, count) };
}
