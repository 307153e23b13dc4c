//! The serial port, which needs no set-up where QEMU emulates it.

use core::fmt::{self, Write};
use x86_64::instructions::port::PortWriteOnly;

const COM1: u16 = 0x3f8;

/// The first serial port.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: The port is the UART's data register, or nothing's; no other code uses it.
            unsafe { PortWriteOnly::new(COM1).write(byte) };
        }
        Ok(())
    }
}
