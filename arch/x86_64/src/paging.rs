//! The kernel's own page tables: physical memory, the kernel's sections with their rights, stacks and devices.
//!
//! Physical memory is mapped by 4 KiB pages. An `invlpg` inside a large page that was touched makes QEMU flush
//! the whole TLB, and would hide the missing flush that a test wants to see.
//!
//! All of it is done before the first mm is made: mms share the upper half by copying its top level.

use core::sync::atomic::Ordering;

use gupsync::mm::page_table::{self, Entry};
use gupsync::types::{Frame, FrameSize, PAGE_SIZE};
use spin::{Mutex, Once};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr3, Cr3Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::structures::paging::mapper::MapToError;
use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageTable, PageTableFlags as Flags, PhysFrame, Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

use crate::boot::{BootInfo, Region};
use crate::frames;

/// Where stacks are mapped, each above an unmapped page.
const STACKS: u64 = 0xffff_e000_0000_0000;
const STACK_PAGES: u64 = 16;
/// The one page of the kernel's range that changes.
pub const WINDOW: u64 = 0xffff_e400_0000_0000;
/// The pages that are mapped there, in turn: an old one is not written again at once.
const WINDOW_PAGES: usize = 4;
/// Where device registers are mapped.
const DEVICES: u64 = 0xffff_e800_0000_0000;

const DATA: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::NO_EXECUTE);

static TABLES: Once<Mutex<OffsetPageTable<'static>>> = Once::new();
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

struct Frames;

// SAFETY: `frames::alloc` hands each frame out once.
unsafe impl FrameAllocator<Size4KiB> for Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        frames::alloc(FrameSize::Small).map(|frame| PhysFrame::containing_address(PhysAddr::new(frame.0)))
    }
}

/// Builds the tables and goes over to them.
pub fn init(boot: &BootInfo, regions: impl Iterator<Item = Region>) {
    let root = frames::alloc(FrameSize::Small).expect("memory for the root");
    frames::words(root).iter().for_each(|slot| slot.store(Entry(0).0, Ordering::Relaxed));
    // SAFETY: the frame is this function's own and zeroed; from here on only `TABLES` writes to it.
    let level_4 = unsafe { &mut *frames::address(root).cast::<PageTable>() };
    // SAFETY: the bootloader maps all memory at `boot.hhdm`, and so will these tables.
    let tables = unsafe { OffsetPageTable::new(level_4, VirtAddr::new(boot.hhdm)) };
    ROOT.call_once(|| root);
    TABLES.call_once(|| Mutex::new(tables));

    for region in regions {
        map_physical(region.base, region.length);
    }
    let parts = [
        (&raw const __text_start, &raw const __text_end, Flags::PRESENT),
        (&raw const __rodata_start, &raw const __rodata_end, Flags::PRESENT | Flags::NO_EXECUTE),
        (&raw const __data_start, &raw const __data_end, DATA),
    ];
    for (start, end, flags) in parts {
        for at in (start as u64..end as u64).step_by(PAGE_SIZE as usize) {
            map(at, at.wrapping_add(boot.kernel_offset), flags);
        }
    }
    let window = WINDOW_FRAMES.call_once(|| {
        core::array::from_fn(|_| frames::alloc(FrameSize::Small).expect("memory for the window"))
    });
    window.iter().for_each(|frame| frames::words(*frame)[0].store(0, Ordering::Relaxed));
    map(WINDOW, window[0].0, DATA);
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
    let at = gupsync::types::VirtAddr(WINDOW);
    let below = |table, level| {
        Entry(frames::words(table)[page_table::index(at, level)].load(Ordering::Relaxed)).frame()
    };
    let table = [4, 3, 2].into_iter().fold(root(), below);
    // Release: a CPU that reads the new entry finds the page written.
    frames::words(table)[page_table::index(at, 1)].store(frame.0 | DATA.bits(), Ordering::Release);
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

fn map(at: u64, physical: u64, flags: Flags) {
    let page = Page::<Size4KiB>::containing_address(VirtAddr::new(at));
    let frame = PhysFrame::containing_address(PhysAddr::new(physical));
    let mut tables = TABLES.get().expect("tables").lock();
    // SAFETY: called with memory of the memory map, for the HHDM; the kernel's sections, with the rights they were
    // linked for; frames just allocated; device registers. None of it breaks what Rust knows about.
    match unsafe { tables.map_to(page, frame, flags, &mut Frames) } {
        Ok(flush) => flush.flush(),
        Err(MapToError::PageAlreadyMapped(_)) => {}
        Err(error) => panic!("cannot map {at:#x}: {error:?}"),
    }
}

/// Maps physical memory where the HHDM has it. For memory that no allocation comes from: firmware's tables.
pub fn map_physical(base: u64, length: u64) {
    for at in (base & !(PAGE_SIZE - 1)..base + length).step_by(PAGE_SIZE as usize) {
        map(frames::address(Frame(at)) as u64, at, DATA);
    }
}

/// Maps stack number `index`. Below its lower end nothing is mapped.
pub fn map_stack(index: u64) {
    for page in 1..=STACK_PAGES {
        let frame = frames::alloc(FrameSize::Small).expect("memory for a stack");
        map(stack_top(index) - page * PAGE_SIZE, frame.0, DATA);
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
    map(at, physical, DATA | Flags::NO_CACHE | Flags::WRITE_THROUGH);
    at
}

/// Runs `body` while the page at `frame` is mapped at its own physical address, executable: for code that turns
/// paging on.
pub fn with_identity_page(frame: Frame, body: impl FnOnce()) {
    map(frame.0, frame.0, Flags::PRESENT | Flags::WRITABLE);
    body();
    let page = Page::<Size4KiB>::containing_address(VirtAddr::new(frame.0));
    let mut tables = TABLES.get().expect("tables").lock();
    let (_, flush) = tables.unmap(page).expect("it was mapped above");
    flush.flush();
    // The upper tables of the lower half stay, and map nothing; mms have a lower half of their own.
}
