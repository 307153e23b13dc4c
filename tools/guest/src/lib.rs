//! What the host and the program that runs on Linux say to each other: [`Experiment`]s go in, a [`Report`] of each comes out; [`Selftests`]
//! are run; and [`oracle`]'s marks, at which a debugger stops it.

#![forbid(unsafe_code)]

pub mod oracle;
mod plan;
mod report;
mod selftest;

pub use plan::{Experiment, FILE, Operation, Sibling};
pub use report::{Calls, Counted, Report, Said};
pub use selftest::{PROGRAMS, Run, SELFTESTS, Selftests, Tap, is_complaint, is_warning};
