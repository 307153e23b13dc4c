//! Loom's atomics, with orderings that can be weakened.

use std::panic::Location;

use loom::sync::atomic as checked;
pub use loom::sync::atomic::Ordering;

use crate::weaken::weakened;

/// A word that loom sees.
#[derive(Debug)]
pub struct AtomicU64(checked::AtomicU64);

macro_rules! operations {
    ($($name:ident($($argument:ident),*) -> $result:ty;)+) => {$(
        /// As loom's.
        #[track_caller]
        pub fn $name(&self $(, $argument: u64)*, order: Ordering) -> $result {
            self.0.$name($($argument,)* weakened(Location::caller(), 0, order))
        }
    )+};
}

impl AtomicU64 {
    /// As loom's.
    #[track_caller]
    #[must_use]
    pub fn new(value: u64) -> Self {
        AtomicU64(checked::AtomicU64::new(value))
    }

    operations! {
        load() -> u64;
        store(value) -> ();
        swap(value) -> u64;
        fetch_add(value) -> u64;
        fetch_sub(value) -> u64;
        fetch_or(value) -> u64;
        fetch_and(value) -> u64;
        fetch_max(value) -> u64;
    }

    /// As loom's.
    ///
    /// # Errors
    ///
    /// What it holds, if that is not `current`.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let site = Location::caller();
        self.0.compare_exchange(current, new, weakened(site, 0, success), weakened(site, 1, failure))
    }

    /// As loom's.
    ///
    /// # Errors
    ///
    /// What it holds, if `update` refused that.
    #[track_caller]
    pub fn fetch_update(
        &self,
        set: Ordering,
        fetch: Ordering,
        update: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        let site = Location::caller();
        self.0.fetch_update(weakened(site, 0, set), weakened(site, 1, fetch), update)
    }
}

/// As loom's; none at all if it is weakened to Relaxed.
#[track_caller]
pub fn fence(order: Ordering) {
    match weakened(Location::caller(), 0, order) {
        Ordering::Relaxed => {}
        order => checked::fence(order),
    }
}
