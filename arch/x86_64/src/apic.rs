//! The local APIC: x2APIC where the CPU has it, else xAPIC.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use gupsync::types::CpuId;
use gupsync_pc::apic_mode;
use volatile::VolatilePtr;
use x86_64::instructions::interrupts;
use x86_64::registers::model_specific::Msr;

use crate::{paging, vector};

/// What an interrupt command asks for.
#[derive(Clone, Copy)]
pub enum Command {
    /// A maskable interrupt.
    Fixed(u8),
    /// An NMI.
    Nmi,
}

impl Command {
    fn low(self) -> u32 {
        match self {
            Command::Fixed(vector) => u32::from(vector),
            Command::Nmi => 4 << 8,
        }
    }
}

const APIC_BASE: Msr = Msr::new(0x1b);
const CPUID_X2APIC: u32 = 1 << 21;

/// Registers, by their xAPIC offset.
const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const EOI: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const ICR_LOW: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;

const SOFTWARE_ENABLE: u32 = 1 << 8;
const DELIVERY_PENDING: u32 = 1 << 12;
const ALL_BUT_SELF: u32 = 3 << 18;
const ASSERT: u32 = 1 << 14;
const INIT: u32 = 5 << 8;
const STARTUP: u32 = 6 << 8;

/// The most CPUs of this kernel.
const MAX_CPUS: usize = 512;
/// The most without x2APIC: an xAPIC ID has eight bits, and 255 means all.
const XAPIC_CPUS: usize = 255;

/// Where the xAPIC is mapped; 0 if x2APIC is used.
static XAPIC: AtomicU64 = AtomicU64::new(0);
static APIC_IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// Chooses the mode, on the first CPU.
pub fn init() {
    let features = core::arch::x86_64::__cpuid(1).ecx;
    if features & CPUID_X2APIC == 0 {
        // SAFETY: every x86-64 CPU has this register.
        let base = unsafe { APIC_BASE.read() };
        XAPIC.store(paging::map_device(base & 0x000f_ffff_ffff_f000), Ordering::Relaxed);
    }
}

/// The most CPUs that can be told apart in the mode chosen.
pub fn most_cpus() -> usize {
    if is_x2apic() { MAX_CPUS } else { XAPIC_CPUS }
}

/// The APIC IDs of the first `cpus` CPUs, which are enabled.
pub fn ids(cpus: usize) -> impl Iterator<Item = u32> {
    // Relaxed: the CPUs have reported since.
    APIC_IDS[..cpus].iter().map(|id| id.load(Ordering::Relaxed))
}

/// Gives numbers that no APIC has to the CPUs from the second to number `cpus`, on a machine of one: what is sent to them
/// reaches nothing.
pub fn name_absent(cpus: usize) {
    for (index, id) in APIC_IDS.iter().enumerate().take(cpus).skip(1) {
        id.store(index as u32, Ordering::Relaxed);
    }
}

/// Enables the APIC of this CPU.
pub fn enable(id: CpuId) {
    let mut base_msr = APIC_BASE;
    // SAFETY: every x86-64 CPU has this register.
    let base = unsafe { base_msr.read() };
    for value in apic_mode::writes(base, is_x2apic()) {
        // SAFETY: a step that the manual allows, to a mode that CPUID reports; the address stays.
        unsafe { base_msr.write(value) };
    }
    write(SPURIOUS, SOFTWARE_ENABLE | u32::from(vector::SPURIOUS));
    let apic_id = if is_x2apic() { read(ID) } else { read(ID) >> 24 };
    APIC_IDS[id.0].store(apic_id, Ordering::Relaxed);
}

/// Whether the x2APIC is used.
pub fn is_x2apic() -> bool {
    XAPIC.load(Ordering::Relaxed) == 0
}

/// Interrupts one CPU: one write to the ICR.
pub fn send(to: CpuId, command: Command) {
    send_raw(APIC_IDS[to.0].load(Ordering::Relaxed), command.low() | ASSERT);
}

/// Interrupts every other CPU: one write to the ICR, too.
pub fn send_to_others(command: Command) {
    send_raw(0, ALL_BUT_SELF | ASSERT | command.low());
}

/// Leaves a mark in a trace of APIC writes: here counting begins or ends. The priority written is the one there is.
pub fn mark_trace() {
    write(TASK_PRIORITY, 0);
}

/// Sends INIT to all other CPUs.
pub fn init_others() {
    send_raw(0, ALL_BUT_SELF | ASSERT | INIT);
}

/// Starts all other CPUs at `page`, in real mode.
pub fn start_others(page: u8) {
    send_raw(0, ALL_BUT_SELF | ASSERT | STARTUP | u32::from(page));
}

/// Ends the interrupt being handled.
pub fn end_of_interrupt() {
    write(EOI, 0);
}

fn send_raw(apic_id: u32, command: u32) {
    if is_x2apic() {
        // The write below does not wait for earlier stores: without the fences the target could be interrupted
        // before it can see its request.
        // SAFETY: fences have no other effect.
        unsafe { core::arch::x86_64::_mm_mfence() };
        // SAFETY: likewise.
        unsafe { core::arch::x86_64::_mm_lfence() };
        let mut icr = Msr::new(msr_of(ICR_LOW));
        // SAFETY: a fixed vector or an NMI, which every CPU of this kernel handles; or INIT and start-up, to CPUs that run
        // nothing yet.
        unsafe { icr.write(u64::from(apic_id) << 32 | u64::from(command)) };
    } else {
        // Both halves go together.
        interrupts::without_interrupts(|| {
            while read(ICR_LOW) & DELIVERY_PENDING != 0 {
                core::hint::spin_loop();
            }
            write(ICR_HIGH, apic_id << 24);
            write(ICR_LOW, command);
        });
    }
}

fn msr_of(register: u32) -> u32 {
    0x800 + (register >> 4)
}

fn xapic(register: u32) -> VolatilePtr<'static, u32> {
    let address = XAPIC.load(Ordering::Relaxed) + u64::from(register);
    let pointer = NonNull::new(address as *mut u32).expect("the xAPIC is mapped");
    // SAFETY: `init` has mapped the page of registers for good, uncached; `register` is one of the constants above, each the
    // place of a 32-bit word in it.
    unsafe { VolatilePtr::new(pointer) }
}

fn read(register: u32) -> u32 {
    if is_x2apic() {
        // SAFETY: the x2APIC is enabled, and has every register that is read here.
        unsafe { Msr::new(msr_of(register)).read() as u32 }
    } else {
        xapic(register).read()
    }
}

fn write(register: u32, value: u32) {
    if is_x2apic() {
        // SAFETY: as in `read`; the registers that are written so concern this CPU only.
        unsafe { Msr::new(msr_of(register)).write(u64::from(value)) };
    } else {
        xapic(register).write(value);
    }
}
