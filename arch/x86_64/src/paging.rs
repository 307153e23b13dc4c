//! The kernel's own page tables: physical memory, the kernel's sections with their rights, stacks and devices.
//!
//! # Guarantee
//!
//! No page is writable and executable, what the kernel may not write is mapped writable nowhere, and a page is mapped once:
//! [`map`] refuses what is mapped. `posture` looks whether all of that is so.
//!
//! # Mechanism
//!
//! Physical memory is mapped by 4 KiB pages. An `invlpg` inside a large page that was touched makes QEMU flush
//! the whole TLB, and would hide the missing flush that a test wants to see.
//!
//! All of it is done by the first CPU, before the first mm is made: mms share the upper half by copying its top level. Stacks
//! for stand-ins ([`crate::task`]) come later, below an entry of the top level that is there already.

use core::sync::atomic::{Ordering, compiler_fence};

use gupsync::atomic::AtomicU64 as Word;
use gupsync::mm::page_table::index;
use gupsync::types::{ENTRIES, Frame, FrameSize, PAGE_SIZE, VirtAddr};
use spin::Once;
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr3, Cr3Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use crate::boot::{BootInfo, Region};
use crate::frames;

/// Where stacks are mapped, each above an unmapped page.
const STACKS: u64 = 0xffff_e000_0000_0000;
const STACK_PAGES: u64 = 16;
/// The size of a stack.
pub const STACK_BYTES: u64 = STACK_PAGES * PAGE_SIZE;
/// The one page of the kernel's range that changes.
pub const WINDOW: u64 = 0xffff_e400_0000_0000;
/// The pages that are mapped there, in turn: an old one is not written again at once.
const WINDOW_PAGES: usize = 4;
/// Where device registers are mapped.
const DEVICES: u64 = 0xffff_e800_0000_0000;

const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE);
const DATA: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::NO_EXECUTE);
/// The bits of an entry that say where it leads.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

static ROOT: Once<Frame> = Once::new();
static WINDOW_FRAMES: Once<[Frame; WINDOW_PAGES]> = Once::new();

unsafe extern "C" {
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __data_end: u8;
}

/// The part of the kernel that may be executed, and the part that may only be read: first address, and the end.
pub fn read_only_parts() -> [(u64, u64); 2] {
    [
        (&raw const __text_start as u64, &raw const __text_end as u64),
        (&raw const __rodata_start as u64, &raw const __rodata_end as u64),
    ]
}

/// What is mapped where something was to be mapped.
#[derive(Clone, Copy, Debug)]
pub struct AlreadyMapped {
    physical: u64,
}

/// Builds the tables and goes over to them.
pub fn init(boot: &BootInfo, regions: impl Iterator<Item = Region>) {
    ROOT.call_once(new_table);
    for region in regions {
        map_physical(region.base, region.length);
    }
    let [text, rodata] = read_only_parts();
    let data = (&raw const __data_start as u64, &raw const __data_end as u64);
    let parts = [(text, Flags::PRESENT), (rodata, Flags::PRESENT | Flags::NO_EXECUTE), (data, DATA)];
    for ((start, end), flags) in parts {
        for at in (start..end).step_by(PAGE_SIZE as usize) {
            map_new(at, at.wrapping_add(boot.kernel_offset), flags);
        }
    }
    let window = WINDOW_FRAMES.call_once(|| {
        core::array::from_fn(|_| frames::alloc(FrameSize::Small).expect("memory for the window"))
    });
    window.iter().for_each(|frame| frames::words(*frame)[0].store(0, Ordering::Relaxed));
    map_new(WINDOW, window[0].0, DATA);
    enter();
}

/// Maps the page at [`WINDOW`] whose turn it is, holding `value`. Flushes nothing.
///
/// # Panics
///
/// Before [`init`].
pub fn map_window(value: u64) {
    let frame = WINDOW_FRAMES.get().expect("the window is mapped")[value as usize % WINDOW_PAGES];
    frames::words(frame)[0].store(value, Ordering::Relaxed);
    // Release: a CPU that reads the new entry finds the page written.
    entry(root(), WINDOW).store(frame.0 | DATA.bits(), Ordering::Release);
}

/// What the page at [`WINDOW`] holds, whichever that is: not read through it.
pub fn window() -> u64 {
    // Relaxed, both: written by this CPU, or by one that has told it so.
    let entry = entry(root(), WINDOW).load(Ordering::Relaxed);
    frames::words(Frame(entry & ADDRESS))[0].load(Ordering::Relaxed)
}

