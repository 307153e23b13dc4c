//! What the loader needs to know of, and do to, the CPU and its interrupt controllers.

use super::failure::Failure;
use core::arch::x86_64::__cpuid;
use gupsync_loader::paging::Table;
use x86_64::instructions::interrupts;
use x86_64::instructions::port::PortWriteOnly;
use x86_64::registers::control::{Cr3, Cr4, Cr4Flags};

const PIC_MASKS: [u16; 2] = [0x21, 0xa1];

/// Where the first I/O APIC is on every PC.
const IO_APIC_SELECT: *mut u32 = 0xfec0_0000 as *mut u32;
const IO_APIC_WINDOW: *mut u32 = 0xfec0_0010 as *mut u32;
const IO_APIC_VERSION: u32 = 1;
const IO_APIC_REDIRECTIONS: u32 = 0x10;
const REDIRECTION_MASKED: u32 = 1 << 16;

/// Optional abilities of the CPU the loader makes use of.
pub struct Features {
    /// Pages of 1 GiB.
    pub gib_pages: bool,
}

/// Checks that the CPU can be put into the state the protocol asks for.
pub fn check() -> Result<Features, Failure> {
    let basic = __cpuid(1).edx;
    let extended = __cpuid(0x8000_0001).edx;
    if basic & 1 << 16 == 0 {
        return Err("the CPU has no PAT; choose another CPU model".into());
    }
    if extended & 1 << 20 == 0 {
        return Err("the CPU has no NX; choose another CPU model or enable NX".into());
    }
    if Cr4::read().contains(Cr4Flags::L5_PAGING) {
        return Err("the firmware uses 5-level paging; choose a CPU model without LA57".into());
    }
    Ok(Features { gib_pages: extended & 1 << 26 != 0 })
}

/// A copy of the root page table the loader runs on.
pub fn current_tables() -> Table {
    let root = Cr3::read().0.start_address().as_u64() as *const Table;
    // SAFETY: Memory is mapped one to one, and paging has four levels (see `check`), so CR3
    // leads to one table. The MMU may set accessed bits meanwhile: hence a volatile read.
    unsafe { root.read_volatile() }
}

/// Disables interrupts, and masks those of the legacy PICs and of the first I/O APIC.
pub fn mask_interrupts() {
    interrupts::disable();
    for port in PIC_MASKS {
        // SAFETY: The firmware's drivers, the only others to use the PICs, are gone.
        unsafe { PortWriteOnly::new(port).write(0xff_u8) };
    }
    let version = io_apic_read(IO_APIC_VERSION);
    if version == u32::MAX {
        return;
    }
    for pin in 0..=(version >> 16 & 0xff) {
        let register = IO_APIC_REDIRECTIONS + 2 * pin;
        let delivery_mode = io_apic_read(register) >> 8 & 0b111;
        // Fixed and lowest priority; the others are not for interrupts of devices.
        if delivery_mode <= 1 {
            io_apic_write(register, REDIRECTION_MASKED);
        }
    }
}

fn io_apic_read(register: u32) -> u32 {
    io_apic_select(register);
    // SAFETY: As in `io_apic_select`.
    unsafe { IO_APIC_WINDOW.read_volatile() }
}

fn io_apic_write(register: u32, value: u32) {
    io_apic_select(register);
    // SAFETY: As in `io_apic_select`.
    unsafe { IO_APIC_WINDOW.write_volatile(value) };
}

fn io_apic_select(register: u32) {
    // SAFETY: The first 4 GiB are mapped one to one, by firmware of PCs or by the loader, and no memory is
    // where the I/O APIC is: where there is none, reads yield ones and writes are lost. The firmware's
    // drivers, the only others to use it, are gone.
    unsafe { IO_APIC_SELECT.write_volatile(register) };
}
