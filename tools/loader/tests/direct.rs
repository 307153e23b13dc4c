//! A direct boot: what the machine says of itself, where there is room, and what comes in one file.

use gupsync_loader::bundle;
use gupsync_loader::memory_map::{Kind, Region};
use gupsync_loader::room;
use gupsync_loader::start_info::{self, Error, SIZE, StartInfo};

const MAGIC: u64 = 0x336e_c578;

/// Words, as bytes.
fn bytes<const SIZE: usize>(words: &[u64]) -> [u8; SIZE] {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.try_into().expect("so many words")
}

/// Magic number and version, flags and number of modules, then addresses, and the number of regions.
fn start_info(version: u64, modules: u64, rsdp: u64) -> [u8; SIZE] {
    bytes(&[MAGIC | version << 32, modules << 32, 0x7000, 0x8000, rsdp, 0x9000, 5])
}

#[test]
fn start_info_says_where_everything_is() {
    let info = StartInfo { module: 0x7000, rsdp: Some(0xf_5a50), memory_map: 0x9000, regions: 5 };
    assert_eq!(StartInfo::parse(&start_info(1, 1, 0xf_5a50)), Ok(info));
    assert_eq!(StartInfo::parse(&start_info(1, 1, 0)).map(|info| info.rsdp), Ok(None));
    assert_eq!(start_info::module(&bytes(&[0x1f00_0000, 0x1234, 0, 0])), 0x1f00_0000..0x1f00_1234);
}

#[test]
fn start_info_that_lacks_something_is_refused() {
    assert_eq!(StartInfo::parse(&[0; SIZE]), Err(Error::Magic(0)));
    assert_eq!(StartInfo::parse(&start_info(0, 1, 0)), Err(Error::Version(0)));
    assert_eq!(StartInfo::parse(&start_info(1, 0, 0)), Err(Error::NoModule));
}

#[test]
fn regions_have_the_types_of_e820() {
    let kind = |number: u64| start_info::region(&bytes(&[0x1000, 0x2000, number])).kind;
    let kinds = [Kind::Usable, Kind::Reserved, Kind::AcpiReclaimable, Kind::AcpiNvs, Kind::Bad, Kind::Reserved];
    assert_eq!([1, 2, 3, 4, 5, 6].map(kind), kinds);
    let wraps = start_info::region(&bytes(&[u64::MAX - 1, 0x2000, 1]));
    assert_eq!((wraps.base, wraps.end), (u64::MAX - 1, u64::MAX));
}

#[test]
fn the_largest_room_is_off_everything_that_is_taken() {
    let region = |base, end, kind| Region { base, end, kind };
    let map = [
        region(0, 0x9_fc00, Kind::Usable),
        region(0xf_0000, 0x10_0000, Kind::Reserved),
        region(0x10_0000, 0x1000_0000, Kind::Usable),
        region(0x1_0000_0000, 0x9_0000_0000, Kind::Usable),
    ];
    let (image, module) = (0x10_0000..0x18_0000, 0xf00_0800..0xfff_f000);
    assert_eq!(room::largest(&map, &[image.clone(), module.clone()]), 0x18_0000..0xf00_0000);
    assert_eq!(room::largest(&map, &[module.clone(), image.clone()]), 0x18_0000..0xf00_0000);
    // One in the middle leaves the larger part; one across an edge, what is inside.
    assert_eq!(
        room::largest(&map, &[image.clone(), module.clone(), 0x50_0000..0x50_0001]),
        0x50_1000..0xf00_0000
    );
    assert_eq!(room::largest(&map, &[image.clone(), module, 0x8_0000..0x20_0000]), 0x20_0000..0xf00_0000);
    assert!(room::largest(&map, &[0..0x1000, 0x1000..u64::MAX]).is_empty());
    assert!(room::largest(&map[..2], &[]).is_empty());
    // Room of 4 GiB and above is not mapped yet.
    assert_eq!(
        room::largest(&[region(0xffff_0000, 0x2_0000_0000, Kind::Usable)], &[]),
        0xffff_0000..0x1_0000_0000
    );
}

#[test]
fn a_bundle_is_text_and_the_kernel_on_the_next_page() {
    let mut file = b"timeout: 0\n".to_vec();
    file.resize(4096, 0);
    assert!(bundle::split(&file).is_err_and(|error| error.starts_with("no kernel follows")));
    file.extend_from_slice(b"\x7fELF");
    assert_eq!(bundle::split(&file), Ok((&b"timeout: 0\n"[..], &b"\x7fELF"[..])));
    // The zero byte may be the last of its page, or the first of the next.
    for (text, kernel) in [(4095, 4096), (4096, 8192)] {
        let mut file = vec![b'#'; text];
        file.push(0);
        file.resize(kernel, 0);
        file.push(1);
        let parts = bundle::split(&file).map(|(config, kernel)| (config.len(), kernel));
        assert_eq!(parts, Ok((text, &[1][..])));
    }
    assert!(bundle::split(b"timeout: 0\n").is_err());
}
