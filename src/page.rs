//! Page descriptors: reference counts, and what a detector wants to know of a table.

use crate::atomic::{AtomicU64, Figure, Ordering};

/// The descriptor of a frame.
///
/// A page is mapped with one reference. GUP-fast takes another, if there is one left to hold on to.
pub struct Page {
    references: AtomicU64,
    /// For a page table: the ticket it was unlinked with, for what a detector says.
    unlinked_with: Figure,
    /// For a page table: how often it was taken out, was its unlinker's alone, and was put back.
    isolations: Figure,
}

impl Page {
    /// A free frame.
    pub fn free() -> Self {
        Page { references: AtomicU64::new(0), unlinked_with: Figure::new(0), isolations: Figure::new(0) }
    }

    /// Starts the life of a page, with the one reference of its mapping.
    pub fn map(&self) {
        // Release: pairs with the Acquire in `try_get`. A walker that still holds an old entry and pins the
        // page for its new owner sees, on its re-check, that the entry is gone.
        self.references.store(1, Ordering::Release);
    }

    /// Takes a reference unless the page is free.
    pub fn try_get(&self) -> bool {
        // Acquire: pairs with the Release in `map`. Relaxed on failure: nothing was pinned.
        self.references
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |count| (count != 0).then_some(count + 1))
            .is_ok()
    }

    /// Drops a reference; says whether it was the last.
    pub fn put(&self) -> bool {
        // Release: pairs with the Acquire in `is_pinned`, and here; what the pin was used for comes before.
        // Acquire: pairs with the Release here; the last holder frees the page after all that the others did with it.
        self.references.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether there is a reference besides that of the mapping.
    pub fn is_pinned(&self) -> bool {
        // Acquire: pairs with the Release in `put`; the copy comes after all that was done through a pin.
        self.references.load(Ordering::Acquire) != 1
    }

    /// Notes that a table was taken out to be put back, and that no walker is inside: one that is has not been waited for.
    pub fn count_isolation(&self) {
        // Relaxed: a figure.
        self.isolations.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub fn isolations(&self) -> u64 {
        // Relaxed: a figure.
        self.isolations.load(Ordering::Relaxed)
    }

    /// Notes the ticket a table was unlinked with.
    pub fn set_unlinked_with(&self, ticket: u64) {
        // Relaxed: a figure.
        self.unlinked_with.store(ticket, Ordering::Relaxed);
    }

    /// The ticket a table was last unlinked with.
    pub fn unlinked_with(&self) -> u64 {
        // Relaxed: a figure.
        self.unlinked_with.load(Ordering::Relaxed)
    }
}
