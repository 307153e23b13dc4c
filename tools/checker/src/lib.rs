//! What stands in for the atomics of `gupsync` when it is checked.
//!
//! The library is compiled as it is; its shim (`src/atomic.rs`) takes one of these for the real ones:
//!
//! - [`loom`], with `--cfg loom`: every execution that the C++20 memory model allows, up to a bound on preemptions;
//! - [`tso`], with `--cfg tso`: every execution that x86 allows, store buffers and asynchronous interrupts included.
//!
//! Both can weaken one ordering, or leave out one fence, named on the command line ([`weaken`]), and both say what they
//! have explored ([`report`]).

#![forbid(unsafe_code)]

#[cfg(loom)]
pub mod loom;
pub mod report;
#[cfg(tso)]
pub mod tso;
pub mod weaken;
