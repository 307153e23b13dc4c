//! Counting instructions, in two ways that have to agree: by the time-stamp counter, which counts them where QEMU is told
//! so, and by single steps.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::arch::naked_asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Mutex;

use crate::trap_frame::TrapFrame;

/// The flag by which each instruction is followed by a trap.
const TRAP_FLAG: u64 = 1 << 8;
/// The instruction `sti`.
const STI: u8 = 0xfb;
/// More instructions than a piece has.
const ROOM: usize = 1 << 16;

/// What [`counted`] counts besides: found out by [`init`].
static BESIDES: AtomicU64 = AtomicU64::new(0);
/// Where the piece begins that is traced, and where it returns to; 0 if none is.
static BEGIN: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);
/// Whether what is done now is no part of the piece.
static ASIDE: AtomicBool = AtomicBool::new(false);
/// Steps, those aside included, and those that no trap has shown.
static STEPS: AtomicU64 = AtomicU64::new(0);
/// How many instructions no trap shows after a `sti`, which QEMU makes one step with the next: found out by [`init`].
static HIDDEN: AtomicU64 = AtomicU64::new(0);
/// Their addresses, without those.
static TRACE: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Calls `piece`. The time-stamp counter after it has returned, less that before.
#[unsafe(naked)]
extern "C" fn counted(piece: extern "C" fn(*mut u8), context: *mut u8) -> u64 {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "mov r12, rdi",
        "mov rdi, rsi",
        "rdtsc",
        "shl rdx, 32",
        "lea rbx, [rax + rdx]",
        "call r12",
        "rdtsc",
        "shl rdx, 32",
        "add rax, rdx",
        "sub rax, rbx",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Calls `piece` step by step. [`step`] ends that where it returns to.
#[unsafe(naked)]
extern "C" fn traced(piece: extern "C" fn(*mut u8), context: *mut u8) {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "mov rax, rdi",
        "mov rdi, rsi",
        "lea rcx, [rip + 2f]",
        "mov [rip + {end}], rcx",
        "mov [rip + {begin}], rax",
        "pushfq",
        "or qword ptr [rsp], {trap}",
        "popfq",
        "call rax",
        "2:",
        "nop",
        "pop rbp",
        "ret",
        begin = sym BEGIN,
        end = sym END,
        trap = const TRAP_FLAG,
    )
}

/// In the handler of debug traps: whether it is one of [`traced`]'s.
pub fn step(frame: &mut TrapFrame) -> bool {
    // Relaxed, here and below: all is on one CPU, and in the order of the program.
    let (begin, end) = (BEGIN.load(Ordering::Relaxed), END.load(Ordering::Relaxed));
    if begin == 0 {
        return false;
    }
    if frame.rip == end {
        BEGIN.store(0, Ordering::Relaxed);
        HAS_BEGUN.store(false, Ordering::Relaxed);
        frame.rflags &= !TRAP_FLAG;
    } else if frame.rip == begin || HAS_BEGUN.load(Ordering::Relaxed) {
        HAS_BEGUN.store(true, Ordering::Relaxed);
        // SAFETY: the code that is executed next, which is mapped for good.
        let is_sti = unsafe { *(frame.rip as *const u8) } == STI;
        let hidden = if is_sti { HIDDEN.load(Ordering::Relaxed) } else { 0 };
        STEPS.fetch_add(1 + hidden, Ordering::Relaxed);
        // What the trap has interrupted never has the lock.
        let mut trace = TRACE.lock();
        // No allocation here: it may have interrupted one.
        if !ASIDE.load(Ordering::Relaxed) && trace.len() < ROOM {
            trace.push(frame.rip);
        }
    }
    true
}

/// Does `body`, and has it be no part of the piece.
pub fn aside(body: impl FnOnce()) {
    ASIDE.store(true, Ordering::Relaxed);
    body();
    ASIDE.store(false, Ordering::Relaxed);
}

/// What is called to do a piece. The host leaves out what it executes itself, by its name.
extern "C" fn thunk<F: FnMut()>(piece: *mut u8) {
    // SAFETY: `with` gives it a piece of this type, which it has borrowed mutably for the call.
    let piece = unsafe { &mut *piece.cast::<F>() };
    piece();
}

fn with<F: FnMut(), R>(piece: &mut F, call: impl FnOnce(extern "C" fn(*mut u8), *mut u8) -> R) -> R {
    call(thunk::<F>, core::ptr::from_mut(piece).cast())
}

/// How many instructions `piece` executes, all included.
pub fn count<F: FnMut()>(piece: &mut F) -> u64 {
    with(piece, |thunk, piece| counted(thunk, piece)).wrapping_sub(BESIDES.load(Ordering::Relaxed))
}

/// The addresses of the instructions that `piece` executes, and their number, those aside included.
pub fn trace<F: FnMut()>(piece: &mut F) -> (Vec<u64>, u64) {
    TRACE.lock().clear();
    STEPS.store(0, Ordering::Relaxed);
    with(piece, |thunk, piece| traced(thunk, piece));
    (TRACE.lock().clone(), STEPS.load(Ordering::Relaxed))
}

#[unsafe(naked)]
extern "C" fn one_instruction(_: *mut u8) {
    naked_asm!("ret")
}

/// Of these there are as many as it says, and a `ret`.
const NOPS: u64 = 100;

#[unsafe(naked)]
extern "C" fn nops(_: *mut u8) {
    naked_asm!(".rept {nops}", "nop", ".endr", "ret", nops = const NOPS)
}

#[unsafe(naked)]
extern "C" fn three_instructions(_: *mut u8) {
    naked_asm!("sti", "nop", "ret")
}

/// Finds out what a count has besides, and whether it counts instructions at all.
pub fn init() -> Result<(), String> {
    TRACE.lock().reserve_exact(ROOM);
    let one = counted(one_instruction, core::ptr::null_mut());
    BESIDES.store(one.wrapping_sub(1), Ordering::Relaxed);
    let more = counted(nops, core::ptr::null_mut()).wrapping_sub(one);
    if more != NOPS {
        return Err(format!(
            "cost: {NOPS} instructions more were counted as {more}; the machine does not count instructions (QEMU: -icount)"
        ));
    }
    let piece = core::ptr::null_mut();
    traced(three_instructions, piece);
    HIDDEN.store(3 - STEPS.load(Ordering::Relaxed), Ordering::Relaxed);
    Ok(())
}
