//! The last instructions of the loader.
//!
//! The kernel's first instruction runs in the state the protocol prescribes: its page tables with
//! nothing below the higher half, the protocol's GDT and PAT, paging with NX and write protection,
//! interrupts off, direction flag clear, its stack with a null return address, all other registers
//! zero. What the protocol leaves open is as Limine 8.2 leaves it: CR0 and CR4 hold no further
//! bits, EFER no further features, IDT and LDT are empty.
//!
//! The switch takes two steps, because the lower half, where this code runs, has to go. The
//! transition tables have the lower half that is mapped until then and the kernel's higher half; on them, control
//! moves to this code's direct map alias, which then loads the final tables.

use core::arch::asm;
use gupsync_loader::HHDM;
use gupsync_loader::paging::Roots;

/// What the registers are loaded from.
pub struct Machine {
    /// The root page tables.
    pub roots: Roots,
    /// The direct map address of the stack's end, a multiple of the page size.
    pub stack_top: u64,
    /// The kernel's entry point.
    pub entry: u64,
}

/// The protocol's descriptors: null, then code and data of 16, 32 and 64 bits.
static GDT: [u64; 7] = [
    0,
    0x0000_9b00_0000_ffff,
    0x0000_9300_0000_ffff,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x0020_9b00_0000_0000,
    0x0000_9300_0000_0000,
];
const CODE: u64 = 0x28;
const DATA: u64 = 0x30;

const CR0_PG_WP_ET_PE: u64 = 0x8001_0011;
const CR4_PAE: u64 = 0x20;
const MSR_EFER: u32 = 0xc000_0080;
const EFER_NXE_LMA_LME: u32 = 0xd00;
const MSR_PAT: u32 = 0x277;
/// WB, WT, UC-, UC in the lower half; WP, WC in the upper.
const PAT: [u32; 2] = [0x0007_0406, 0x0000_0105];
/// Bit 1 is always set; interrupt and direction flag are not.
const FLAGS: u64 = 2;

/// Enters the kernel.
///
/// # Safety
///
/// Nothing else may use the machine, and interrupts must be off. Both roots must map the direct
/// map and the kernel; the transition root must also map the code that runs now where it runs.
pub unsafe fn enter(machine: Machine) -> ! {
    // SAFETY: By the contract above, each instruction is mapped when it is fetched, before and
    // after each change of tables. On the final tables memory is used at direct map addresses only:
    // written on the new stack, which nothing else uses, and read in the GDT, whose descriptors are
    // marked accessed, so that the CPU does not write to them. No fault comes meanwhile that would
    // need a handler, and no interrupt: they are off.
    unsafe {
        asm!(
            // The tables have NX bits, which are reserved without EFER.NXE.
            "mov ecx, {msr_efer}",
            "mov eax, {efer}",
            "xor edx, edx",
            "wrmsr",
            "mov ecx, {msr_pat}",
            "mov eax, {pat_low}",
            "mov edx, {pat_high}",
            "wrmsr",
            // On the transition tables, to this code's direct map alias.
            "mov cr3, r9",
            "lea rax, [rip + 2f]",
            "add rax, r10",
            "jmp rax",
            "2:",
            "mov cr3, r8",
            // Clearing CR4.PGE also drops what global entries the firmware had.
            "mov eax, {cr4}",
            "mov cr4, rax",
            "mov eax, {cr0}",
            "mov cr0, rax",
            // The operands of LGDT and LIDT, a 16-bit limit and the base, lie on the new stack.
            "mov rsp, r12",
            "push r11",
            "sub rsp, 8",
            "mov word ptr [rsp + 6], {gdt_limit}",
            "lgdt [rsp + 6]",
            "mov rsp, r12",
            "push 0",
            "push 0",
            "lidt [rsp]",
            "mov rsp, r12",
            "xor eax, eax",
            "lldt ax",
            "mov eax, {data}",
            "mov ds, eax",
            "mov es, eax",
            "mov fs, eax",
            "mov gs, eax",
            "mov ss, eax",
            // The null return address, then the frame IRETQ takes.
            "push 0",
            "mov rax, rsp",
            "push {data}",
            "push rax",
            "push {flags}",
            "push {code}",
            "push r13",
            "xor eax, eax",
            "xor ebx, ebx",
            "xor ecx, ecx",
            "xor edx, edx",
            "xor esi, esi",
            "xor edi, edi",
            "xor ebp, ebp",
            "xor r8d, r8d",
            "xor r9d, r9d",
            "xor r10d, r10d",
            "xor r11d, r11d",
            "xor r12d, r12d",
            "xor r13d, r13d",
            "xor r14d, r14d",
            "xor r15d, r15d",
            "iretq",
            msr_efer = const MSR_EFER,
            efer = const EFER_NXE_LMA_LME,
            msr_pat = const MSR_PAT,
            pat_low = const PAT[0],
            pat_high = const PAT[1],
            cr4 = const CR4_PAE,
            cr0 = const CR0_PG_WP_ET_PE,
            gdt_limit = const size_of_val(&GDT) - 1,
            data = const DATA,
            flags = const FLAGS,
            code = const CODE,
            in("r8") machine.roots.kernel,
            in("r9") machine.roots.transition,
            in("r10") HHDM,
            in("r11") HHDM + GDT.as_ptr().addr() as u64,
            in("r12") machine.stack_top,
            in("r13") machine.entry,
            options(noreturn),
        )
    }
}
