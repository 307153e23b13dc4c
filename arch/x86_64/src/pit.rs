//! Clocks: that of a CPU, and channel 2 of the interval timer, which every PC has, to wait by. It interrupts no CPU: its output is
//! looked at.

use gupsync_pc::pit;
use x86_64::instructions::port::Port;

/// Bit 0 opens the channel's gate, bit 1 lets the speaker hear it, bit 5 is its output.
const CONTROL: u16 = 0x61;
const GATE: u8 = 1 << 0;
const SPEAKER: u8 = 1 << 1;
const OUTPUT: u8 = 1 << 5;

const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
/// Channel 2, low byte before high byte, mode 0: the output is low until the counts are over.
const COUNT_ONCE: u8 = 0b1011_0000;

/// More looks than any time asks for, each of about a microsecond.
const LOOKS: u64 = 10_000_000;

/// What the clock of this CPU says: in ticks, of which it does not say how long they are.
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 CPU has the time-stamp counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Waits at least so many microseconds. On one CPU at a time.
///
/// # Panics
///
/// If the timer does not count, or cannot count so far.
pub fn wait(microseconds: u32) {
    let [low, high] = pit::counts(microseconds).to_le_bytes();
    let control = read();
    write(CONTROL, control & !SPEAKER | GATE);
    write(COMMAND, COUNT_ONCE);
    write(CHANNEL_2, low);
    write(CHANNEL_2, high);
    let is_over = (0..LOOKS).any(|_| {
        core::hint::spin_loop();
        read() & OUTPUT != 0
    });
    write(CONTROL, control);
    assert!(is_over, "the interval timer does not count; enable the 8254 in the firmware's settings");
}

fn read() -> u8 {
    // SAFETY: reading the timer's control port has no effect.
    unsafe { Port::<u8>::new(CONTROL).read() }
}

fn write(port: u16, value: u8) {
    // SAFETY: the ports of channel 2 of the timer, which nothing else uses; channel 0, which interrupts, is left alone.
    unsafe { Port::<u8>::new(port).write(value) };
}
