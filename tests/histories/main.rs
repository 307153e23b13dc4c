//! Long random histories of the shipped library, one step at a time, against a reference that a person can check.
//!
//! The models explore what may happen at once, in a few steps. Here nothing happens at once, but rounds are left under way
//! while others begin and end, and histories are long: tickets, rounds, membership and interrupts of several mms and CPUs;
//! flushes of ranges, and what TLBs hold after them; and the life of a shared table. What differs is shrunk to the shortest history that still does.

#![cfg(not(any(loom, tso)))]

mod machine;
mod mms;
mod range_steps;
mod ranges;
mod reference;
mod shared_table;
mod tlb;
