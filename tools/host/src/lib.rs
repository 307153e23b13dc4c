//! The host's side of gupsync: from a command line to a table of rows.
//!
//! [`artifacts`] builds the kernel, [`image`] puts it on an ISO with a bootloader, [`qemu`] runs that, [`boot`]
//! reads the rows from the serial port, [`compare`] does it for every setting, and [`table`], [`document`] and [`verdict`]
//! say what came out; [`once`] only shows it, [`keep`] leaves it there, [`diff`] compares two documents, and [`report`] shows
//! them on a page, with the simulator in it as a [`module`]. [`scale`] does it on
//! simulated machines of many sizes. [`stress`] does it for scenarios drawn at random, until one fails. [`prove`] runs the model
//! checkers on the library, and on every one of [`mutants`], which are [`patches`] for a copy of the tree. [`cost`] counts its
//! instructions. [`linux`] does the same operations on a real Linux. [`doctor`] says what is [`there`] and what is missing, [`completions`] and
//! [`man`] serve shells.

#![forbid(unsafe_code)]
// They panic where the reader has left: see `say`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod args;
pub mod artifacts;
pub mod boot;
pub mod child;
pub mod compare;
pub mod completions;
pub mod cost;
pub mod diff;
pub mod document;
pub mod doctor;
pub mod ears;
pub mod ending;
pub mod flat;
pub mod image;
pub mod keep;
pub mod ktap;
pub mod limine;
pub mod linux;
pub mod man;
pub mod module;
pub mod mutants;
pub mod names;
pub mod once;
pub mod patches;
pub mod progress;
pub mod prove;
pub mod qemu;
pub mod repeat;
pub mod report;
pub mod say;
pub mod scale;
pub mod schema;
pub mod sink;
pub mod stop;
pub mod stress;
pub mod suite;
pub mod table;
pub mod there;
pub mod trace;
pub mod verdict;
