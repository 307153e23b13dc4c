//! The memory map: order, joining, precedence, alignment, and agreement with a byte-wise model.

use gupsync_loader::memory_map::{Builder, Kind, Region};

fn region(base: u64, end: u64, kind: Kind) -> Region {
    Region { base, end, kind }
}

fn build(regions: &[Region]) -> Vec<Region> {
    let mut builder = Builder::with_capacity(regions.len());
    regions.iter().for_each(|r| builder.add(*r));
    let mut map = Vec::new();
    builder.build(|r| map.push(r));
    assert!(map.len() <= builder.max_output());
    map
}

#[test]
fn neighbours_of_one_kind_are_joined_in_any_input_order() {
    let pages = [7, 2, 9, 3, 1, 8, 4].map(|n| region(n << 12, (n + 1) << 12, Kind::Usable));
    let expected = [region(0x1000, 0x5000, Kind::Usable), region(0x7000, 0xa000, Kind::Usable)];
    assert_eq!(build(&pages), expected);
}

#[test]
fn the_stronger_kind_wins_and_splits_the_weaker() {
    let map = build(&[
        region(0x1000, 0x9000, Kind::BootloaderReclaimable),
        region(0x3000, 0x5000, Kind::ExecutableAndModules),
        region(0x8000, 0xb000, Kind::Reserved),
        region(0xa000, 0xc000, Kind::Usable),
    ]);
    let expected = [
        region(0x1000, 0x3000, Kind::BootloaderReclaimable),
        region(0x3000, 0x5000, Kind::ExecutableAndModules),
        region(0x5000, 0x8000, Kind::BootloaderReclaimable),
        region(0x8000, 0xb000, Kind::Reserved),
        region(0xb000, 0xc000, Kind::Usable),
    ];
    assert_eq!(map, expected);
}

#[test]
fn the_first_page_is_never_free() {
    assert_eq!(build(&[region(0, 0x1000, Kind::Usable)]), []);
    let low = build(&[region(0, 0xa_0000, Kind::BootloaderReclaimable)]);
    assert_eq!(low, [region(0x1000, 0xa_0000, Kind::BootloaderReclaimable)]);
    let reserved = region(0, 0x1000, Kind::Reserved);
    assert_eq!(build(&[reserved]), [reserved]);
}

#[test]
fn free_memory_is_rounded_inwards_to_pages_and_other_memory_is_not() {
    let map = build(&[
        region(0x1001, 0x4fff, Kind::Usable),
        region(0x4fff, 0x5001, Kind::AcpiNvs),
        region(0x5001, 0x5fff, Kind::Usable),
    ]);
    let expected = [region(0x2000, 0x4000, Kind::Usable), region(0x4fff, 0x5001, Kind::AcpiNvs)];
    assert_eq!(map, expected);
}

#[test]
fn empty_and_inverted_regions_and_the_end_of_memory_are_harmless() {
    let last = region(u64::MAX - 0xfff, u64::MAX, Kind::Usable);
    let map = build(&[
        region(0x5000, 0x5000, Kind::Reserved),
        region(0x7000, 0x6000, Kind::Reserved),
        region(0x4000, 0x8000, Kind::Usable),
        last,
    ]);
    assert_eq!(map, [region(0x4000, 0x8000, Kind::Usable)]);
    assert_eq!(build(&[]), []);
}

#[test]
#[should_panic(expected = "more memory regions")]
fn a_region_too_many_is_noticed() {
    let mut builder = Builder::with_capacity(2);
    for n in 1..=3 {
        builder.add(region(n << 12, (n + 1) << 12, Kind::Usable));
    }
}

#[test]
fn the_protocols_numbers_are_used() {
    let numbers = [
        (Kind::Usable, 0),
        (Kind::Reserved, 1),
        (Kind::AcpiReclaimable, 2),
        (Kind::AcpiNvs, 3),
        (Kind::Bad, 4),
        (Kind::BootloaderReclaimable, 5),
        (Kind::ExecutableAndModules, 6),
    ];
    for (kind, number) in numbers {
        assert_eq!(kind.number(), number);
    }
}

/// Three hundred overlapping regions with odd edges, against a model that looks at every unit.
#[test]
fn many_random_regions_agree_with_a_model() {
    const UNIT: u64 = 0x400;
    const UNITS: usize = 2048;
    const KINDS: [Kind; 4] =
        [Kind::Usable, Kind::BootloaderReclaimable, Kind::Reserved, Kind::ExecutableAndModules];
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let mut regions = Vec::new();
    let mut model = [None; UNITS];
    for _ in 0..300 {
        let base = random(UNITS as u64 - 32);
        let end = base + 1 + random(31);
        let kind = KINDS[random(4) as usize];
        regions.push(region(base * UNIT, end * UNIT, kind));
        for unit in &mut model[base as usize..end as usize] {
            *unit = (*unit).max(Some(kind));
        }
    }
    let map = build(&regions);
    assert!(map.len() > 50);
    let is_free = |kind| matches!(kind, Kind::Usable | Kind::BootloaderReclaimable);
    for pair in map.windows(2) {
        assert!(pair[0].end <= pair[1].base);
        assert!(pair[0].end < pair[1].base || pair[0].kind != pair[1].kind);
    }
    for page in 0..UNITS / 4 {
        let units = &model[4 * page..4 * page + 4];
        let uniform = units.iter().all(|unit| *unit == units[0]);
        for (i, unit) in units.iter().enumerate() {
            let address = (4 * page + i) as u64 * UNIT;
            let found = map.iter().find(|r| (r.base..r.end).contains(&address));
            let expected = unit.filter(|kind| !is_free(*kind) || uniform && page > 0);
            assert_eq!(found.map(|r| r.kind), expected, "{address:#x}");
        }
    }
}
