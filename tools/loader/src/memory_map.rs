//! The memory map the kernel receives.
//!
//! The result is sorted by address, no two regions overlap, neighbours of the same kind are one
//! region, and what the kernel may take over (usable and bootloader-reclaimable memory) is
//! page-aligned and leaves out the first page. The input need have none of these properties: where
//! regions overlap, the kind with the stronger claim wins.
//!
//! The firmware's map is final only once the boot services, and with them the heap, are gone.
//! [`Builder`] therefore takes all the memory it needs when it is made.

use crate::PAGE;
use alloc::vec::Vec;

/// What memory is for, with the protocol's numbers; a later variant wins where regions overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Free memory.
    Usable,
    /// What the loader leaves behind: responses, stack, page tables.
    BootloaderReclaimable,
    /// ACPI tables.
    AcpiReclaimable,
    /// ACPI storage.
    AcpiNvs,
    /// Everything else.
    Reserved,
    /// Memory reported broken.
    Bad,
    /// The kernel's image and file.
    ExecutableAndModules,
}

/// A range of physical memory of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The physical address of the first byte.
    pub base: u64,
    /// The address after the last byte.
    pub end: u64,
    /// What it is for.
    pub kind: Kind,
}

/// Collects regions and puts them in order without allocating.
#[derive(Debug)]
pub struct Builder {
    capacity: usize,
    regions: Vec<Region>,
    edges: Vec<u64>,
}

impl Kind {
    /// The protocol's number for this kind.
    pub fn number(self) -> u64 {
        match self {
            Self::Usable => 0,
            Self::Reserved => 1,
            Self::AcpiReclaimable => 2,
            Self::AcpiNvs => 3,
            Self::Bad => 4,
            Self::BootloaderReclaimable => 5,
            Self::ExecutableAndModules => 6,
        }
    }

    /// Whether the kernel may at some point use this memory as it likes.
    fn is_free(self) -> bool {
        matches!(self, Self::Usable | Self::BootloaderReclaimable)
    }
}

impl Region {
    /// The region as the kernel may see it, if anything is left of it.
    fn trimmed(self) -> Option<Self> {
        if !self.kind.is_free() {
            return Some(self);
        }
        let base = self.base.max(PAGE).checked_next_multiple_of(PAGE)?;
        let end = self.end & !(PAGE - 1);
        (base < end).then_some(Self { base, end, ..self })
    }
}

impl Builder {
    /// Room for `capacity` regions.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { capacity, regions: Vec::with_capacity(capacity), edges: Vec::with_capacity(2 * capacity) }
    }

    /// The most regions [`Self::build`] can yield.
    pub fn max_output(&self) -> usize {
        2 * self.capacity
    }

    /// Adds a region; empty ones are ignored.
    ///
    /// # Panics
    ///
    /// If there is no room for it.
    pub fn add(&mut self, region: Region) {
        if region.base < region.end {
            let room = self.regions.len() < self.capacity;
            assert!(room, "more memory regions than there is room for");
            self.regions.push(region);
        }
    }

    /// Yields the regions in order.
    ///
    /// Between two neighbouring edges the set of covering regions is constant, so the strongest
    /// kind is decided once per such stretch, and equal stretches that touch are joined.
    pub fn build(&mut self, mut emit: impl FnMut(Region)) {
        let Self { regions, edges, .. } = self;
        edges.clear();
        edges.extend(regions.iter().flat_map(|r| [r.base, r.end]));
        edges.sort_unstable();
        let mut pending: Option<Region> = None;
        for pair in edges.windows(2) {
            let (base, end) = (pair[0], pair[1]);
            let covers = |r: &&Region| r.base <= base && end <= r.end;
            let strongest = regions.iter().filter(covers).map(|r| r.kind).max();
            let Some(kind) = strongest.filter(|_| base < end) else {
                continue;
            };
            match &mut pending {
                Some(last) if last.end == base && last.kind == kind => last.end = end,
                _ => {
                    let done = pending.replace(Region { base, end, kind });
                    done.and_then(Region::trimmed).into_iter().for_each(&mut emit);
                }
            }
        }
        pending.and_then(Region::trimmed).into_iter().for_each(emit);
    }
}
