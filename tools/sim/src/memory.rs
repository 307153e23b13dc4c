//! Memory: frames that come into being when they are first used.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, OnceLock};

use gupsync::atomic::AtomicU64;
use gupsync::mm::page_table::Entry;
use gupsync::page::Page;
use gupsync::types::{ENTRIES, Frame, FrameSize, PAGE_SIZE};

/// Frames of 4 KiB that are handed out one by one, the kernel's root the first of them; and after them those that are
/// handed out as 2 MiB.
const SMALL: usize = 1 << 17;
const HUGE: usize = 256;

const UNPOISONED: &str = "nothing panics while holding it";

struct Kept {
    words: [AtomicU64; ENTRIES],
    page: Page,
}

impl Kept {
    fn new() -> Box<Self> {
        Box::new(Kept { words: std::array::from_fn(|_| AtomicU64::new(0)), page: Page::free() })
    }
}

/// What was given back, the last first, and how many were never handed out.
struct Free {
    list: Vec<Frame>,
    untouched: std::ops::Range<usize>,
    /// In frames of 4 KiB.
    step: usize,
}

impl Free {
    fn take(&mut self) -> Option<Frame> {
        let step = self.step;
        self.list.pop().or_else(|| {
            let next = self.untouched.next()?;
            self.untouched.start = next + step;
            Some(Frame(next as u64 * PAGE_SIZE))
        })
    }
}

/// All memory.
pub(crate) struct Memory {
    frames: Box<[OnceLock<Box<Kept>>]>,
    small: Mutex<Free>,
    huge: Mutex<Free>,
}

impl Memory {
    pub(crate) const KERNEL_ROOT: Frame = Frame(0);

    pub(crate) fn new() -> Self {
        let end = SMALL + HUGE * ENTRIES;
        let free = |untouched, step| Mutex::new(Free { list: Vec::new(), untouched, step });
        Memory {
            frames: (0..end).map(|_| OnceLock::new()).collect(),
            small: free(1..SMALL, 1),
            huge: free(SMALL..end, ENTRIES),
        }
    }

    fn free_of(&self, size: FrameSize) -> &Mutex<Free> {
        match size {
            FrameSize::Small => &self.small,
            FrameSize::Huge => &self.huge,
        }
    }

    fn frame(&self, frame: Frame) -> &Kept {
        assert!(frame.0.is_multiple_of(PAGE_SIZE), "{frame:?} is no frame");
        self.frames[(frame.0 / PAGE_SIZE) as usize].get_or_init(Kept::new)
    }

    pub(crate) fn words(&self, frame: Frame) -> &[AtomicU64] {
        &self.frame(frame).words
    }

    pub(crate) fn page(&self, frame: Frame) -> &Page {
        &self.frame(frame).page
    }

    pub(crate) fn alloc(&self, size: FrameSize) -> Option<Frame> {
        self.free_of(size).lock().expect(UNPOISONED).take()
    }

    /// Gives back. Its first word is poison until it is reused: what reads it has come by a translation, or an entry, that
    /// should have been gone.
    pub(crate) fn free(&self, frame: Frame, size: FrameSize) {
        self.words(frame)[0].store(Entry::POISON.0, Relaxed);
        self.free_of(size).lock().expect(UNPOISONED).list.push(frame);
    }

    pub(crate) fn copy(&self, from: Frame, to: Frame) {
        for (from, to) in self.words(from).iter().zip(self.words(to)) {
            to.store(from.load(Relaxed), Relaxed);
        }
    }
}
