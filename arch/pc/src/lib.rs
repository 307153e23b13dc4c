//! What the hardware of a PC says and expects, as bytes and numbers. The kernel carries it to and from the hardware; here
//! it is tested on the host.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod apic_mode;
pub mod madt;
pub mod pit;
