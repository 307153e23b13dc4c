//! A TLB that keeps what it knows until it is told to forget, and forgets no more than it is told.
//!
//! Hardware may forget at any time, and more than it is told. What a TLB may hold at worst is what this one does hold, so
//! a flush that was too narrow is always seen.

use std::collections::BTreeMap;

use gupsync::types::{Asid, Frame, FrameSize, HUGE_SIZE, PAGE_SIZE, Range, VirtAddr};

/// A page that the tables map: by its size and its number among the pages of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Page {
    is_huge: bool,
    number: u64,
}

impl Page {
    /// The page of this size that holds `va`.
    pub fn holding(va: VirtAddr, size: FrameSize) -> Self {
        Page { is_huge: size == FrameSize::Huge, number: va.0 / size.bytes() }
    }

    /// Whether `pages` pages of `size` from `start` are its kind, and it is one of them.
    pub fn is_among(self, start: VirtAddr, pages: u64, size: FrameSize) -> bool {
        let first = Page::holding(start, size);
        self.is_huge == first.is_huge && (first.number..first.number + pages).contains(&self.number)
    }
}

/// What a TLB holds of a page: whose tables it was read from, and which state of the entry was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The root of the tables.
    pub root: Frame,
    /// The step in which the entry had last been changed.
    pub changed: u64,
}

/// The TLB of one CPU.
#[derive(Default)]
pub struct Tlb(BTreeMap<(u64, Page), Translation>);

impl Tlb {
    /// Uses `page` under `asid`; what is not there is read from the tables.
    pub fn touch(&mut self, asid: Asid, page: Page, read: Translation) {
        self.0.entry((asid.word(), page)).or_insert(read);
    }

    /// All that may be used under `asid`.
    pub fn of(&self, asid: Asid) -> impl Iterator<Item = (Page, Translation)> + '_ {
        let of_asid = self.0.iter().filter(move |((tag, _), _)| *tag == asid.word());
        of_asid.map(|((_, page), translation)| (*page, *translation))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets `range` of `asid`: for each address that the stride comes to, the page that holds it, whatever its size.
    pub fn forget(&mut self, asid: Asid, range: Range) {
        match range {
            Range::All => self.0.retain(|(tag, _), _| *tag != asid.word()),
            Range::Pages { start, pages, size } => {
                for va in (0..pages).map(|page| start.0 + page * size.bytes()) {
                    let small = Page { is_huge: false, number: va / PAGE_SIZE };
                    let huge = Page { is_huge: true, number: va / HUGE_SIZE };
                    for page in [small, huge] {
                        self.0.remove(&(asid.word(), page));
                    }
                }
            }
        }
    }
}

/// A way in which a TLB is told to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flushed {
    /// By its own CPU: all, or some pages.
    Locally(Extent),
    /// By its own CPU: everything.
    LocallyEverything,
    /// By a hypervisor, on the CPUs that it was told: everything.
    ByHypercall,
    /// By INVLPGB: all or some pages of an ASID.
    Broadcast(Extent),
    /// By INVLPGB: everything.
    Everything,
}

/// How much it is told to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// All.
    All,
    /// Pages of 4 KiB.
    Small,
    /// Pages of 2 MiB.
    Huge,
}

impl From<Range> for Extent {
    fn from(range: Range) -> Self {
        match range {
            Range::All => Extent::All,
            Range::Pages { size: FrameSize::Small, .. } => Extent::Small,
            Range::Pages { size: FrameSize::Huge, .. } => Extent::Huge,
        }
    }
}
