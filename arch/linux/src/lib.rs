//! What a program that measures Linux needs of it and the standard library does not offer: mappings that are given up, and
//! page-table operations on them.
//!
//! # Guarantee
//!
//! Memory is accessed only through a mapping that is there and may be accessed so: an offset beyond it, or a write to what is
//! read-only, panics. Every access is volatile, since the kernel moves, copies and drops the pages behind it.
//!
//! [`window`] keeps addresses for private memory between neighbours that stay, so that the tables above those of a range
//! outlive it; [`shared`] maps a file of hugetlbfs at an address at which other processes map it, too, so that they share its
//! PMD tables; [`held`] walks by GUP-fast where a debugger may hold the walk.

#![cfg(target_os = "linux")]

pub mod held;
mod mapping;
pub mod shared;
pub mod window;

pub use mapping::Mapping;

/// A page.
pub const PAGE: usize = 4096;
/// What a PMD entry maps, and a PTE table.
pub const HUGE: usize = 512 * PAGE;
/// What a PUD entry maps, and a PMD table.
pub const GIB: usize = 512 * HUGE;
