//! The responses, read back through the pointers the kernel follows.

use gupsync_loader::HHDM;
use gupsync_loader::memory_map::{Builder, Kind, Region};
use gupsync_loader::requests::Requests;
use gupsync_loader::responses::{Arena, Facts};

const MAGIC: [u64; 2] = [0xc7b1dd30df4c8b88, 0x0a82e883a194f07b];
const TAG: [u64; 3] = [0xf9562b2d5c95a6c8, 0x6a7b384944536bdc, 2];
const MEMORY: u64 = 0x3_4567_8000;

const INFO: [u64; 2] = [0xf55038d8e2a1202f, 0x279426fcf5f59740];
const FIRMWARE: [u64; 2] = [0x8c2f75d90bef28a8, 0x7045a4688eac00c3];
const STACK: [u64; 2] = [0x224ef0460a8e8926, 0xe1cb0fc25f46ea3d];
const DIRECT_MAP: [u64; 2] = [0x48dcf1cb8ad2b852, 0x63984e959a98244b];
const PAGING: [u64; 2] = [0x95c1a0edab0944cb, 0xa4e5cb3842f7488a];
const MAP: [u64; 2] = [0x67cf3d9d378a806f, 0xe304acdfc50c3c62];
const FILE: [u64; 2] = [0xad97e90e83f1ed67, 0x31eb5d1c5ff23b69];
const ADDRESS: [u64; 2] = [0x71ba76863cc55f63, 0xb2644a48c516a487];
const CMDLINE: [u64; 2] = [0x4b161536e598651e, 0xb390ad4a2f1f303a];
const RSDP: [u64; 2] = [0xc5e77b6b397e7b43, 0x27637845accdcf3c];
const SYSTEM_TABLE: [u64; 2] = [0x5ceba5163eaaf6d6, 0x0a6981610cf65fcc];
const FRAMEBUFFER: [u64; 2] = [0x9d5827dcd881dd75, 0xa3148604f6fab11b];
const ALL: [[u64; 2]; 12] =
    [FRAMEBUFFER, INFO, FIRMWARE, STACK, DIRECT_MAP, PAGING, MAP, FILE, ADDRESS, CMDLINE, RSDP, SYSTEM_TABLE];

fn facts() -> Facts<'static> {
    Facts {
        loader: "gupsync-loader",
        version: "1.2.3",
        image: 0x10_0000,
        image_virtual: 0xffff_ffff_8000_0000,
        file: 0x20_0000,
        file_size: 12345,
        path: "/boot/gupsync",
        cmdline: "a=b c",
        rsdp: Some(0x7f_0014),
        system_table: Some(0x7e_0018),
    }
}

/// What a kernel with one request of each kind sees.
struct Kernel {
    image: Vec<u64>,
    memory: Vec<u64>,
}

impl Kernel {
    fn boot(facts: &Facts, regions: &[Region]) -> Self {
        let requests = ALL.iter().flat_map(|id| [MAGIC, *id, [0, 0]].concat());
        let mut image: Vec<u64> = TAG.into_iter().chain(requests).collect();
        let mut builder = Builder::with_capacity(regions.len());
        regions.iter().for_each(|r| builder.add(*r));
        let mut memory = vec![u64::MAX; facts.words(builder.max_output())];
        let requests = Requests::scan(&image).unwrap();
        let arena = Arena::new(&mut memory, MEMORY);
        let map = facts.answer(&requests, &mut image, arena, builder.max_output());
        map.fill(&mut builder);
        Self { image, memory }
    }

    /// The response pointer of a request.
    fn response(&self, id: [u64; 2]) -> u64 {
        let place = self.image.windows(4).position(|w| w[..2] == MAGIC && w[2..] == id);
        self.image[place.unwrap() + 5]
    }

    fn words<const N: usize>(&self, pointer: u64) -> [u64; N] {
        assert_eq!(pointer % 8, 0);
        let start = (pointer - HHDM - MEMORY) as usize / 8;
        self.memory[start..start + N].try_into().unwrap()
    }

    fn answer<const N: usize>(&self, id: [u64; 2]) -> [u64; N] {
        self.words(self.response(id))
    }

