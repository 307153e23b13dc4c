//! Halting until an interrupt comes.
//!
//! # Guarantee
//!
//! [`until_interrupt`] returns after a maskable interrupt that came when interrupts were off before it, or later; or after an
//! NMI. It never halts on what has been taken already.
//!
//! # Mechanism
//!
//! `sti` holds interrupts off for one instruction, so that none is taken between it and `hlt` (Intel SDM, STI). An NMI may
//! be: its `iretq` returns to the `hlt` with interrupts on, and one that is pending is taken before the CPU halts, whose
//! handler has then woken nothing. So a handler that is to return to the `hlt` itself returns behind it.

use core::arch::naked_asm;

use crate::trap_frame::TrapFrame;

/// The length of `sti`, after which the `hlt` lies, and of `hlt`.
const STI: u64 = 1;
const HLT: u64 = 1;

/// Lets interrupts in, halts until one comes, and keeps them off again.
#[unsafe(naked)]
pub extern "C" fn until_interrupt() {
    naked_asm!("sti", "hlt", "cli", "ret")
}

/// A maskable interrupt has come: if it came just before the CPU halted, it is not to halt.
pub fn end(frame: &mut TrapFrame) {
    if frame.rip == until_interrupt as *const () as u64 + STI {
        frame.rip += HLT;
    }
}
