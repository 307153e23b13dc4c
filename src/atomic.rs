//! The atomics shim: every shared word of the protocol is one of these, so that a model checker sees them all.
//!
//! This is the only file of `src/` that knows how it is being built. Shared state is `AtomicU64` throughout:
//! one width, one set of operations, nothing for a checker to miss.

#[cfg(not(any(loom, tso)))]
pub use core::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(loom)]
pub use gupsync_checker::loom::{AtomicU64, Ordering, fence};

#[cfg(tso)]
pub use gupsync_checker::tso::{AtomicU64, Ordering, fence};

/// A handler on this CPU sees what stands before it in the program before what stands after it (Linux: `barrier()`). It
/// binds the compiler alone: a CPU takes an interrupt between two instructions.
pub fn barrier() {
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
}

/// A word that one CPU alone uses, in handlers that come to it at any time too. loom has no such handlers.
#[cfg(not(tso))]
pub use core::sync::atomic::AtomicU64 as Own;

/// The same, explored as what a handler may come to between two instructions.
#[cfg(tso)]
pub use gupsync_checker::tso::AtomicU64 as Own;

/// A word that orders nothing and decides nothing: counts, figures, notes. Checkers need not explore it.
#[cfg(not(tso))]
pub use core::sync::atomic::AtomicU64 as Figure;

/// The same, put back before every execution.
#[cfg(tso)]
pub use gupsync_checker::tso::Figure;