    fn string(&self, pointer: u64) -> String {
        let bytes = (pointer..).step_by(8).flat_map(|p| self.words::<1>(p)[0].to_le_bytes());
        String::from_utf8(bytes.take_while(|byte| *byte != 0).collect()).unwrap()
    }
}

#[test]
fn every_served_request_is_answered_with_its_facts() {
    let kernel = Kernel::boot(&facts(), &[]);
    let [revision, name, version] = kernel.answer(INFO);
    assert_eq!(revision, 0);
    assert_eq!(kernel.string(name), "gupsync-loader");
    assert_eq!(kernel.string(version), "1.2.3");
    assert_eq!(kernel.answer(FIRMWARE), [0, 2]);
    assert_eq!(kernel.answer(STACK), [0]);
    assert_eq!(kernel.answer(DIRECT_MAP), [0, HHDM]);
    assert_eq!(kernel.answer(PAGING), [0, 0]);
    assert_eq!(kernel.answer(ADDRESS), [0, 0x10_0000, 0xffff_ffff_8000_0000]);
    assert_eq!(kernel.answer(RSDP), [0, HHDM + 0x7f_0014]);
    assert_eq!(kernel.answer(SYSTEM_TABLE), [0, HHDM + 0x7e_0018]);
    assert_eq!(kernel.image[2], 0);
}

#[test]
fn the_file_has_its_path_and_command_line() {
    let kernel = Kernel::boot(&facts(), &[]);
    let [_, file] = kernel.answer(FILE);
    let [revision, address, size, path, cmdline, rest @ ..] = kernel.words::<14>(file);
    assert_eq!((revision, address, size), (0, HHDM + 0x20_0000, 12345));
    assert_eq!(kernel.string(path), "/boot/gupsync");
    assert_eq!(kernel.string(cmdline), "a=b c");
    assert_eq!(rest, [0; 9]);
    let [_, cmdline] = kernel.answer(CMDLINE);
    assert_eq!(kernel.string(cmdline), "a=b c");
}

#[test]
fn what_cannot_be_answered_keeps_its_null_pointer() {
    let kernel = Kernel::boot(&Facts { rsdp: None, ..facts() }, &[]);
    assert_eq!(kernel.response(RSDP), 0);
    assert_eq!(kernel.response(FRAMEBUFFER), 0);
    assert_ne!(kernel.response(SYSTEM_TABLE), 0);
}

#[test]
fn the_memory_map_is_complete_even_at_its_largest() {
    // Islands in one region have the most edges and so the most entries.
    let island =
        |n: u64| Region { base: 0x10_1000 + n * 0x2000, end: 0x10_2000 + n * 0x2000, kind: Kind::Reserved };
    let sea = Region { base: 0x10_0000, end: 0x90_0000, kind: Kind::Usable };
    let regions: Vec<Region> = (0..99).map(island).chain([sea]).collect();
    let kernel = Kernel::boot(&facts(), &regions);
    let [revision, count, pointers] = kernel.answer(MAP);
    assert_eq!(revision, 0);
    let entries: Vec<[u64; 3]> =
        (0..count).map(|i| kernel.words(kernel.words::<1>(pointers + 8 * i)[0])).collect();
    let mut expected = Vec::new();
    let mut builder = Builder::with_capacity(regions.len());
    regions.iter().for_each(|r| builder.add(*r));
    builder.build(|r| expected.push([r.base, r.end - r.base, r.kind.number()]));
    assert_eq!(entries, expected);
    assert_eq!(entries.len(), 199);
}

#[test]
fn strings_of_any_length_end_and_fit() {
    for length in 0..40 {
        let text = "x".repeat(length);
        let facts = Facts { path: &text, cmdline: &text, ..facts() };
        let kernel = Kernel::boot(&facts, &[]);
        let [_, cmdline] = kernel.answer(CMDLINE);
        assert_eq!(kernel.string(cmdline), text);
        let [_, file] = kernel.answer(FILE);
        let [_, _, _, path] = kernel.words(file);
        assert!(file > path + length as u64, "the file overlaps its path");
    }
}
