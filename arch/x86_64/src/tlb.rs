//! The instructions that load, use and flush translations.

use core::arch::{asm, naked_asm};
use core::sync::atomic::{AtomicBool, Ordering};

use gupsync::types::{Asid, Frame, Invlpgb, Range, VirtAddr};
use gupsync_invlpgb::Registers;
use x86_64::registers::control::{Cr3, Cr4, Cr4Flags};

use crate::paging;
use crate::trap_frame::TrapFrame;

/// Whether translations are tagged. QEMU's TCG has no PCID: there every load of CR3 flushes all.
static PCID: AtomicBool = AtomicBool::new(false);

const CPUID_PCID: u32 = 1 << 17;
const CPUID_INVLPGB: u32 = 1 << 3;

/// Turns PCIDs on where the CPU has them. The kernel's own tables are loaded.
pub fn init() {
    if core::arch::x86_64::__cpuid(1).ecx & CPUID_PCID != 0 {
        // SAFETY: the CPU has PCIDs, is in long mode, and CR3 holds PCID 0.
        unsafe { Cr4::update(|cr4| cr4.insert(Cr4Flags::PCID)) };
        PCID.store(true, Ordering::Relaxed);
    }
}

/// The most pages that one INVLPGB of this CPU takes, if it has the instruction.
pub fn native_invlpgb() -> Option<u64> {
    let extended = core::arch::x86_64::__cpuid(0x8000_0008);
    (extended.ebx & CPUID_INVLPGB != 0).then_some(u64::from(extended.edx & 0xffff) + 1)
}

/// Loads a root, and drops this CPU's translations of `asid`.
pub fn load(root: Frame, asid: Asid) {
    let pcid = if PCID.load(Ordering::Relaxed) { asid.word() } else { 0 };
    // SAFETY: every root has the kernel's upper half. Bit 63 is clear: the translations of the PCID are dropped.
    unsafe { asm!("mov cr3, {}", in(reg) root.0 | pcid, options(nostack, preserves_flags)) };
}

/// The root that is loaded.
pub fn root() -> Frame {
    Frame(Cr3::read_raw().0.start_address().as_u64())
}

/// Drops this CPU's translations of what is loaded.
pub fn flush(range: Range) {
    match range {
        Range::All => {
            let (root, low) = Cr3::read_raw();
            let value = root.start_address().as_u64() | u64::from(low);
            // SAFETY: what is loaded already.
            unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
        }
        Range::Pages { start, pages, size } => {
            for page in 0..pages {
                let va = start.0 + page * size.bytes();
                // SAFETY: drops a translation, nothing more.
                unsafe { asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags)) };
            }
        }
    }
}

/// Drops all of this CPU's translations, of every PCID: as any change of CR4.PGE does.
pub fn flush_all() {
    // SAFETY: no page is marked global, so the bit changes nothing but the TLB.
    unsafe { Cr4::update(|cr4| cr4.insert(Cr4Flags::PAGE_GLOBAL)) };
    // SAFETY: likewise; as it was before.
    unsafe { Cr4::update(|cr4| cr4.remove(Cr4Flags::PAGE_GLOBAL)) };
}

/// What INVLPGB finds in its registers. An mm is told by its PCID.
pub fn operands(what: Invlpgb) -> Registers {
    match what {
        Invlpgb::Of { asid, range } => gupsync_invlpgb::encode(asid.word(), range),
        Invlpgb::NonGlobal => gupsync_invlpgb::NON_GLOBAL,
        Invlpgb::Everything => gupsync_invlpgb::EVERYTHING,
    }
}

/// Executes INVLPGB. Where the CPU lacks it, it traps, and [`crate::emulate`] carries it out.
pub fn invlpgb(what: Invlpgb) {
    let Registers { rax, ecx, edx } = operands(what);
    // No `nomem`: the compiler keeps the change of the tables before it.
    // SAFETY: invalidates translations, or traps into the emulator, which changes no register.
    unsafe { asm!(".byte 0x0f, 0x01, 0xfe", in("rax") rax, in("ecx") ecx, in("edx") edx, options(nostack)) };
}

/// Executes TLBSYNC, likewise.
pub fn tlbsync() {
    // No `nomem`: the compiler keeps whatever reuses a table after it.
    // SAFETY: waits, or traps into the emulator.
    unsafe { asm!(".byte 0x0f, 0x01, 0xff", options(nostack)) };
}

#[repr(C)]
struct Touched {
    value: u64,
    mapped: u64,
}

/// Reads a word. If the first instruction faults, [`recover`] goes on at [`touch_fault`].
#[unsafe(naked)]
extern "C" fn touch_raw(va: u64) -> Touched {
    naked_asm!("mov rax, [rdi]", "mov edx, 1", "ret")
}

#[unsafe(naked)]
extern "C" fn touch_fault() {
    naked_asm!("xor eax, eax", "xor edx, edx", "ret")
}

/// Reads through the MMU; `None` where nothing is mapped.
///
/// # Panics
///
/// In the upper half, which is the kernel's, but for its window.
pub fn touch(va: VirtAddr) -> Option<u64> {
    assert!(va.0 < 1 << 47 || va.0 == paging::WINDOW, "{va:?} is in the kernel's half");
    let touched = touch_raw(va.0);
    (touched.mapped != 0).then_some(touched.value)
}

/// Writes a word. If the first instruction faults, [`recover`] goes on at [`write_fault`].
#[unsafe(naked)]
extern "C" fn write_raw(va: u64, value: u64) -> u64 {
    naked_asm!("mov [rdi], rsi", "mov eax, 1", "ret")
}

#[unsafe(naked)]
extern "C" fn write_fault() {
    naked_asm!("xor eax, eax", "ret")
}

/// Writes through the MMU; says whether the mapping allowed it.
///
/// # Panics
///
/// In the upper half, which is the kernel's.
pub fn write(va: VirtAddr, value: u64) -> bool {
    assert!(va.0 < 1 << 47, "{va:?} is in the kernel's half");
    write_raw(va.0, value) != 0
}

/// In the page-fault handler: lets [`touch`] or [`write`] go on.
pub fn recover(frame: &mut TrapFrame) -> bool {
    let at = |function: *const ()| frame.rip == function as u64;
    let go_on = if at(touch_raw as *const ()) {
        touch_fault as *const ()
    } else if at(write_raw as *const ()) {
        write_fault as *const ()
    } else {
        return false;
    };
    frame.rip = go_on as u64;
    true
}
