//! What is run and measured: roles, workloads, counters, verdicts. Every machine runs the same scenarios.
//!
//! A [`Spec`] says what to run; a [`Run`] is one policy at it, on a world of its own; [`Row`]s are what came out. What
//! can be set is a line each in [`settings`], what is counted a line each in [`counts`]. [`cast`] gives every CPU its
//! role; a team works on one mm, keeps step by turns, and holds walkers inside their walks ([`hold`]). What the bench
//! needs of a machine beyond what the protocol does is [`machine::Bench`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cast;
pub mod check;
pub mod choice;
pub mod cost;
pub mod counters;
pub mod counts;
pub mod draw;
mod entry;
mod errand;
mod exact;
mod guests;
pub mod hold;
mod hotplug;
mod isolated;
mod judge;
pub mod kept;
mod layout;
pub mod machine;
mod mutation;
mod mutator;
mod phases;
mod ranges;
mod rare;
mod reclaim;
pub mod record;
pub mod report;
pub mod row;
mod run;
mod sample;
mod samples;
pub mod settings;
mod sharing;
pub mod spec;
mod team;
mod turns;
pub mod text;
pub mod value;
mod visit;
mod window;
mod worker;

pub use row::Row;
pub use run::Run;
pub use spec::Spec;
