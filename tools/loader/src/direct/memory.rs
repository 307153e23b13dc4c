//! Memory of a machine on which this loader is alone: pages are taken one after the other, and never come back.

use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, Ordering};
use gupsync_loader::PAGE;

/// What is left. Relaxed, all: there is one CPU.
static NEXT: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);

/// Gives out `room` from now on.
///
/// # Safety
///
/// It is memory, whole pages of it, mapped one to one, and nothing uses it.
pub unsafe fn give(room: &Range<u64>) {
    NEXT.store(room.start, Ordering::Relaxed);
    END.store(room.end, Ordering::Relaxed);
}

/// Allocates `count` pages; `None` if there are not so many.
pub fn allocate(count: usize) -> Option<NonNull<u8>> {
    let start = NEXT.load(Ordering::Relaxed);
    let end = (count as u64).checked_mul(PAGE)?.checked_add(start)?;
    if end > END.load(Ordering::Relaxed) {
        return None;
    }
    NEXT.store(end, Ordering::Relaxed);
    NonNull::new(ptr::with_exposed_provenance_mut(start as usize))
}

/// Where the next page is taken.
pub fn next() -> u64 {
    NEXT.load(Ordering::Relaxed)
}

/// Leaves `count` pages as they are: a loader that fails has no use for them.
///
/// # Safety
///
/// None is needed here; the other loader's has a contract.
pub unsafe fn free(_start: NonNull<u8>, _count: usize) {}
