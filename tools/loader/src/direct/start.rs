//! From PVH to the kernel: into long mode, find what was handed over, make room, enter.

use crate::console::Console;
use crate::machine::Kernel;
use crate::machine::failure::{Failure, NAME, VERSION, about};
use crate::memory;
use alloc::vec::Vec;
use core::arch::global_asm;
use core::convert::Infallible;
use core::fmt::Write;
use core::ops::Range;
use core::panic::PanicInfo;
use core::{ptr, slice};
use gupsync_loader::PAGE;
use gupsync_loader::bundle;
use gupsync_loader::config::Config;
use gupsync_loader::memory_map::{Kind, Region};
use gupsync_loader::room;
use gupsync_loader::start_info::{self, MODULE_SIZE, REGION_SIZE, SIZE, StartInfo};
use linked_list_allocator::LockedHeap;
use x86_64::instructions::{hlt, interrupts};

/// For the structures of the library, which are small.
const HEAP_SIZE: usize = 256 << 10;

#[global_allocator]
static HEAP: LockedHeap = LockedHeap::empty();

// PVH enters in protected mode with paging off, flat segments, interrupts off, and the address of the start info in EBX.
// The first 4 GiB are mapped one to one, by pages of 2 MiB: every x86-64 CPU has them.
global_asm!(
    ".pushsection .note.pvh, \"a\", @note",
    ".balign 4",
    ".long 4, 8, 18", // The sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY.
    ".asciz \"Xen\"",
    ".quad enter_protected",
    ".popsection",
    ".pushsection .rodata.gdt, \"a\"",
    ".balign 8",
    "early_gdt: .quad 0, 0x00209b0000000000, 0x0000930000000000",
    "early_gdt_pointer: .word 23",
    ".long early_gdt",
    ".popsection",
    ".pushsection .data.tables, \"aw\"",
    ".balign 4096",
    "early_root: .quad early_upper + 3",
    ".fill 511, 8, 0",
    "early_upper: .quad early_lower + 0x3, early_lower + 0x1003, early_lower + 0x2003, early_lower + 0x3003",
    ".fill 508, 8, 0",
    "early_lower:",
    ".set page, 0",
    ".rept 2048",
    ".quad (page << 21) + 0x83",
    ".set page, page + 1",
    ".endr",
    ".popsection",
    ".pushsection .bss.stack, \"aw\", @nobits",
    ".balign 4096",
    ".skip 65536",
    "early_stack_end:",
    ".popsection",
    ".pushsection .text.enter, \"ax\"",
    ".code32",
    ".globl enter_protected",
    "enter_protected:",
    "mov eax, offset early_root",
    "mov cr3, eax",
    "mov eax, cr4",
    "or eax, 0x20", // PAE
    "mov cr4, eax",
    "mov ecx, 0xc0000080", // EFER
    "rdmsr",
    "or eax, 0x100", // LME
    "wrmsr",
    "mov eax, cr0",
    "or eax, 0x80000000", // PG
    "mov cr0, eax",
    "mov esp, offset early_stack_end",
    "lgdt [early_gdt_pointer]",
    "push 8",
    "mov eax, offset enter_long",
    "push eax",
    "retf",
    ".code64",
    "enter_long:",
    "mov eax, 16",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov edi, ebx",
    "xor ebp, ebp",
    "call {start}",
    "ud2",
    ".popsection",
    start = sym start,
);

unsafe extern "C" {
    /// Where this loader lies, as its linker script says.
    static __image_start: u8;
    static __image_end: u8;
}

extern "C" fn start(start_info: u64) -> ! {
    static mut MEMORY: [u8; HEAP_SIZE] = [0; HEAP_SIZE];
    let memory = (&raw mut MEMORY).cast();
    // SAFETY: This is the only place that names the memory, and it runs once.
    unsafe { HEAP.lock().init(memory, HEAP_SIZE) };
    let Err(failure) = boot(start_info);
    say(format_args!("{NAME}: {failure}\n"));
    halt()
}

fn boot(start_info: u64) -> Result<Infallible, Failure> {
    let info = StartInfo::parse(read::<SIZE>(start_info)?).map_err(about("QEMU"))?;
    let module = start_info::module(read::<MODULE_SIZE>(info.module)?);
    let region =
        |index| read::<REGION_SIZE>(info.memory_map + (index * REGION_SIZE) as u64).map(start_info::region);
    let regions = (0..info.regions).map(region).collect::<Result<Vec<_>, _>>()?;
    let image = image();
    let room = room::largest(&regions, &[image.clone(), module.clone()]);
    // SAFETY: It is memory that the firmware calls usable, apart from this loader and from the module; whatever else was
    // handed over lies below it, or was read by now. The first 4 GiB are mapped one to one.
    unsafe { memory::give(&room) };

    let (config, kernel) = bundle::split(bytes(&module)?).map_err(about("-initrd"))?;
    let config = Config::parse(config).map_err(about("limine.conf"))?;
    let chosen = &config.entries[config.default_entry];
    let target = chosen.target().map_err(about("limine.conf"))?;
    let (rsdp, system_table) = (info.rsdp, None);
    let kernel = Kernel { target: &target, file: kernel, regions: &regions, rsdp, system_table };
    kernel.enter(|builder| {
        say(format_args!("{NAME} {VERSION}: booting {} ({})\n", chosen.title, target.uri));
        regions.iter().for_each(|region| builder.add(*region));
        for Range { start, end } in [image, room.start..memory::next()] {
            builder.add(Region { base: start, end, kind: Kind::BootloaderReclaimable });
        }
    })
}

/// What this loader is loaded into.
fn image() -> Range<u64> {
    let (start, end) = (&raw const __image_start, &raw const __image_end);
    start.addr() as u64..(end.addr() as u64).next_multiple_of(PAGE)
}

/// A structure that was handed over.
fn read<const SIZE: usize>(address: u64) -> Result<&'static [u8; SIZE], Failure> {
    let bytes = bytes(&(address..address.saturating_add(SIZE as u64)))?;
    Ok(bytes.try_into().expect("so many bytes"))
}

/// What was handed over.
fn bytes(range: &Range<u64>) -> Result<&'static [u8], Failure> {
    if range.start == 0 || range.end > 1 << 32 {
        return Err(alloc::format!("QEMU: {range:#x?} was handed over; it lies beyond 4 GiB, or is nothing"));
    }
    let start = ptr::with_exposed_provenance(range.start as usize);
    // SAFETY: The first 4 GiB are mapped one to one, and what was handed over is not written to by any code.
    Ok(unsafe { slice::from_raw_parts(start, (range.end - range.start) as usize) })
}

fn say(text: core::fmt::Arguments<'_>) {
    // A console that fails leaves no one to tell.
    let _ = Console.write_fmt(text);
}

fn halt() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say(format_args!("{NAME}: {info}\n"));
    halt()
}
