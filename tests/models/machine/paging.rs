//! The pages of a model, and which of them a TLB forgets.

use gupsync::mm::page_table::{self, Entry};
use gupsync::types::{Asid, Frame, FrameSize, Invlpgb, LOCAL_ASIDS, Range, VirtAddr};

use super::VA;

/// The pages that CPUs use, one after the other from [`VA`], and the TLBs that hold them. Tables have as many entries.
#[derive(Clone, Copy)]
pub struct Paging {
    pub pages: usize,
    pub size: FrameSize,
    /// The most pages that one INVLPGB takes.
    pub invlpgb_max: u64,
    /// Whether a CPU keeps the root's entry too, that leads to all pages, and looks up by it what it does not keep: a
    /// paging-structure cache. Whatever a TLB is told to forget, it forgets that entry with it.
    pub upper: bool,
}

/// How many local ASIDs the models use, and how many global ones.
const LOCAL: u64 = 3;
const GLOBAL: u64 = 3;
pub(super) const ASIDS: u64 = LOCAL + GLOBAL;

/// The number of an ASID here: local ones first.
pub(super) fn number(asid: Asid) -> u64 {
    let gap = if asid.is_global() { LOCAL_ASIDS as u64 - LOCAL } else { 0 };
    asid.word() - gap
}

/// The numbers of global ones.
#[cfg(loom)]
pub(super) fn global() -> std::ops::Range<u64> {
    LOCAL..ASIDS
}

impl Paging {
    /// One page of 4 KiB.
    pub const ONE: Paging = Paging { pages: 1, size: FrameSize::Small, invlpgb_max: 1, upper: false };

    /// The address of a page.
    pub fn va(self, page: usize) -> VirtAddr {
        VirtAddr(VA.0 + page as u64 * self.size.bytes())
    }

    /// So many pages, `first` the first of them.
    pub fn range(self, first: usize, pages: u64) -> Range {
        Range::Pages { start: self.va(first), pages, size: self.size }
    }

    /// The pages that a TLB forgets with `range`, and it forgets no more than it is told: those that hold an address to
    /// which the stride comes.
    fn named_by(self, range: Range) -> impl Iterator<Item = usize> {
        let holds = move |page: usize, va: u64| (va - VA.0) / self.size.bytes() == page as u64;
        (0..self.pages).filter(move |page| match range {
            Range::All => true,
            Range::Pages { start, pages, size } => {
                (0..pages).any(|beyond| holds(*page, start.0 + beyond * size.bytes()))
            }
        })
    }

    /// Where a TLB holds a page that was looked up under `asid`: one of [`Paging::places`].
    pub(super) fn place(self, asid: u64, page: usize) -> usize {
        asid as usize * self.pages + page
    }

    /// Where it holds the root's entry, if it does.
    pub(super) fn upper_place(self, asid: u64) -> Option<usize> {
        self.upper.then_some(ASIDS as usize * self.pages + asid as usize)
    }

    /// How many places a TLB has.
    pub(super) fn places(self) -> usize {
        ASIDS as usize * (self.pages + usize::from(self.upper))
    }

    /// The places that hold `range` of `asid`.
    pub(super) fn places_of(self, asid: u64, range: Range) -> impl Iterator<Item = usize> {
        self.named_by(range).map(move |page| self.place(asid, page)).chain(self.upper_place(asid))
    }

    /// The places that an INVLPGB empties, a bit each.
    pub(super) fn emptied_by(self, what: Invlpgb) -> u64 {
        match what {
            Invlpgb::Of { asid, range } => {
                self.places_of(number(asid), range).fold(0, |bits, place| bits | 1 << place)
            }
            Invlpgb::NonGlobal | Invlpgb::Everything => (1 << self.places()) - 1,
        }
    }

    /// Whether an INVLPGB may be told so many pages: hardware faults on more.
    pub(super) fn takes(self, what: Invlpgb) -> bool {
        !matches!(what, Invlpgb::Of { range: Range::Pages { pages, .. }, .. } if pages > self.invlpgb_max)
    }

    /// The entry that maps a page, as an MMU finds it that has loaded `root`: `read` has the entries of a table.
    pub(super) fn look_up(
        self,
        root: Frame,
        page: usize,
        read: impl Fn(Frame, usize) -> Entry,
    ) -> Option<Entry> {
        let va = self.va(page);
        (1..=4).rev().try_fold(Entry::to(root, va), |above, level| {
            let is_last = above.is_huge();
            let entry = if is_last { above } else { read(above.frame(), page_table::index(va, level)) };
            entry.is_present().then_some(entry)
        })
    }
}

/// The places that have their bit.
pub(super) fn each_place(bits: u64) -> impl Iterator<Item = usize> {
    (0..u64::BITS as usize).filter(move |place| bits >> place & 1 != 0)
}
