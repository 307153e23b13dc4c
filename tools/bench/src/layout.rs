//! Where operations work: addresses, and which pages lie there.
//!
//! Of a range no more than [`PAGES`] pages are mapped: those at its ends, and around the most that are flushed one by
//! one. A flush that leaves out the first page or the last, or the 33rd of 33, is seen by a worker that touches it.

use crate::choice::Kind;
use crate::spec::{MAX_PAGES, MAX_RANGES, MAX_TABLES, Spec};
use gupsync::ops::exit::PUD_TABLE_SIZE;
use gupsync::ops::unshare::TABLE_SIZE;
use gupsync::types::{ENTRIES, FrameSize, HUGE_SIZE, PAGE_SIZE, VirtAddr};

/// How many pages of a range are mapped, at most, unless it is populated; the rest of it is holes.
pub(crate) const PAGES: u64 = 8;
/// How many 2 MiB pages a shared PMD table maps.
pub(crate) const SHARED_PAGES: u64 = 2;
/// How many turns a range stays mapped. At least two: in each turn the range of the one before is checked.
pub(crate) const LIVE: u64 = 4;
/// After so many turns addresses are used again: so many times [`MAX_RANGES`] shared tables fill one root entry.
const SPAN: u64 = 128;
/// Where PTE tables map their pages.
const SMALL_BASE: u64 = 0x80_0000_0000;
/// Where an mm has pages that no operation of its mutator touches.
pub(crate) const SIBLING: VirtAddr = VirtAddr(0x20_0000_0000);
/// Where pages are protected, small or huge.
const PROTECT_BASE: u64 = 0x40_0000_0000;
/// Where shared tables do.
const SHARED_BASE: u64 = 0x100_0000_0000;
/// How much further into its table the small pages lie that are protected in the next turn. QEMU's TLB is indexed by
/// page number: were the first page of each turn one and the same index, something of the kernel's with that index
/// could drop its translation in every turn, before the worker looks.
const SHIFT: u64 = 3 * PAGE_SIZE;
/// In the huge page that stands for all, the pages of shared tables; those that are protected come after them.
const OWN_OF_SHARED: u64 = LIVE * MAX_RANGES * SHARED_PAGES;

/// Whether the addresses of turn `turn` and later were used before: a worker must drop its translations now.
pub(crate) fn addresses_return(turn: u64) -> bool {
    turn.is_multiple_of(SPAN)
}

/// Place `index`, below [`PAGES`], in a range of `pages` pages that is mapped.
pub(crate) fn place(pages: u64, index: u64) -> u64 {
    const EDGES: [u64; PAGES as usize - 2] = [0, 1, 2, 31, 32, 33];
    match index {
        _ if pages <= PAGES => index % pages,
        6 => pages - 2,
        7 => pages - 1,
        index => EDGES[index as usize].min(pages - 1),
    }
}

/// What the ranges of a row have in them.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// How many tables an unmap or an unshare is about.
    pub(crate) tables: u64,
    /// How many ranges a collapse is about.
    pub(crate) ranges: u64,
    /// How many pages a protect is about.
    pub(crate) pages: u64,
    /// How large they are.
    pub(crate) size: FrameSize,
    /// Whether the tables of an unmap are full.
    populate: bool,
    /// Whether the upper tables go that shared tables are linked in.
    exits: bool,
}

impl Spec {
    /// What its ranges have in them.
    pub(crate) fn layout(&self) -> Layout {
        let size = if self.huge.is_on() { FrameSize::Huge } else { FrameSize::Small };
        Layout {
            tables: self.tables,
            ranges: self.ranges,
            pages: self.pages,
            size,
            populate: self.populate.is_on(),
            exits: self.exit.is_on(),
        }
    }
}

impl Layout {
    /// Where turn `turn` works.
    pub(crate) fn address(self, kind: Kind, turn: u64) -> VirtAddr {
        let (base, size) = match kind {
            // Each turn has a root entry of its own then. What lies 512 GiB apart has the same tag.
            Kind::Unshare if self.exits => (SHARED_BASE, PUD_TABLE_SIZE + MAX_RANGES * TABLE_SIZE),
            Kind::Unshare => (SHARED_BASE, MAX_RANGES * TABLE_SIZE),
            Kind::Protect if self.size == FrameSize::Small => (PROTECT_BASE, MAX_PAGES * HUGE_SIZE + SHIFT),
            Kind::Protect => (PROTECT_BASE, MAX_PAGES * HUGE_SIZE),
            Kind::Collapse | Kind::Unmap | Kind::Reclaim => (SMALL_BASE, MAX_TABLES * HUGE_SIZE),
        };
        VirtAddr(base + turn % SPAN * size)
    }

    /// How many pages a range of 4 KiB pages has.
    pub(crate) fn small_pages(self, kind: Kind) -> u64 {
        if kind == Kind::Protect { self.pages } else { ENTRIES as u64 }
    }

    /// Which pages are mapped, of a range that begins where the range of an operation begins, or one of its tables.
    pub(crate) fn places(self, kind: Kind) -> impl Iterator<Item = u64> {
        let pages = self.small_pages(kind);
        let is_full = self.populate && kind == Kind::Unmap;
        (0..if is_full { pages } else { PAGES })
            .map(move |index| if is_full { index } else { place(pages, index) })
    }

