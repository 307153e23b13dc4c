//! The serial port: log lines for people, records for the host program.

use core::fmt::{self, Write};

use gupsync_bench::report;
use log::{LevelFilter, Log, Metadata, Record};
use spin::Mutex;
use x86_64::instructions::interrupts;
use x86_64::instructions::port::Port;

use crate::cpu_id;

const COM1: u16 = 0x3f8;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
const ALL_SENT: u8 = 1 << 6;

struct Com1;

impl Com1 {
    fn status() -> u8 {
        // SAFETY: reading the line status register has no effect that matters here.
        unsafe { Port::<u8>::new(COM1 + 5).read() }
    }

    fn send(byte: u8) {
        while Self::status() & TRANSMITTER_EMPTY == 0 {
            core::hint::spin_loop();
        }
        // SAFETY: the data register of the serial port; no other code drives it.
        unsafe { Port::<u8>::new(COM1).write(byte) };
    }
}

impl Write for Com1 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                Self::send(b'\r');
            }
            Self::send(byte);
        }
        Ok(())
    }
}

static PORT: Mutex<Com1> = Mutex::new(Com1);

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        line(format_args!("[CPU {}] {}: {}", cpu_id::get_or_boot().0, record.level(), record.args()));
    }

    fn flush(&self) {}
}

/// Sets the port up for 115200 baud, 8N1, and takes over the `log` macros.
pub fn init() {
    // Interrupts off; divisor latch; divisor 1; 8N1; FIFOs on and cleared; DTR and RTS.
    for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 3)] {
        // SAFETY: the documented way to set up a 16550, which no other code uses.
        unsafe { Port::<u8>::new(COM1 + register).write(value) };
    }
    log::set_logger(&Logger).expect("the first logger");
    log::set_max_level(LevelFilter::Info);
}

/// Writes one line whole.
pub fn line(text: fmt::Arguments<'_>) {
    interrupts::without_interrupts(|| {
        let _ = writeln!(PORT.lock(), "{text}");
    });
}

/// Text without its line ends: what the host takes for one line is one.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.split('\n').enumerate().try_for_each(|(index, part)| {
            if index > 0 {
                self.0.write_char(' ')?;
            }
            self.0.write_str(part)
        })
    }
}

/// Writes the line that the host will take as the reason of the end, even if this CPU was interrupted in a line. A panic's
/// message, which begins on a second line, is part of it.
pub fn emergency(text: fmt::Arguments<'_>) {
    interrupts::disable();
    for _ in 0..1_000_000 {
        if let Some(mut port) = PORT.try_lock() {
            return fatal(&mut port, text);
        }
        core::hint::spin_loop();
    }
    // The CPU that holds the lock will not release it: it is this one, interrupted in a line, or it is stuck.
    fatal(&mut Com1, text);
}

fn fatal(port: &mut Com1, text: fmt::Arguments<'_>) {
    let _ = write!(port, "\n{}", report::FATAL);
    let _ = write!(OneLine(&mut *port), "{text}");
    let _ = writeln!(port);
}

/// Waits until all is sent.
pub fn drain() {
    while Com1::status() & ALL_SENT == 0 {
        core::hint::spin_loop();
    }
}
