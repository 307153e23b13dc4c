//! The page tables the kernel starts on.
//!
//! They map the higher half direct map (the first 4 GiB, and above that every GiB with memory in
//! it that is neither reserved nor bad, all readable, writable and executable) and the kernel at
//! its own addresses with its own permissions. Nothing else: every address below the higher half
//! faults. Caching is write-back throughout, through PAT entry 0.
//!
//! Tables come from a pool in identity-mapped memory, so a table's physical address and its place
//! in the pool follow from each other and the tables can be walked without raw pointers.

use crate::elf::Executable;
use crate::memory_map::{Kind, Region};
use crate::{HHDM, PAGE};
use core::fmt;

/// One page table.
pub type Table = [u64; 512];

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const GIB: u64 = 1 << 30;
const MIB_2: u64 = 1 << 21;

/// How many bytes an entry of a table of each level covers, root first.
const SPAN: [u64; 4] = [1 << 39, GIB, MIB_2, PAGE];

/// The direct map ends where the kernel's 512 GiB, the last, begin.
const DIRECT_LIMIT: u64 = u64::MAX - SPAN[0] + 1 - HHDM;

/// Memory lies too high for the direct map.
#[derive(Debug, PartialEq, Eq)]
pub struct TooHigh(pub u64);

impl fmt::Display for TooHigh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(end) = self;
        write!(f, "memory reaches up to {end:#x}, beyond the direct map; give the machine less")
    }
}

/// What the tables are to map.
#[derive(Debug)]
pub struct Layout<'a> {
    /// The memory map.
    pub regions: &'a [Region],
    /// Whether the direct map uses pages of 1 GiB, or else of 2 MiB.
    pub gib_pages: bool,
    /// The kernel.
    pub executable: &'a Executable<'a>,
    /// The physical address of the kernel's image.
    pub image: u64,
}

/// The physical addresses of the root tables.
#[derive(Debug)]
pub struct Roots {
    /// For the kernel.
    pub kernel: u64,
    /// For the way there: as for the kernel, but with the firmware's lower half.
    pub transition: u64,
}

impl Layout<'_> {
    /// How many tables are enough.
    pub fn tables_needed(&self) -> Result<usize, TooHigh> {
        let top = self.direct_regions().map(|r| r.end).max();
        let top = top.unwrap_or_default().max(4 * GIB);
        if top > DIRECT_LIMIT {
            return Err(TooHigh(top));
        }
        let roots = 2;
        let direct_gibs = top.div_ceil(SPAN[0]) as usize;
        let direct_2_mib = if self.gib_pages { 0 } else { self.direct_gibs().count() };
        // One table for 512 GiB, two for the 2 GiB the kernel can be in, one for every 2 MiB, and
        // two for what the image has of a 2 MiB stretch at each end.
        let kernel = 1 + 2 + (self.executable.size / MIB_2) as usize + 2;
        Ok(roots + direct_gibs + direct_2_mib + kernel)
    }

    /// Builds the tables in `pool`, which lies at physical address `base`.
    ///
    /// # Panics
    ///
    /// If the pool has fewer tables than [`Self::tables_needed`] says.
    pub fn build(&self, pool: &mut [Table], base: u64, firmware: &Table) -> Roots {
        let mut tables = Tables { pool, base, used: 0 };
        let kernel = tables.allocate();
        let direct_level = if self.gib_pages { 1 } else { 2 };
        for gib in self.direct_gibs() {
            tables.map(HHDM + gib, gib, GIB, direct_level, WRITABLE);
        }
        for segment in &self.executable.segments {
            let start = segment.address & !(PAGE - 1);
            let size = segment.end().next_multiple_of(PAGE) - start;
            let write = if segment.write { WRITABLE } else { 0 };
            let no_execute = if segment.execute { 0 } else { NO_EXECUTE };
            let image = self.image + (start - self.executable.base);
            tables.map(start, image, size, 3, write | no_execute);
        }
        let transition = tables.allocate();
        let higher_half = tables.pool[kernel];
        tables.pool[transition][..256].copy_from_slice(&firmware[..256]);
        tables.pool[transition][256..].copy_from_slice(&higher_half[256..]);
        Roots { kernel: tables.address(kernel), transition: tables.address(transition) }
    }

    /// The regions the direct map has to cover, even above 4 GiB.
    fn direct_regions(&self) -> impl Iterator<Item = &Region> {
        let is_direct = |r: &&Region| !matches!(r.kind, Kind::Reserved | Kind::Bad);
        self.regions.iter().filter(is_direct)
    }

    /// The start of every GiB the direct map covers; some may occur twice.
    fn direct_gibs(&self) -> impl Iterator<Item = u64> {
        let low = (0..4 * GIB).step_by(GIB as usize);
        let high = self.direct_regions().flat_map(|r| {
            let start = r.base.max(4 * GIB) & !(GIB - 1);
            (start..r.end).step_by(GIB as usize)
        });
        low.chain(high)
    }
}

/// A tree under construction; the first table of the pool is its root.
struct Tables<'a> {
    pool: &'a mut [Table],
    base: u64,
    used: usize,
}

impl Tables<'_> {
    /// Maps with entries of the given level.
    fn map(&mut self, virt: u64, phys: u64, size: u64, level: usize, flags: u64) {
        let large = if level < 3 { LARGE } else { 0 };
        for offset in (0..size).step_by(SPAN[level] as usize) {
            *self.entry(virt + offset, level) = (phys + offset) | flags | large | PRESENT;
        }
    }

    /// The entry for `virt` in its table of the given level, which is made if need be.
    fn entry(&mut self, virt: u64, level: usize) -> &mut u64 {
        let slot = |level: usize| (virt / SPAN[level]) as usize % 512;
        let mut table = 0;
        for above in 0..level {
            let entry = self.pool[table][slot(above)];
            table = if entry & PRESENT != 0 {
                ((entry & ADDRESS) - self.base) as usize / size_of::<Table>()
            } else {
                let below = self.allocate();
                self.pool[table][slot(above)] = self.address(below) | WRITABLE | PRESENT;
                below
            };
        }
        &mut self.pool[table][slot(level)]
    }

    fn allocate(&mut self) -> usize {
        let index = self.used;
        self.pool[index].fill(0);
        self.used += 1;
        index
    }

    fn address(&self, index: usize) -> u64 {
        self.base + (index * size_of::<Table>()) as u64
    }
}
