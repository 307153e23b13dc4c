//! What the host and the program that runs on Linux say to each other: [`Experiment`]s go in, a [`Report`] of each comes out.

#![forbid(unsafe_code)]

mod plan;
mod report;

pub use plan::{Experiment, FILE, Operation, Sibling};
pub use report::{Calls, Counted, Report, Said};
