//! Per-mm tracking of pending GUP-fast synchronisation.
//!
//! # The rule
//!
//! A GUP-fast walker reads page tables without a lock, interrupts off. An unlinker of page tables must know, before
//! a table is reused, that no walker that could have seen it is still inside its walk.
//!
//! 1. Unlinking tables *sets*: a [`Ticket`] is taken, after the entries are cleared and a full fence (F1).
//! 2. A real interrupt that reaches all possible walkers of the mm *clears*: every ticket taken before the round looked
//!    for its targets is covered once all have acknowledged, with no walk below, from any sender, for any reason.
//!    INVLPGB, hypercalls and NMIs clear nothing: they do not wait for a walker's `sti`.
//! 3. Tables come out of their ticket, for reuse, only when it is covered. If it is not, the possible walkers of the mm
//!    are interrupted, and no others. If it is, the sync is skipped.
//! 4. A CPU that loads the mm enters its cpumask and says SWITCHING, then a full fence (F3), and only then walks; a CPU
//!    that comes back from lazy mode says so, then a full fence (F4). So a round that misses it has cleared the
//!    entries that it will read.
//! 5. A table that several mms share carries the debts of those that leave it ([`mm::shared_table`]): one mm's state
//!    cannot answer for another mm's walkers.
//!
//! ```text
//!                 unlink: clears, F1, ticket
//!        +---------+ ------------------------------> +---------+
//!        | nothing |                                 | pending | --+ unlink
//!        | pending | <------------------------------ |         | <-+
//!        +---------+  a round that began after the   +---------+
//!                     last ticket was acked by all
//! ```
//!
//! # Floors
//!
//! A file uses only what lies below it. The modules stand here lowest first, and so do those of a folder in its
//! `mod.rs`, which lies above them; `tests/structure` fails on an arrow that points up. To read from the idea down,
//! begin with [`walkthrough`], which follows one ticket through the code, and [`proof`], which says why it is right.
//! Whom a sync interrupts is decided in one place, [`sync_round::possible_walkers`].
//!
//! [`machine`] is the one door to the hardware: the kernel in `arch/`, the models in `tests/` and any simulator are
//! machines that run this same code.
//!
//! [`Ticket`]: pending_gup_sync::Ticket

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

// The words of the field, and what is shared of them.
pub mod atomic;
pub mod types;

pub mod config;
pub mod cpumask;
pub mod event;

// What is measured and found, what one CPU says of itself, what a machine is.
pub mod detect;
pub mod stats;

pub(crate) mod local_asids;
pub(crate) mod online;

pub(crate) mod cpu_state;
pub mod page;

pub mod machine;

// Requests and acks; the rule as types; the data of an address space; all of it together.
pub mod smp_call;

pub mod pending_gup_sync;

pub mod mm;

pub mod world;

// Being of an mm or not; rounds; flushes; coming and going.
pub mod rcu;
pub mod switch_mm;

pub mod sync_round;

pub mod flush;

pub mod hotplug;

// What is compared, held off, and done.
pub mod policy;

pub mod gup_fast;
pub mod nmi_walk;

pub mod ops;

pub mod proof;
pub mod walkthrough;