    /// The level of the tables that lead to pages.
    fn last_level(self, kind: Kind) -> u32 {
        let is_huge = kind == Kind::Unshare || kind == Kind::Protect && self.size == FrameSize::Huge;
        if is_huge { 2 } else { 1 }
    }

    /// The level of the tables in which walkers are held in turn `turn`: the last, or, in some turns with an exit, the PUD table.
    pub(crate) fn held_level(self, kind: Kind, turn: u64) -> u32 {
        if self.holds_above(kind, turn) { 3 } else { self.last_level(kind) }
    }

    /// Whether they are held in the PUD table, which goes last. In two turns of four: which mm is the last to leave, and whether
    /// it survives first, goes by turns too.
    pub(crate) fn holds_above(self, kind: Kind, turn: u64) -> bool {
        self.exits && kind == Kind::Unshare && (turn / 2).is_multiple_of(2)
    }

    /// Address of some page of turn `turn`. Each such address is stored at itself.
    pub(crate) fn page_of(self, kind: Kind, turn: u64, draw: u64) -> VirtAddr {
        let (start, tables) = (self.address(kind, turn).0, self.tables);
        let small = |draw| place(self.small_pages(kind), draw % PAGES) * PAGE_SIZE;
        match kind {
            Kind::Unshare => {
                let (table, page) = (draw % tables, draw / tables % SHARED_PAGES);
                // All huge pages are one and the same; each page of it stands for one address.
                let own = (turn % LIVE * MAX_RANGES + table) * SHARED_PAGES + page;
                VirtAddr(start + table * TABLE_SIZE + page * HUGE_SIZE + own * PAGE_SIZE)
            }
            Kind::Unmap => VirtAddr(start + draw % tables * HUGE_SIZE + small(draw / tables)),
            Kind::Collapse => VirtAddr(start + draw % self.ranges * HUGE_SIZE + small(draw / self.ranges)),
            Kind::Protect if self.size == FrameSize::Huge => {
                let page = place(self.pages, draw % PAGES);
                let own = OWN_OF_SHARED + turn % LIVE * MAX_PAGES + page;
                VirtAddr(start + page * HUGE_SIZE + own * PAGE_SIZE)
            }
            Kind::Protect | Kind::Reclaim => VirtAddr(start + small(draw)),
        }
    }
}

const _: () = assert!(SMALL_BASE + SPAN * MAX_TABLES * HUGE_SIZE <= SHARED_BASE, "ranges do not overlap");
const _: () = assert!(SHARED_BASE.is_multiple_of(PUD_TABLE_SIZE), "shared tables begin with a root entry");
const _: () = assert!(SPAN * MAX_RANGES * TABLE_SIZE <= PUD_TABLE_SIZE, "those of a turn have one root entry");
const _: () =
    assert!(SHARED_BASE + SPAN * (PUD_TABLE_SIZE + MAX_RANGES * TABLE_SIZE) <= 1 << 47, "in the lower half");
const _: () = assert!(OWN_OF_SHARED + LIVE * MAX_PAGES <= ENTRIES as u64, "one huge page has room for all");
const _: () =
    assert!((SPAN - 1) * SHIFT + MAX_PAGES * PAGE_SIZE <= HUGE_SIZE, "protected pages are in one table");

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Kind, LIVE, MAX_PAGES, PAGES, SPAN, Spec, place};
    use gupsync::mm::page_table::{self, Entry};
    use gupsync::types::{ENTRIES, Frame, MmId};

    #[test]
    fn a_turn_with_an_exit_has_a_root_entry_and_marks_of_its_own() {
        let spec: Spec = "workload=unshare exit=on tables=4".parse().expect("a spec");
        let layout = spec.layout();
        let mut roots: Vec<_> =
            (0..SPAN).map(|turn| page_table::index(layout.address(Kind::Unshare, turn), 4)).collect();
        for turn in 0..SPAN {
            for (table, page) in (0..4).flat_map(|table| [0, 1].map(|page| (table, page))) {
                let at = |turn| layout.page_of(Kind::Unshare, turn, table + 4 * page);
                assert_eq!(page_table::index(at(turn), 4), roots[turn as usize]);
                let entry = Entry::to(Frame(0), at(turn));
                assert!((1..=LIVE).all(|later| !entry.is_of(at(turn + later), MmId::new(1))), "{turn}");
            }
        }
        roots.dedup();
        assert!(roots.len() == SPAN as usize && roots.iter().all(|root| *root < ENTRIES / 2), "{roots:?}");
    }

    #[test]
    fn the_pages_at_the_edges_of_a_range_are_mapped() {
        for pages in (1..=MAX_PAGES).chain([ENTRIES as u64]) {
            let places: Vec<_> = (0..PAGES).map(|index| place(pages, index)).collect();
            assert!(places.iter().all(|place| *place < pages), "{pages}: {places:?}");
            // The first, the 32nd to the 34th, and the last.
            for edge in [0, 31, 32, 33, pages - 1].into_iter().filter(|edge| *edge < pages) {
                assert!(places.contains(&edge), "{edge} of {pages}: {places:?}");
            }
        }
    }
}
