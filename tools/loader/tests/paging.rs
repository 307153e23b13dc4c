//! The page tables, walked the way the CPU does.

use gupsync_loader::HHDM;
use gupsync_loader::elf::{Executable, Segment};
use gupsync_loader::memory_map::{Kind, Region};
use gupsync_loader::paging::{Layout, Roots, Table, TooHigh};

const POOL: u64 = 0x7654_3000;
const IMAGE: u64 = 0x1234_5000;
const KERNEL: u64 = 0xffff_ffff_8000_0000;
const GIB: u64 = 1 << 30;

/// A mapping: physical address, writable, executable, size of the page.
type Mapping = (u64, bool, bool, u64);

/// Tables built in a pool of exactly the size asked for.
struct Built {
    pool: Vec<Table>,
    roots: Roots,
}

impl Built {
    fn new(regions: &[Region], gib_pages: bool, executable: &Executable, firmware: &Table) -> Self {
        let layout = Layout { regions, gib_pages, executable, image: IMAGE };
        let mut pool = vec![[u64::MAX; 512]; layout.tables_needed().unwrap()];
        let roots = layout.build(&mut pool, POOL, firmware);
        Self { pool, roots }
    }

    fn table(&self, address: u64) -> &Table {
        &self.pool[(address - POOL) as usize / 0x1000]
    }

    fn look_up(&self, virt: u64) -> Option<Mapping> {
        let (mut table, mut writable, mut executable) = (self.roots.kernel, true, true);
        for shift in [39, 30, 21, 12] {
            let entry = self.table(table)[(virt >> shift) as usize % 512];
            if entry & 1 == 0 {
                return None;
            }
            writable &= entry & 2 != 0;
            executable &= entry >> 63 == 0;
            let address = entry & 0x000f_ffff_ffff_f000;
            if shift == 12 || entry & 0x80 != 0 {
                let size = 1 << shift;
                assert_eq!(address % size, 0);
                return Some((address + virt % size, writable, executable, size));
            }
            table = address;
        }
        unreachable!()
    }
}

fn region(base: u64, end: u64, kind: Kind) -> Region {
    Region { base, end, kind }
}

fn segment(offset: u64, size: u64, write: bool, execute: bool) -> Segment<'static> {
    Segment { address: KERNEL + offset, size, data: &[], write, execute }
}

fn kernel() -> Executable<'static> {
    Executable {
        entry: KERNEL,
        base: KERNEL,
        size: 0x6000,
        segments: vec![
            segment(0, 0x1800, false, true),
            segment(0x2000, 0x10, false, false),
            segment(0x4010, 0x1ff0, true, false),
        ],
    }
}

#[test]
fn the_direct_map_covers_4_gib_and_memory_above() {
    let regions = [
        region(0x1000, 0x8000_0000, Kind::Usable),
        region(4 * GIB, 6 * GIB - 0x1000, Kind::Usable),
        region(8 * GIB, 9 * GIB, Kind::Reserved),
        region(600 * GIB + 0x1000, 600 * GIB + 0x2000, Kind::BootloaderReclaimable),
        region(700 * GIB, 701 * GIB, Kind::Bad),
    ];
    for (gib_pages, size) in [(true, GIB), (false, 2 << 20)] {
        let built = Built::new(&regions, gib_pages, &kernel(), &[0; 512]);
        for physical in [0, 0xfec0_0000, 4 * GIB - 1, 6 * GIB - 1, 600 * GIB + 0x1234] {
            let mapping = Some((physical, true, true, size));
            assert_eq!(built.look_up(HHDM + physical), mapping, "{physical:#x}");
        }
        for physical in [6 * GIB, 8 * GIB, 599 * GIB, 601 * GIB, 700 * GIB] {
            assert_eq!(built.look_up(HHDM + physical), None, "{physical:#x}");
        }
    }
}

#[test]
fn the_kernel_has_its_permissions_and_nothing_between_segments() {
    let built = Built::new(&[], true, &kernel(), &[0; 512]);
    let at = |offset| built.look_up(KERNEL + offset);
    assert_eq!(at(0), Some((IMAGE, false, true, 0x1000)));
    assert_eq!(at(0x1fff), Some((IMAGE + 0x1fff, false, true, 0x1000)));
    assert_eq!(at(0x2000), Some((IMAGE + 0x2000, false, false, 0x1000)));
    assert_eq!(at(0x3000), None);
    assert_eq!(at(0x4000), Some((IMAGE + 0x4000, true, false, 0x1000)));
    assert_eq!(at(0x5fff), Some((IMAGE + 0x5fff, true, false, 0x1000)));
    assert_eq!(at(0x6000), None);
}

#[test]
fn only_the_transition_has_a_lower_half() {
    let firmware: Table = core::array::from_fn(|i| i as u64 + 7);
    let built = Built::new(&[], true, &kernel(), &firmware);
    let kernel = built.table(built.roots.kernel);
    let transition = built.table(built.roots.transition);
    assert_eq!(kernel[..256], [0; 256]);
    assert_eq!(transition[..256], firmware[..256]);
    assert_eq!(transition[256..], kernel[256..]);
    assert_ne!(kernel[256..], [0; 256]);
}

#[test]
fn the_tables_asked_for_are_enough_wherever_the_kernel_lies() {
    for (offset, size) in [
        (0, 0x1000),
        (0x1f_f000, 0x2000),
        (0x1f_f000, 0x20_2000),
        (0x3fff_f000, 0x2000),
        (0x3fe0_0000, 0x4000_0000),
    ] {
        let executable = Executable {
            entry: KERNEL + offset,
            base: KERNEL + offset,
            size,
            segments: vec![segment(offset, size, false, true)],
        };
        let regions = [region(511 * GIB, 514 * GIB, Kind::Usable)];
        for gib_pages in [true, false] {
            let built = Built::new(&regions, gib_pages, &executable, &[0; 512]);
            let last = built.look_up(KERNEL + offset + size - 1);
            assert_eq!(last, Some((IMAGE + size - 1, false, true, 0x1000)));
        }
    }
}

#[test]
fn memory_beyond_the_direct_map_is_refused_unless_reserved() {
    let limit = 255 * 512 * GIB;
    let needed = |end, kind| {
        let regions = [region(limit - GIB, end, kind)];
        let executable = &kernel();
        Layout { regions: &regions, gib_pages: true, executable, image: IMAGE }.tables_needed()
    };
    assert!(needed(limit, Kind::Usable).is_ok());
    assert_eq!(needed(limit + 1, Kind::Usable), Err(TooHigh(limit + 1)));
    assert!(needed(u64::MAX, Kind::Reserved).is_ok());
}
