//! Starting the other CPUs, all at once: a broadcast INIT, then a broadcast start-up to a page below 1 MiB.
//!
//! The page holds code that goes from real mode to long mode in one step, takes a number and the stack that goes with it,
//! and enters Rust. It does so on tables of its own, which map the page for execution: the kernel's never do.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use gupsync::types::{CpuId, Frame, PAGE_SIZE};

use crate::{apic, frames, paging, percpu, pit};

/// CPUs that are set up.
static ONLINE: AtomicU64 = AtomicU64::new(1);
/// The number that the next CPU takes.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// So many milliseconds are enough, on a busy host too.
const START_MILLISECONDS: u32 = 60_000;

// Words that are 0 below, and the target of the jump, are patched in by `copy_trampoline`.
global_asm!(
    ".section .rodata.trampoline, \"a\"",
    ".code16",
    "trampoline_start:",
    "    cli",
    "    cld",
    "    mov ax, cs",
    "    mov ds, ax",
    // GDT: null, 64-bit code, data.
    "    lgdt [at_gdtr]",
    "    mov eax, [at_root]",
    "    mov cr3, eax",
    // PAE.
    "    mov eax, 0x20",
    "    mov cr4, eax",
    // EFER: long mode and no-execute.
    "    mov ecx, 0xc0000080",
    "    xor edx, edx",
    "    mov eax, 0x900",
    "    wrmsr",
    // Protection, write protection and paging at once; caches on.
    "    mov eax, 0x80010011",
    "    mov cr0, eax",
    // A far jump to 64-bit code; its target is patched.
    "    .byte 0x66, 0xea",
    "trampoline_jump:",
    "    .long 0",
    "    .word 8",
    ".code64",
    "trampoline_64:",
    "    lea rbx, [rip + trampoline_start]",
    "    mov eax, 16",
    "    mov ss, ax",
    "    mov ds, ax",
    "    mov es, ax",
    "    mov edi, 1",
    "    mov rax, [rbx + at_next]",
    "    lock xadd [rax], rdi",
    // CPUs beyond those that have a stack sleep for good.
    "    cmp rdi, [rbx + at_limit]",
    "    jae 2f",
    "    mov rax, [rbx + at_stacks]",
    "    mov rsp, [rax + rdi * 8]",
    "    xor ebp, ebp",
    "    push 0",
    "    jmp qword ptr [rbx + at_entry]",
    "2:  cli",
    "    hlt",
    "    jmp 2b",
    ".balign 8",
    "trampoline_gdt:",
    "    .quad 0",
    "    .quad 0x00af9b000000ffff",
    "    .quad 0x00cf93000000ffff",
    "trampoline_gdtr:",
    "    .word 23",
    "trampoline_gdt_address:",
    "    .long 0",
    ".balign 8",
    "trampoline_root:",
    "    .quad 0",
    "trampoline_next:",
    "    .quad 0",
    "trampoline_limit:",
    "    .quad 0",
    "trampoline_stacks:",
    "    .quad 0",
    "trampoline_entry:",
    "    .quad 0",
    "trampoline_end:",
    ".set at_gdtr, trampoline_gdtr - trampoline_start",
    ".set at_root, trampoline_root - trampoline_start",
    ".set at_next, trampoline_next - trampoline_start",
    ".set at_limit, trampoline_limit - trampoline_start",
    ".set at_stacks, trampoline_stacks - trampoline_start",
    ".set at_entry, trampoline_entry - trampoline_start",
    ".text",
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_end: u8;
    static trampoline_64: u8;
    static trampoline_jump: u8;
    static trampoline_gdt: u8;
    static trampoline_gdt_address: u8;
    static trampoline_root: u8;
    static trampoline_next: u8;
    static trampoline_limit: u8;
    static trampoline_stacks: u8;
    static trampoline_entry: u8;
}

/// Starts CPUs 1 to `cpus - 1`, which go to `main` with their numbers. `page` is set aside, and below 1 MiB. The delays are
/// those of the manual.
///
/// # Panics
///
/// If they do not come.
pub fn start_others(cpus: usize, page: u64, main: extern "C" fn(usize) -> !) {
    let stacks: alloc::vec::Vec<u64> = (0..cpus).map(|id| percpu::stack_top(CpuId(id))).collect();
    copy_trampoline(page, paging::root_with_identity_page(page), cpus, &stacks, main);
    apic::init_others();
    pit::wait(10_000);
    // The second is for CPUs that were not ready for the first; those that were ignore it.
    for _ in 0..2 {
        apic::start_others((page / PAGE_SIZE) as u8);
        pit::wait(200);
    }
    // Acquire: pairs with the Release in `report_online`.
    let are_online = || ONLINE.load(Ordering::Acquire) == cpus as u64;
    for _ in 0..START_MILLISECONDS {
        if are_online() {
            return;
        }
        pit::wait(1000);
    }
    panic!("{} of {cpus} CPUs came up", ONLINE.load(Ordering::Acquire));
}

/// A CPU is set up: it no longer uses the trampoline.
pub fn report_online() {
    // Release: pairs with the Acquire in `start_others`.
    ONLINE.fetch_add(1, Ordering::Release);
}

fn copy_trampoline(page: u64, root: Frame, cpus: usize, stacks: &[u64], main: extern "C" fn(usize) -> !) {
    let start = &raw const trampoline_start;
    let offset = |symbol: *const u8| symbol as usize - start as usize;
    let (target, length) = (frames::address_of(page), offset(&raw const trampoline_end));
    assert!(length as u64 <= PAGE_SIZE, "the trampoline is longer than a page");
    // SAFETY: the page was set aside for this caller alone, and the code fits in it.
    unsafe { target.copy_from_nonoverlapping(start, length) };
    let physical = |symbol: *const u8| page + offset(symbol) as u64;
    let patch = |symbol: *const u8, value: u64, bytes: usize| {
        let value = value.to_le_bytes();
        // SAFETY: the symbol names a place of at least `bytes` bytes inside the copy, which no CPU executes yet.
        unsafe { target.wrapping_add(offset(symbol)).copy_from_nonoverlapping(value.as_ptr(), bytes) };
    };
    assert!(root.0 < 1 << 32, "the root lies above 4 GiB, where real mode cannot load it from");
    patch(&raw const trampoline_jump, physical(&raw const trampoline_64), 4);
    patch(&raw const trampoline_gdt_address, physical(&raw const trampoline_gdt), 4);
    patch(&raw const trampoline_root, root.0, 8);
    patch(&raw const trampoline_next, NEXT.as_ptr() as u64, 8);
    patch(&raw const trampoline_limit, cpus as u64, 8);
    patch(&raw const trampoline_stacks, stacks.as_ptr() as u64, 8);
    patch(&raw const trampoline_entry, main as usize as u64, 8);
}
