use gupsync::types::{FrameSize, HUGE_SIZE, PAGE_SIZE, Range, VirtAddr};

use super::{EVERYTHING, Limits, NON_GLOBAL, Operation, Refused, Registers, decode, encode};

const START: u64 = 0x10_0020_3000;
const LIMITS: Limits = Limits { pages: 8, asid: 0 };
/// The end of the lower half.
const BEYOND: u64 = 1 << 47;
/// VA, PCID and ASID are valid.
const OF_AN_MM: u64 = 0b111;

fn registers(rax: u64, ecx: u32, edx: u32) -> Registers {
    Registers { rax, ecx, edx }
}

/// As many INVLPGBs for each mm as it takes to see each of its fields.
fn all() -> impl Iterator<Item = (u64, u64, FrameSize)> {
    let sizes = [FrameSize::Small, FrameSize::Huge];
    let of_a_size = |size| [1, 2, 5, 0xabc, 0xfff].map(|pcid| (1..=8).map(move |pages| (pcid, pages, size)));
    sizes.into_iter().flat_map(of_a_size).flatten()
}

#[test]
fn ranges_are_written_as_in_the_manual() {
    let small = |pages| Range::small(VirtAddr(START), pages);
    let huge = |pages| Range::Pages { start: VirtAddr(HUGE_SIZE), pages, size: FrameSize::Huge };
    let written = [
        ((5, small(1)), registers(START | OF_AN_MM, 0, 5 << 16)),
        ((5, small(2)), registers(START | OF_AN_MM, 1, 5 << 16)),
        ((0xabc, small(8)), registers(START | OF_AN_MM, 7, 0xabc << 16)),
        ((0xfff, small(0x1_0000)), registers(START | OF_AN_MM, 0xffff, 0xfff << 16)),
        ((1, huge(1)), registers(0x20_0000 | OF_AN_MM, 0x8000_0000, 1 << 16)),
        ((1, huge(8)), registers(0x20_0000 | OF_AN_MM, 0x8000_0007, 1 << 16)),
        ((7, Range::All), registers(0b110, 0, 7 << 16)),
    ];
    for ((pcid, range), expected) in written {
        assert_eq!(encode(pcid, range), expected, "{range:?} of {pcid}");
    }
    assert_eq!(EVERYTHING, registers(0b1100, 0, 0));
    assert_eq!(NON_GLOBAL, registers(0b100, 0, 0));
}

#[test]
fn registers_are_read_as_in_the_manual() {
    let read = |rax, ecx, edx| decode(registers(rax, ecx, edx), LIMITS);
    let of = |pcid, range| Ok(Operation { asid: Some(0), pcid: Some(pcid), global: false, range });
    assert_eq!(read(START | OF_AN_MM, 0, 5 << 16), of(5, Range::small(VirtAddr(START), 1)));
    assert_eq!(read(START | OF_AN_MM, 7, 0xfff << 16), of(0xfff, Range::small(VirtAddr(START), 8)));
    let huge = Range::Pages { start: VirtAddr(HUGE_SIZE), pages: 3, size: FrameSize::Huge };
    assert_eq!(read(HUGE_SIZE | OF_AN_MM, 0x8000_0002, 1 << 16), of(1, huge));
    // What is not valid does not count.
    assert_eq!(read(START | 0b110, 7, 5 << 16), of(5, Range::All));
    let everything = Operation { asid: None, pcid: None, global: true, range: Range::All };
    assert_eq!(read(0b1000, 0, 0xfff << 16 | 0xffff), Ok(everything));
    // Final translations only: it may drop more.
    assert_eq!(read(0b1_0110, 0, 5 << 16), of(5, Range::All));
}

#[test]
fn what_is_written_is_what_is_read() {
    for (pcid, pages, size) in all() {
        let range = Range::Pages { start: VirtAddr(3 * HUGE_SIZE), pages, size };
        let operation = Operation { asid: Some(0), pcid: Some(pcid as u16), global: false, range };
        assert_eq!(decode(encode(pcid, range), LIMITS), Ok(operation));
    }
}

#[test]
fn an_address_is_rounded_down_to_a_page() {
    let range = Range::small(VirtAddr(START + PAGE_SIZE - 1), 2);
    assert_eq!(encode(1, range).rax, START | OF_AN_MM);
}

#[test]
fn what_faults_is_refused() {
    let refused = |rax, ecx, edx| decode(registers(rax, ecx, edx), LIMITS).expect_err("it faults");
    for bit in 5..12 {
        assert_eq!(refused(START | OF_AN_MM | 1 << bit, 0, 0), Refused::ReservedBit, "rAX bit {bit}");
    }
    for bit in 16..31 {
        assert_eq!(refused(START | OF_AN_MM, 1 << bit, 0), Refused::ReservedBit, "ECX bit {bit}");
    }
    for bit in 28..32 {
        assert_eq!(refused(START | OF_AN_MM, 0, 1 << bit), Refused::ReservedBit, "EDX bit {bit}");
    }
    assert_eq!(refused(START | OF_AN_MM, 8, 0), Refused::TooManyPages);
    assert_eq!(refused(START | OF_AN_MM, 0x8000_0008, 0), Refused::TooManyPages);
    assert_eq!(refused(START | OF_AN_MM, 0, 1), Refused::NoSuchAsid);
    assert_eq!(refused(START | 0b011, 0, 5 << 16), Refused::PcidOfEveryAsid);
    assert_eq!(refused(BEYOND + OF_AN_MM, 0, 0), Refused::NotCanonical);
    // The last page is beyond the lower half; or beyond all there is.
    assert_eq!(refused(BEYOND - PAGE_SIZE + OF_AN_MM, 1, 0), Refused::NotCanonical);
    assert_eq!(refused(BEYOND - HUGE_SIZE + OF_AN_MM, 0x8000_0001, 0), Refused::NotCanonical);
    // The upper half is canonical.
    assert!(decode(registers(!(PAGE_SIZE - 1) | OF_AN_MM, 0, 0), LIMITS).is_ok());
}

#[test]
#[should_panic(expected = "12 bits")]
fn a_pcid_of_more_than_12_bits_is_not_written() {
    encode(0x1000, Range::All);
}

#[test]
#[should_panic(expected = "1 to 65,536 pages")]
fn no_pages_are_not_written() {
    encode(1, Range::small(VirtAddr(START), 0));
}

#[test]
#[should_panic(expected = "1 to 65,536 pages")]
fn more_pages_than_there_is_room_for_are_not_written() {
    encode(1, Range::small(VirtAddr(START), 0x1_0001));
}
