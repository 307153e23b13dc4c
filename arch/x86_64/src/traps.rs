//! Exceptions and interrupts: the IDT, its entry stubs, and where each vector goes.

use core::arch::naked_asm;

use gupsync::event::Event;
use spin::LazyLock;
use x86_64::VirtAddr;
use x86_64::registers::control::Cr2;
use x86_64::structures::idt::{Entry, InterruptDescriptorTable};

use crate::trap_frame::TrapFrame;
use crate::{apic, cost, cpu_id, emulate, exit, halt, paging, percpu, run, tlb, vector};

const DEBUG: u8 = 1;
const NMI: u8 = 2;
const INVALID_OPCODE: u8 = 6;
const DOUBLE_FAULT: u8 = 8;
const PAGE_FAULT: u8 = 14;
const EXCEPTIONS: u8 = 32;

/// Pushes all registers and calls [`dispatch`].
#[unsafe(naked)]
extern "C" fn common() {
    naked_asm!(
        "push rax", "push rbx", "push rcx", "push rdx", "push rsi", "push rdi", "push rbp",
        "push r8", "push r9", "push r10", "push r11", "push r12", "push r13", "push r14", "push r15",
        "cld",
        "mov rdi, rsp",
        // The CPU aligned the stack before its five words; with the stub's two and these fifteen it still is.
        "call {dispatch}",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop r11", "pop r10", "pop r9", "pop r8",
        "pop rbp", "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rbx", "pop rax",
        "add rsp, 16",
        "iretq",
        dispatch = sym dispatch,
    )
}

/// The stub of a vector without an error code.
#[unsafe(naked)]
extern "C" fn stub<const VECTOR: u8>() {
    naked_asm!("push 0", "push {vector}", "jmp {common}", vector = const VECTOR as i32, common = sym common)
}

/// The stub of a vector with one.
#[unsafe(naked)]
extern "C" fn stub_with_error<const VECTOR: u8>() {
    naked_asm!("push {vector}", "jmp {common}", vector = const VECTOR as i32, common = sym common)
}

fn address(stub: extern "C" fn()) -> VirtAddr {
    VirtAddr::new(stub as usize as u64)
}

fn set<F>(entry: &mut Entry<F>, stub: extern "C" fn()) -> &mut x86_64::structures::idt::EntryOptions {
    // SAFETY: the stub saves and restores all registers that this target uses, which are no vector registers, and leaves by
    // `iretq`.
    unsafe { entry.set_handler_addr(address(stub)) }
}

/// Without stacks of their own for NMI and double fault, and for the bootloader's code segment.
static EARLY: LazyLock<InterruptDescriptorTable> = LazyLock::new(table);
static IDT: LazyLock<InterruptDescriptorTable> = LazyLock::new(|| {
    let mut idt = table();
    let nmi = set(&mut idt.non_maskable_interrupt, stub::<NMI>);
    // SAFETY: the NMI has this stack to itself: no NMI arrives before the last one has returned by `iretq`, and its handler
    // executes nothing that traps, whose own `iretq` would let the next one in.
    unsafe { nmi.set_stack_index(percpu::NMI_STACK) };
    let double_fault = set(&mut idt.double_fault, stub_with_error::<DOUBLE_FAULT>);
    // SAFETY: a double fault does not return.
    unsafe { double_fault.set_stack_index(percpu::FAULT_STACK) };
    idt
});

fn table() -> InterruptDescriptorTable {
    let mut idt = InterruptDescriptorTable::new();
    set(&mut idt.divide_error, stub::<0>);
    set(&mut idt.debug, stub::<DEBUG>);
    set(&mut idt.non_maskable_interrupt, stub::<NMI>);
    set(&mut idt.breakpoint, stub::<3>);
    set(&mut idt.overflow, stub::<4>);
    set(&mut idt.bound_range_exceeded, stub::<5>);
    set(&mut idt.invalid_opcode, stub::<INVALID_OPCODE>);
    set(&mut idt.device_not_available, stub::<7>);
    set(&mut idt.double_fault, stub_with_error::<DOUBLE_FAULT>);
    set(&mut idt.invalid_tss, stub_with_error::<10>);
    set(&mut idt.segment_not_present, stub_with_error::<11>);
    set(&mut idt.stack_segment_fault, stub_with_error::<12>);
    set(&mut idt.general_protection_fault, stub_with_error::<13>);
    set(&mut idt.page_fault, stub_with_error::<PAGE_FAULT>);
    set(&mut idt.x87_floating_point, stub::<16>);
    set(&mut idt.alignment_check, stub_with_error::<17>);
    set(&mut idt.machine_check, stub::<18>);
    set(&mut idt.simd_floating_point, stub::<19>);
    set(&mut idt[vector::FLUSH], stub::<{ vector::FLUSH }>);
    set(&mut idt[vector::SYNC], stub::<{ vector::SYNC }>);
    set(&mut idt[vector::KICK], stub::<{ vector::KICK }>);
    set(&mut idt[vector::OTHER], stub::<{ vector::OTHER }>);
    set(&mut idt[vector::SPURIOUS], stub::<{ vector::SPURIOUS }>);
    idt
}

/// Loads an IDT while the bootloader's GDT is in use, so that an early exception is reported too.
pub fn init_early() {
    EARLY.load();
}

/// Loads the IDT on this CPU, whose GDT and TSS are loaded.
pub fn init() {
    IDT.load();
}

/// Every vector comes through here, interrupts off.
extern "C" fn dispatch(frame: &mut TrapFrame) {
    match frame.vector as u8 {
        vector @ (vector::FLUSH | vector::SYNC | vector::OTHER) => {
            halt::end(frame);
            cpu_id::count_interrupt();
            run::interrupt(cpu_id::get(), vector);
            apic::end_of_interrupt();
        }
        // Waking up is all.
        vector::KICK => {
            halt::end(frame);
            cpu_id::count_interrupt();
            run::count_taken(Event::KickTaken);
            apic::end_of_interrupt();
        }
        // A spurious interrupt is not in service, and must not be ended.
        vector::SPURIOUS => {}
        NMI => {
            run::count_taken(Event::NmiTaken);
            emulate::on_nmi(cpu_id::get(), run::on_nmi);
        }
        INVALID_OPCODE if emulate::try_instruction(frame) => {}
        DEBUG if cost::step(frame) => {}
        PAGE_FAULT if tlb::recover(frame) => {}
        _ => fatal(frame),
    }
}

fn fatal(frame: &TrapFrame) -> ! {
    let TrapFrame { vector, error, rip, rsp, .. } = frame;
    let cr2 = Cr2::read_raw();
    let what = match *vector as u8 {
        DOUBLE_FAULT | PAGE_FAULT if paging::is_stack_guard(cr2) => "stack overflow",
        PAGE_FAULT => "page fault",
        DOUBLE_FAULT => "double fault",
        INVALID_OPCODE => "invalid opcode",
        13 => "general protection fault",
        NMI => "NMI",
        other if other < EXCEPTIONS => "exception",
        _ => "unexpected interrupt",
    };
    exit::exception(format_args!(
        "{what} (vector {vector}, error {error:#x}) at {rip:#x}, rsp {rsp:#x}, cr2 {cr2:#x}"
    ))
}
