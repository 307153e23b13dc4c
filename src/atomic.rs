//! The atomics shim: every shared word of the protocol is one of these, so that a model checker sees them all.
//!
//! This is the only file of `src/` that knows how it is being built. Shared state is `AtomicU64` throughout:
//! one width, one set of operations, nothing for a checker to miss.

/// A word that orders nothing and decides nothing: counts, figures, notes for reports. Checkers need not explore it.
pub use core::sync::atomic::AtomicU64 as Figure;

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU64, Ordering, fence};
