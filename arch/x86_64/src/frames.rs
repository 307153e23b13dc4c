//! Physical memory: frames of 4 KiB and 2 MiB, their descriptors, and how to get at them.
//!
//! Small frames are taken from the low end of the memory map, huge ones from the high end; what comes back goes
//! on a list that runs through the frames themselves.

use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use gupsync::atomic::AtomicU64 as Word;
use gupsync::mm::page_table::Entry;
use gupsync::page::Page;
use gupsync::types::{ENTRIES, Frame, FrameSize, HUGE_SIZE, PAGE_SIZE};
use spin::{Mutex, Once};

use crate::boot::Region;

/// Where physical memory is mapped. Set first thing, never changed.
static HHDM: AtomicU64 = AtomicU64::new(0);
static FREE: Mutex<Free> = Mutex::new(Free::new());
static PAGES: Once<&'static [Page]> = Once::new();

struct Free {
    /// What was never handed out, as (first, end).
    untouched: ArrayVec<(u64, u64), 128>,
    small: Option<Frame>,
    huge: Option<Frame>,
    /// Bytes that were allocated and not given back.
    in_use: u64,
}

impl Free {
    const fn new() -> Self {
        Free { untouched: ArrayVec::new_const(), small: None, huge: None, in_use: 0 }
    }

    fn list(&mut self, size: FrameSize) -> &mut Option<Frame> {
        match size {
            FrameSize::Small => &mut self.small,
            FrameSize::Huge => &mut self.huge,
        }
    }

    /// `bytes` from the low end, page-aligned.
    fn take_low(&mut self, bytes: u64) -> Option<Frame> {
        let (first, _) = self.untouched.iter_mut().find(|(first, end)| end - *first >= bytes)?;
        let taken = *first;
        *first += bytes.next_multiple_of(PAGE_SIZE);
        Some(Frame(taken))
    }

    fn take_huge(&mut self) -> Option<Frame> {
        let fits = |&(first, end): &(u64, u64)| {
            (end & !(HUGE_SIZE - 1)).checked_sub(HUGE_SIZE).is_some_and(|at| at >= first)
        };
        let (_, end) = self.untouched.iter_mut().rev().find(|region| fits(region))?;
        *end = (*end & !(HUGE_SIZE - 1)) - HUGE_SIZE;
        Some(Frame(*end))
    }
}

/// Takes over the memory map.
pub fn init(hhdm: u64, regions: impl Iterator<Item = Region>) {
    // Relaxed: the other CPUs start later, by an interrupt.
    HHDM.store(hhdm, Ordering::Relaxed);
    let mut free = FREE.lock();
    let mut end = 0;
    // Page 0 stays out: a frame at address 0 is a bug.
    for region in regions.filter(|region| region.usable) {
        let (first, last) = (
            region.base.max(PAGE_SIZE).next_multiple_of(PAGE_SIZE),
            (region.base + region.length) & !(PAGE_SIZE - 1),
        );
        if first < last && free.untouched.try_push((first, last)).is_ok() {
            end = end.max(last);
        }
    }
    drop(free);
    let count = (end / PAGE_SIZE) as usize;
    let descriptors = carve((count * size_of::<Page>()) as u64).cast::<Page>();
    for index in 0..count {
        // SAFETY: `carve` gave memory for `count` descriptors to this caller alone.
        unsafe { descriptors.wrapping_add(index).write(Page::free()) };
    }
    // SAFETY: the loop has written all of them, and no other code has the memory.
    PAGES.call_once(|| unsafe { core::slice::from_raw_parts(descriptors, count) });
}

/// Memory for good, mapped, contents undefined.
///
/// # Panics
///
/// If there is none.
pub fn carve(bytes: u64) -> *mut u8 {
    let Some(frame) = FREE.lock().take_low(bytes) else { crate::exit::no_memory(bytes) };
    address(frame)
}

/// The bytes that were never handed out.
pub fn untouched() -> u64 {
    FREE.lock().untouched.iter().map(|(first, end)| end - first).sum()
}

/// A frame below 1 MiB, for code that starts in real mode.
///
/// # Panics
///
/// If there is none.
pub fn alloc_below_1_mib() -> Frame {
    let frame = FREE.lock().take_low(PAGE_SIZE).expect("no memory at all");
    assert!(frame.0 < 1 << 20, "no free memory below 1 MiB to start the other CPUs from");
    frame
}

/// Allocates.
pub fn alloc(size: FrameSize) -> Option<Frame> {
    let mut free = FREE.lock();
    let frame = match (*free.list(size), size) {
        (Some(frame), _) => {
            let next = words(frame)[1].load(Ordering::Relaxed);
            *free.list(size) = (next != 0).then_some(Frame(next));
            frame
        }
        (None, FrameSize::Small) => free.take_low(PAGE_SIZE)?,
        (None, FrameSize::Huge) => free.take_huge()?,
    };
    free.in_use += bytes(size);
    Some(frame)
}

fn bytes(size: FrameSize) -> u64 {
    match size {
        FrameSize::Small => PAGE_SIZE,
        FrameSize::Huge => HUGE_SIZE,
    }
}

/// Bytes that were allocated and not given back.
pub fn in_use() -> u64 {
    FREE.lock().in_use
}

/// Gives back. Until it is reused, the first word is poison, as are all entries of a table taken out of use: what
/// reads it has come here by a translation, or an entry, that should have been gone.
pub fn free(frame: Frame, size: FrameSize) {
    let mut free = FREE.lock();
    let next = free.list(size).map_or(0, |frame| frame.0);
    words(frame)[0].store(Entry::POISON.0, Ordering::Relaxed);
    words(frame)[1].store(next, Ordering::Relaxed);
    *free.list(size) = Some(frame);
    free.in_use -= bytes(size);
}

/// Where a frame is mapped.
pub fn address(frame: Frame) -> *mut u8 {
    (HHDM.load(Ordering::Relaxed) + frame.0) as *mut u8
}

/// The words of a frame.
pub fn words(frame: Frame) -> &'static [Word; ENTRIES] {
    assert!(page_index(frame) < pages().len(), "{frame:?} is not memory");
    // SAFETY: the frame is RAM (checked), mapped in the HHDM for good. Frames of this allocator are only ever
    // accessed as atomic words, so no access conflicts.
    unsafe { &*address(frame).cast::<[Word; ENTRIES]>() }
}

fn page_index(frame: Frame) -> usize {
    (frame.0 / PAGE_SIZE) as usize
}

fn pages() -> &'static [Page] {
    PAGES.get().expect("memory was taken over")
}

/// The descriptor of a frame.
pub fn page(frame: Frame) -> &'static Page {
    &pages()[page_index(frame)]
}

/// Copies a frame.
pub fn copy(from: Frame, to: Frame) {
    for (from, to) in words(from).iter().zip(words(to)) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
