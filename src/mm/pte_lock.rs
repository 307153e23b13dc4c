//! The lock of an mm's page entries (Linux: the PTE lock; here one for the whole mm, as `mm->page_table_lock` is without
//! split PTE locks).
//!
//! # Guarantee
//!
//! What changes the page entries of an mm without owning their range, as reclaim does, and what skips entries that it finds
//! cleared, exclude each other: with an entry that is found cleared comes the knowledge which flush is due for it.

use crate::atomic::{AtomicU64, Ordering};

/// The lock. Taken by [`Cpu::with_pte_lock`](crate::world::Cpu::with_pte_lock).
pub(crate) struct PteLock(AtomicU64);

impl PteLock {
    pub(crate) fn new() -> Self {
        PteLock(AtomicU64::new(0))
    }

    /// Takes it, if it is free.
    pub(crate) fn try_lock(&self) -> bool {
        // Acquire: pairs with the Release in `unlock`; what was changed under the lock before is seen.
        // Relaxed on failure: it is tried again.
        self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn unlock(&self) {
        // Release: pairs with the Acquire in `try_lock`.
        self.0.store(0, Ordering::Release);
    }
}
