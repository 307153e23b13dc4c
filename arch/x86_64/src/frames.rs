//! Physical memory: frames of 4 KiB and 2 MiB, their descriptors, and how to get at them.
//!
//! Small frames are taken from the low end of the memory map, huge ones from the high end; what comes back goes
//! on a list that runs through the frames themselves.
//!
//! A frame is reached as atomic words, by every CPU at once ([`words`]). Memory that is used in another way, as heap, stack or
//! descriptor, is set aside ([`set_aside`]), and is no frame from then on.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
/// By frame: whether it is one of this allocator's.
static IS_FRAME: Once<&'static [AtomicBool]> = Once::new();

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

/// Takes over the memory map. Returns the physical address of a page below 1 MiB that is set aside, for code that starts in
/// real mode.
///
/// # Panics
///
/// If there is none.
pub fn init(hhdm: u64, regions: impl Iterator<Item = Region>) -> u64 {
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
    let low = set_aside(PAGE_SIZE);
    assert!(low < 1 << 20, "no free memory below 1 MiB to start the other CPUs from");
    let count = (end / PAGE_SIZE) as usize;
    let pages = make(count, Page::free);
    let is_frame = make(count, || AtomicBool::new(false));
    for (first, end) in &FREE.lock().untouched {
        is_frame[index(*first)..index(*end)].iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
    }
    PAGES.call_once(|| pages);
    IS_FRAME.call_once(|| is_frame);
    low
}

/// So many of something, for good.
fn make<T>(count: usize, new: impl Fn() -> T) -> &'static [T] {
    let first = carve((count * size_of::<T>()) as u64).cast::<T>();
    for index in 0..count {
        // SAFETY: `carve` gave page-aligned memory for `count` of them to this caller alone.
        unsafe { first.wrapping_add(index).write(new()) };
    }
    // SAFETY: the loop has written all of them, and no other code has the memory.
    unsafe { core::slice::from_raw_parts(first, count) }
}

/// Memory for good, from the low end, that is no frame: its physical address, a multiple of the page size.
pub fn set_aside(bytes: u64) -> u64 {
    let taken = FREE.lock().take_low(bytes);
    let Frame(first) = taken.unwrap_or_else(|| crate::exit::no_memory(bytes));
    if let Some(is_frame) = IS_FRAME.get() {
        let range = index(first)..index((first + bytes).next_multiple_of(PAGE_SIZE));
        // Relaxed: what reaches the memory in another way learns of it from this caller.
        is_frame[range].iter().for_each(|flag| flag.store(false, Ordering::Relaxed));
    }
    first
}

/// The same, by where it is mapped. Its contents are undefined.
pub fn carve(bytes: u64) -> *mut u8 {
    address_of(set_aside(bytes))
}

/// The bytes that were never handed out.
pub fn untouched() -> u64 {
    FREE.lock().untouched.iter().map(|(first, end)| end - first).sum()
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

/// Where physical memory is mapped.
pub fn address_of(physical: u64) -> *mut u8 {
    (HHDM.load(Ordering::Relaxed) + physical) as *mut u8
}

/// The words of a frame.
///
/// # Panics
///
/// If it is none of this allocator's.
#[inline]
pub fn words(frame: Frame) -> &'static [Word; ENTRIES] {
    let is_frame = IS_FRAME.get().expect("memory was taken over").get(index(frame.0));
    // Relaxed: a CPU that has the frame was given it after its flag was set.
    let is_frame = is_frame.is_some_and(|flag| flag.load(Ordering::Relaxed));
    assert!(is_frame && frame.0.is_multiple_of(PAGE_SIZE), "{frame:?} is no frame");
    // SAFETY: free memory that `init` took over and that was not set aside (checked): a whole page, mapped for good, first by
    // the bootloader and then by `paging`. Its memory is reached through references like this one alone, of which there may
    // be many, because the words are atomic; and by the MMU, as a table or as what a table maps.
    unsafe { &*address_of(frame.0).cast::<[Word; ENTRIES]>() }
}

/// Which frame physical memory is in.
fn index(physical: u64) -> usize {
    (physical / PAGE_SIZE) as usize
}

fn pages() -> &'static [Page] {
    PAGES.get().expect("memory was taken over")
}

/// The descriptor of a frame.
pub fn page(frame: Frame) -> &'static Page {
    &pages()[index(frame.0)]
}

/// Copies a frame.
pub fn copy(from: Frame, to: Frame) {
    for (from, to) in words(from).iter().zip(words(to)) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