/// Loads the kernel's tables on this CPU, with the settings they rely on.
pub fn enter() {
    // SAFETY: no-execute is what the tables are marked with; code is not.
    unsafe { Efer::update(|efer| efer.insert(EferFlags::NO_EXECUTE_ENABLE)) };
    // SAFETY: the kernel writes to nothing that it maps read-only.
    unsafe { Cr0::update(|cr0| cr0.insert(Cr0Flags::WRITE_PROTECT)) };
    // SAFETY: no page is marked global; without them, loading CR3 flushes all.
    unsafe { Cr4::update(|cr4| cr4.remove(Cr4Flags::PAGE_GLOBAL)) };
    let root = PhysFrame::containing_address(PhysAddr::new(root().0));
    // SAFETY: the tables map all that the running code uses: the kernel, and a stack in the HHDM or in STACKS.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
}

/// The root of the kernel's tables.
///
/// # Panics
///
/// Before [`init`].
pub fn root() -> Frame {
    *ROOT.get().expect("the kernel has tables")
}

fn new_table() -> Frame {
    let table = frames::alloc(FrameSize::Small).unwrap_or_else(|| crate::exit::no_memory(PAGE_SIZE));
    // Relaxed, here and below: the other CPUs load a root after all of this, started by an interrupt.
    frames::words(table).iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    table
}

/// The entry of the last level for `at` below `root`, with every table above it made if need be.
fn entry(root: Frame, at: u64) -> &'static Word {
    let mut table = root;
    for level in (2..=4).rev() {
        let slot = &frames::words(table)[index(VirtAddr(at), level)];
        let found = slot.load(Ordering::Relaxed);
        table = if found & Flags::PRESENT.bits() != 0 {
            Frame(found & ADDRESS)
        } else {
            let new = new_table();
            slot.store(new.0 | TABLE.bits(), Ordering::Relaxed);
            new
        };
    }
    &frames::words(table)[index(VirtAddr(at), 1)]
}

/// Maps the page `at` below `root`. No flush is due: what was not present is in no TLB.
///
/// # Errors
///
/// What is mapped there already; it stays.
pub fn map(root: Frame, at: u64, physical: u64, flags: Flags) -> Result<(), AlreadyMapped> {
    let slot = entry(root, at);
    let found = slot.load(Ordering::Relaxed);
    if found & Flags::PRESENT.bits() != 0 {
        return Err(AlreadyMapped { physical: found & ADDRESS });
    }
    slot.store(physical | flags.bits(), Ordering::Relaxed);
    // The compiler does not know that what is done at the address depends on the entry.
    compiler_fence(Ordering::SeqCst);
    Ok(())
}

/// Maps what is not mapped yet.
fn map_new(at: u64, physical: u64, flags: Flags) {
    if let Err(AlreadyMapped { physical: found }) = map(root(), at, physical, flags) {
        panic!("{at:#x} was to lead to {physical:#x}, and leads to {found:#x}");
    }
}

/// Maps physical memory where the HHDM has it: what the memory map names, and firmware's tables, which no allocation comes
/// from. They may begin and end within the same page.
pub fn map_physical(base: u64, length: u64) {
    for physical in (base & !(PAGE_SIZE - 1)..base + length).step_by(PAGE_SIZE as usize) {
        let at = frames::address_of(physical) as u64;
        match map(root(), at, physical, DATA) {
            Err(AlreadyMapped { physical: found }) if found != physical => {
                panic!("{at:#x} was to lead to {physical:#x}, and leads to {found:#x}")
            }
            _ => {}
        }
    }
}

/// Maps stack number `index`. Below its lower end nothing is mapped.
pub fn map_stack(index: u64) {
    let (physical, bottom) = (frames::set_aside(STACK_BYTES), stack_top(index) - STACK_BYTES);
    for offset in (0..STACK_BYTES).step_by(PAGE_SIZE as usize) {
        map_new(bottom + offset, physical + offset, DATA);
    }
}

/// The upper end of stack number `index`.
pub fn stack_top(index: u64) -> u64 {
    STACKS + (index + 1) * (STACK_PAGES + 1) * PAGE_SIZE
}

/// Whether an access to `at` has run over the lower end of a stack.
pub fn is_stack_guard(at: u64) -> bool {
    let stride = (STACK_PAGES + 1) * PAGE_SIZE;
    (STACKS..WINDOW).contains(&at) && (at - STACKS) % stride < PAGE_SIZE
}

/// Maps a page of device registers, uncached.
pub fn map_device(physical: u64) -> u64 {
    let at = DEVICES + (physical & 0xffff_f000);
    map_new(at, physical, DATA | Flags::NO_CACHE | Flags::WRITE_THROUGH);
    at
}

/// A root for code that turns paging on: the kernel's half, and in the lower half the page at `physical` alone, at its own
/// address, to be executed and not to be written. It stays, for a CPU that stays there. The kernel's own root has no lower
/// half.
pub fn root_with_identity_page(physical: u64) -> Frame {
    let new = new_table();
    for (slot, kernel) in frames::words(new).iter().zip(frames::words(root())).skip(ENTRIES / 2) {
        slot.store(kernel.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    map(new, physical, physical, Flags::PRESENT).expect("its lower half is empty");
    new
}
