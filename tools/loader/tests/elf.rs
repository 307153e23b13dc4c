//! The kernel file: a good one is laid out as its headers say, a bad one is refused.

use gupsync_loader::elf::{Error, Executable};

const BASE: u64 = 0xffff_ffff_8000_0000;
const R: u32 = 4;
const RW: u32 = 6;
const RX: u32 = 5;
const EHDR: usize = 64;
const PHDR: usize = 56;

/// A program header: type, flags, file offset, address, size in the file, size in memory.
type Header = (u32, u32, u64, u64, u64, u64);

/// A file of 0x4000 bytes, byte `i` of which is `i / 0x100` where no header is.
fn file(headers: &[Header]) -> Vec<u8> {
    let mut file: Vec<u8> = (0..0x4000_u32).map(|i| (i / 0x100) as u8).collect();
    let mut put = |offset: usize, bytes: &[u8]| {
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    put(0, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    put(16, &2_u16.to_le_bytes());
    put(18, &62_u16.to_le_bytes());
    put(20, &1_u32.to_le_bytes());
    put(24, &(BASE + 0x10).to_le_bytes());
    put(32, &(EHDR as u64).to_le_bytes());
    put(40, &[0; 12]);
    put(52, &(EHDR as u16).to_le_bytes());
    put(54, &(PHDR as u16).to_le_bytes());
    put(56, &(headers.len() as u16).to_le_bytes());
    put(58, &[0; 6]);
    for (i, &(kind, flags, offset, address, in_file, in_memory)) in headers.iter().enumerate() {
        let at = EHDR + i * PHDR;
        put(at, &kind.to_le_bytes());
        put(at + 4, &flags.to_le_bytes());
        let words = [offset, address, address, in_file, in_memory, 0x1000];
        for (j, word) in words.iter().enumerate() {
            put(at + 8 + 8 * j, &word.to_le_bytes());
        }
    }
    file
}

fn text() -> Header {
    (1, RX, 0x1000, BASE, 0x200, 0x200)
}

fn error(headers: &[Header]) -> Error {
    Executable::parse(&file(headers)).unwrap_err()
}

#[test]
fn segments_are_placed_and_the_rest_is_left_zero() {
    let note = (4, R, 0x100, 0, 0x10, 0x10);
    let data = (1, RW, 0x2010, BASE + 0x3010, 0x100, 0x1800);
    let file = file(&[data, note, text()]);
    let executable = Executable::parse(&file).unwrap();
    assert_eq!(executable.entry, BASE + 0x10);
    assert_eq!(executable.base, BASE);
    assert_eq!(executable.size, 0x5000);
    assert_eq!(executable.data_size(), 0x3110);
    let access = |i: usize| (executable.segments[i].write, executable.segments[i].execute);
    assert_eq!((access(0), access(1)), ((false, true), (true, false)));

    let mut image = vec![0; 0x5000];
    executable.load(&mut image);
    assert_eq!(image[..0x200], file[0x1000..0x1200]);
    assert_eq!(image[0x3010..0x3110], file[0x2010..0x2110]);
    let loaded = image.iter().filter(|byte| **byte != 0).count();
    assert_eq!(loaded, 0x300);
}

#[test]
fn item_10_sizes_that_are_no_multiple_of_a_word_are_loaded_to_the_byte() {
    for (size, more) in (1..=17).flat_map(|size| [0, 1, 3, 8, 0x1003].map(|more| (size, more))) {
        for place in [0_u64, 1, 7] {
            // Bytes of 0x10 of the text, then bytes of 0x20 beside it in memory, both with other bytes after them in the file.
            let text = (1, RX, 0x1010 + place, BASE + 0x10 + place, size, size);
            let data = (1, RW, 0x2010 + place, BASE + 0x2010 + place, size, size + more);
            let mut file = file(&[text, data]);
            file[24..32].copy_from_slice(&(BASE + 0x10 + place).to_le_bytes());
            let executable = Executable::parse(&file).unwrap();
            let mut expected = vec![0; executable.size as usize];
            for (at, byte) in [(0x10, 0x10), (0x2010, 0x20)] {
                expected[at + place as usize..][..size as usize].fill(byte);
            }
            // What was in the memory before is not left in it.
            let mut image = vec![0xaa; executable.size as usize];
            executable.load(&mut image);
            assert!(image == expected, "{size} and {more} bytes at {place}");
            assert_eq!(executable.data_size() as u64, 0x2010 + place + size);
        }
    }
}

#[test]
fn an_image_starts_at_the_page_of_its_lowest_segment() {
    let file = file(&[(1, RX, 0x1008, BASE + 8, 0x20, 0x20)]);
    let executable = Executable::parse(&file).unwrap();
    assert_eq!((executable.base, executable.size), (BASE, 0x1000));
    let mut image = vec![0; 0x1000];
    executable.load(&mut image);
    assert_eq!(image[7..9], [0, 0x10]);
}

#[test]
fn files_of_another_kind_are_refused() {
    let with = |offset: usize, byte: u8| {
        let mut file = file(&[text()]);
        file[offset] = byte;
        Executable::parse(&file).unwrap_err()
    };
    assert!(matches!(with(0, 0), Error::Malformed(_)));
    assert!(matches!(with(4, 1), Error::Malformed(_) | Error::Machine));
    assert!(matches!(with(5, 2), Error::Malformed(_)));
    assert!(matches!(with(18, 3), Error::Machine));
    assert!(matches!(with(16, 3), Error::NotStatic));
    assert!(matches!(with(16, 1), Error::NotStatic));
}

#[test]
fn a_file_cut_anywhere_before_the_end_of_its_segments_is_refused() {
    let data = (1, RW, 0x2000, BASE + 0x1000, 0x100, 0x100);
    let file = file(&[text(), data]);
    for length in (0..0x2100).step_by(7).chain([0x20ff]) {
        let error = Executable::parse(&file[..length]).unwrap_err();
        assert!(error.to_string().contains("truncated"), "{length:#x}: {error}");
    }
    assert!(Executable::parse(&file[..0x2100]).is_ok());
}

#[test]
fn a_file_without_its_section_headers_is_refused() {
    let mut file = file(&[text()]);
    file[40..48].copy_from_slice(&0x4000_u64.to_le_bytes());
    file[58..62].copy_from_slice(&[64, 0, 2, 0]);
    assert!(matches!(Executable::parse(&file), Err(Error::Malformed(_))));
}

#[test]
fn offsets_and_sizes_that_overflow_are_refused() {
    let huge = (1, RX, u64::MAX - 0xff, BASE, 0x200, 0x200);
    assert!(matches!(error(&[huge]), Error::Malformed(_)));
    let wraps = (1, RX, 0x1000, u64::MAX - 0x17ff, 0x100, 0x1800);
    assert!(matches!(error(&[wraps]), Error::BadSize(_)));
    let endless = (1, RX, 0x1000, BASE, 0x100, u64::MAX);
    assert!(matches!(error(&[endless]), Error::BadSize(BASE)));
    let smaller_than_its_data = (1, RX, 0x1000, BASE, 0x200, 0x100);
    assert!(matches!(error(&[smaller_than_its_data]), Error::BadSize(BASE)));
}

#[test]
fn the_lower_half_is_refused() {
    let low = (1, RW, 0x2000, 0x10_0000, 0x100, 0x100);
    assert!(matches!(error(&[text(), low]), Error::LowerHalf(0x10_0000)));
    let just_below = (1, RW, 0x2000, BASE - 1, 0x100, 0x100);
    assert!(matches!(error(&[just_below]), Error::LowerHalf(_)));
}

#[test]
fn overlapping_segments_are_refused_in_any_order() {
    let over = (1, RX, 0x2000, BASE + 0x1ff, 0x10, 0x10);
    assert!(matches!(error(&[text(), over]), Error::Overlap(..)));
    assert!(matches!(error(&[over, text()]), Error::Overlap(..)));
    let same = (1, RX, 0x2000, BASE, 0x10, 0x10);
    assert!(matches!(error(&[text(), same]), Error::Overlap(..)));
}

#[test]
fn segments_may_share_a_page_only_with_equal_permissions() {
    let next = |flags| (1, flags, 0x2200, BASE + 0x200, 0x10, 0x10);
    assert!(Executable::parse(&file(&[text(), next(RX)])).is_ok());
    assert!(matches!(error(&[text(), next(RW)]), Error::SharedPage(..)));
    let whole_page = (1, RX, 0x1000, BASE, 0x1000, 0x1000);
    let next_page = (1, RW, 0x2000, BASE + 0x1000, 0x10, 0x10);
    assert!(Executable::parse(&file(&[whole_page, next_page])).is_ok());
}

#[test]
fn the_entry_point_must_be_executable() {
    let data = (1, RW, 0x1000, BASE, 0x200, 0x200);
    assert!(matches!(error(&[data]), Error::Entry(_)));
    let elsewhere = (1, RX, 0x1000, BASE + 0x1000, 0x200, 0x200);
    assert!(matches!(error(&[elsewhere]), Error::Entry(_)));
}

#[test]
fn a_file_with_nothing_to_load_is_refused() {
    assert!(matches!(error(&[]), Error::NoSegments));
    let empty = (1, RX, 0x1000, BASE, 0, 0);
    assert!(matches!(error(&[empty]), Error::NoSegments));
}
