//! What is run and measured: roles, workloads, counters, detectors. Kernel and simulator run the same scenarios.
//!
//! A [`Spec`] says what to run; a [`Run`] is one policy at it, on a world of its own; [`Row`]s are what came out.
//! What can be set is a line each in [`settings`], what is counted a line each in [`counts`].
//! [`cast`] gives every CPU its role; [`team`] is how the CPUs that work on one mm keep step with each other.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cast;
pub mod choice;
pub mod counters;
pub mod counts;
pub mod draw;
mod guests;
mod isolated;
mod judge;
mod mutator;
mod plays;
mod ranges;
pub mod report;
pub mod row;
mod run;
pub mod settings;
mod sharing;
pub mod spec;
mod stage;
pub mod team;
pub mod value;
mod worker;

pub use row::Row;
pub use run::Run;
pub use spec::Spec;
