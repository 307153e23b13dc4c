//! The values that everything else speaks of: CPUs, mms, ASIDs, frames, addresses, ranges.

use core::fmt;

/// Entries of a page table.
pub const ENTRIES: usize = 512;
/// What one entry of the last level maps, in bytes.
pub const PAGE_SIZE: u64 = 4096;
/// What one PTE table maps, and one huge entry, in bytes.
pub const HUGE_SIZE: u64 = PAGE_SIZE * ENTRIES as u64;
/// The most mms that a world has: a round to all CPUs snapshots every one of them.
pub const MAX_MMS: usize = 32;

/// The local ASIDs of a CPU (Linux: `TLB_NR_DYN_ASIDS`).
pub const LOCAL_ASIDS: usize = 6;

/// The index of a CPU, from 0 up, dense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuId(pub usize);

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU {}", self.0)
    }
}

/// The number of an mm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmId(u64);

impl MmId {
    /// What a CPU has loaded when it has no mm: the kernel's own tables.
    pub const KERNEL: MmId = MmId(0);
    /// What `loaded_mm` holds while a CPU is between two mms. No mm has this number.
    pub const SWITCHING: MmId = MmId(u64::MAX);

    /// Number `id`, from 1 up.
    pub fn new(id: usize) -> Self {
        MmId(id as u64)
    }

    /// Its place in [`World::mms`](crate::world::World::mms).
    ///
    /// # Panics
    ///
    /// For the kernel, which is no mm.
    pub fn index(self) -> usize {
        assert!(self != MmId::KERNEL, "the kernel's tables are no mm");
        self.0 as usize - 1
    }

    /// Its number; 0 for the kernel.
    pub fn word(self) -> u64 {
        self.0
    }

    pub(crate) fn from_word(word: u64) -> Self {
        MmId(word)
    }
}

/// A set of mms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmSet(u64);

impl MmSet {
    /// No mm.
    pub const NONE: MmSet = MmSet(0);

    /// With `mm`.
    pub fn with(self, mm: MmId) -> Self {
        MmSet(self.0 | 1 << mm.index())
    }

    /// Whether `mm` is one of them; the kernel is not.
    pub fn contains(self, mm: MmId) -> bool {
        (1..=MAX_MMS as u64).contains(&mm.word()) && self.0 & 1 << mm.index() != 0
    }

    /// Both together.
    pub fn and(self, other: MmSet) -> Self {
        MmSet(self.0 | other.0)
    }

    pub(crate) fn word(self) -> u64 {
        self.0
    }

    pub(crate) fn from_word(word: u64) -> Self {
        MmSet(word)
    }
}

/// A tag of translations in the TLB: one of the [`LOCAL_ASIDS`] that each CPU gives to mms by itself, or a global one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asid(u64);

impl Asid {
    /// What every mm has that has no global one: on each CPU the local one that it is given there.
    pub const LOCAL: Asid = Asid(0);

    /// Local ASID number `index` of some CPU.
    pub(crate) fn local(index: usize) -> Self {
        Asid(index as u64)
    }

    /// Global ASID number `index`, from 0 up.
    pub(crate) fn global(index: usize) -> Self {
        Asid((LOCAL_ASIDS + index) as u64)
    }

    /// Whether INVLPGB can name it.
    pub fn is_global(self) -> bool {
        self.0 >= LOCAL_ASIDS as u64
    }

    /// The number of a local one.
    pub(crate) fn local_index(self) -> usize {
        self.0 as usize
    }

    /// The number of a global one.
    pub(crate) fn global_index(self) -> usize {
        self.0 as usize - LOCAL_ASIDS
    }

    /// Its number; below [`LOCAL_ASIDS`] for a local one.
    pub fn word(self) -> u64 {
        self.0
    }

    pub(crate) fn from_word(word: u64) -> Self {
        Asid(word)
    }
}

/// What becomes of what a TLB holds of an ASID when a root is loaded under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// It may be used further (Linux: `CR3_NOFLUSH`).
    Kept,
    /// It is forgotten.
    Dropped,
}

/// A virtual address in the lower half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VirtAddr(pub u64);

/// The physical address of a 4 KiB frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame(pub u64);

/// The size of a page, or of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSize {
    /// 4 KiB.
    Small,
    /// 2 MiB, aligned.
    Huge,
}

impl FrameSize {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        match self {
            FrameSize::Small => PAGE_SIZE,
            FrameSize::Huge => HUGE_SIZE,
        }
    }

    /// The level of the entries that map pages of this size.
    pub fn level(self) -> u32 {
        match self {
            FrameSize::Small => 1,
            FrameSize::Huge => 2,
        }
    }
}

/// A part of an address space whose translations are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All of it.
    All,
    /// `pages` pages from `start`.
    Pages {
        /// First address.
        start: VirtAddr,
        /// How many pages.
        pages: u64,
        /// How large they are.
        size: FrameSize,
    },
}

impl Range {
    /// `pages` pages of 4 KiB from `start`.
    pub fn small(start: VirtAddr, pages: u64) -> Self {
        Range::Pages { start, pages, size: FrameSize::Small }
    }
}

/// The operand of one INVLPGB instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invlpgb {
    /// Part or all of one address space.
    Of {
        /// Which.
        asid: Asid,
        /// What of it.
        range: Range,
    },
    /// Of every ASID, everything but global translations, which are the kernel's.
    NonGlobal,
    /// Everything, the kernel's translations too.
    Everything,
}
