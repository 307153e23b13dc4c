//! Per-mm tracking of pending GUP-fast synchronisation.
//!
//! # The rule
//!
//! A GUP-fast walker reads page tables without a lock, interrupts off. Whoever unlinks a page table must know, before
//! the table is reused, that no walker that could have seen it is still inside its walk.
//!
//! 1. Unlinking tables *sets*: a [`Ticket`] is taken, after the entries are cleared and a full fence (F1).
//! 2. A real interrupt that reaches all CPUs of the mm *clears*: every ticket taken before the round looked for its
//!    targets is covered once all have acknowledged from their maskable handlers, whoever sent it, for whatever reason.
//!    INVLPGB, hypercalls and NMIs clear nothing: they do not wait for a walker's `sti`.
//! 3. Tables come out of their ticket, for reuse, only when it is covered. If it is not, the CPUs of the mm are
//!    interrupted, and no others. If it is, the sync is skipped.
//! 4. A CPU that loads the mm enters its cpumask and says SWITCHING, then a full fence (F3), and only then walks; a CPU
//!    that comes back from lazy mode says so, then a full fence (F4). So a round that misses it has cleared the
//!    entries that it will read.
//! 5. A table that several mms share carries the debts of those who leave it ([`mm::shared`]): one mm's state cannot
//!    answer for another mm's walkers.
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
//! # Reading order
//!
//! [`pending_gup_sync`], the rule as types; [`call`], what an ack proves; [`mm::membership`], who is of the mm;
//! [`sync`] and [`flush`], the rounds that clear; [`walk`], the reader held off; [`mm::shared`], tables with several
//! owners; [`policy`], the rule and its rivals; [`rcu`], waiting without interrupts; [`ops`], what unlinks tables;
//! [`proof`], why it is right, and what that rests on. [`machine`] is the one
//! door to the hardware: the kernel in `arch/`, the models in `tests/` and any simulator are machines that run this
//! same code.
//!
//! [`Ticket`]: pending_gup_sync::Ticket

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod atomic;
pub mod call;
pub mod cpumask;
pub mod detect;
pub mod flush;
pub mod machine;
pub mod mm;
pub mod ops;
pub mod pending_gup_sync;
pub mod policy;
pub mod proof;
pub mod rcu;
pub mod sync;
pub mod walk;
pub mod world;
