//! The responses to a kernel's requests.
//!
//! Every response and string lies in one [`Arena`], and every pointer in it is a direct map
//! address, so the kernel can follow it from its first instruction. A request whose subject the
//! machine lacks, or that is not answered at all, keeps its null pointer.
//!
//! Responses consist of 64-bit words throughout: the narrower fields of the file structure are
//! all zero.

use crate::HHDM;
use crate::memory_map::{Builder, Region};
use crate::requests::{Requests, id};

const FIRMWARE_X86_BIOS: u64 = 0;
const FIRMWARE_UEFI_64: u64 = 2;
const PAGING_4_LEVEL: u64 = 0;

/// The file structure; what follows the command line stays zero, which means a medium that is
/// neither optical nor partitioned.
const FILE_WORDS: usize = 14;

/// Room for all responses but the strings and the memory map, in words.
const FIXED_WORDS: usize = 128;

/// Words the kernel gets per memory map entry: one pointer, and the three fields.
const MAP_ENTRY_WORDS: usize = 4;

/// What the responses say. All addresses are physical.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The loader's name.
    pub loader: &'a str,
    /// The loader's version.
    pub version: &'a str,
    /// Where the kernel image is loaded.
    pub image: u64,
    /// The virtual address of the kernel image.
    pub image_virtual: u64,
    /// Where the kernel file is loaded.
    pub file: u64,
    /// The size of the kernel file.
    pub file_size: u64,
    /// The path of the kernel file on its volume.
    pub path: &'a str,
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// The ACPI root pointer.
    pub rsdp: Option<u64>,
    /// The EFI system table; without one the firmware is a BIOS.
    pub system_table: Option<u64>,
}

/// Memory for responses, filled from its start.
#[derive(Debug)]
pub struct Arena<'a> {
    free: &'a mut [u64],
    /// The direct map address of `free`.
    address: u64,
}

/// The memory map's response, given to the kernel before its content is known.
#[derive(Debug)]
pub struct PendingMap<'a> {
    count: &'a mut u64,
    pointers: &'a mut [u64],
    entries: &'a mut [u64],
    entries_address: u64,
}

impl Facts<'_> {
    /// How many words the arena needs for these facts and `map_entries` memory map entries.
    pub fn words(&self, map_entries: usize) -> usize {
        let strings = [self.loader, self.version, self.path, self.cmdline];
        let string_words = strings.map(|s| s.len() / 8 + 1).iter().sum::<usize>();
        FIXED_WORDS + string_words + MAP_ENTRY_WORDS * map_entries
    }

    /// Answers `requests` in `image`, except for what the memory map will say.
    ///
    /// # Panics
    ///
    /// If the arena has fewer than [`Self::words`] words.
    pub fn answer<'a>(
        &self,
        requests: &Requests,
        image: &mut [u64],
        mut arena: Arena<'a>,
        map_entries: usize,
    ) -> PendingMap<'a> {
        let cmdline = arena.string(self.cmdline);
        let (map_response, map) = arena.memory_map(map_entries);
        for request in requests.iter() {
            let response = match request.id {
                id::BOOTLOADER_INFO => {
                    let name = arena.string(self.loader);
                    let version = arena.string(self.version);
                    arena.words(&[0, name, version])
                }
                id::FIRMWARE_TYPE => {
                    let is_uefi = self.system_table.is_some();
                    arena.words(&[0, if is_uefi { FIRMWARE_UEFI_64 } else { FIRMWARE_X86_BIOS }])
                }
                id::STACK_SIZE => arena.words(&[0]),
                id::HHDM => arena.words(&[0, HHDM]),
                id::PAGING_MODE => arena.words(&[0, PAGING_4_LEVEL]),
                id::MEMORY_MAP => map_response,
                id::EXECUTABLE_FILE => {
                    let path = arena.string(self.path);
                    let mut file = [0; FILE_WORDS];
                    file[1..5].copy_from_slice(&[HHDM + self.file, self.file_size, path, cmdline]);
                    let file = arena.words(&file);
                    arena.words(&[0, file])
                }
                id::EXECUTABLE_ADDRESS => arena.words(&[0, self.image, self.image_virtual]),
                id::EXECUTABLE_CMDLINE => arena.words(&[0, cmdline]),
                id::RSDP => match self.rsdp {
                    Some(rsdp) => arena.words(&[0, HHDM + rsdp]),
                    None => continue,
                },
                id::EFI_SYSTEM_TABLE => match self.system_table {
                    Some(table) => arena.words(&[0, HHDM + table]),
                    None => continue,
                },
                _ => continue,
            };
            request.answer(image, response);
        }
        requests.confirm_revision(image);
        map
    }
}

impl<'a> Arena<'a> {
    /// An arena in `memory`, which lies at physical address `base`.
    pub fn new(memory: &'a mut [u64], base: u64) -> Self {
        Self { free: memory, address: HHDM + base }
    }

    fn take(&mut self, count: usize) -> (u64, &'a mut [u64]) {
        let free = core::mem::take(&mut self.free);
        let (taken, rest) = free.split_at_mut(count);
        let address = self.address;
        self.free = rest;
        self.address += 8 * count as u64;
        (address, taken)
    }

    fn words(&mut self, words: &[u64]) -> u64 {
        let (address, taken) = self.take(words.len());
        taken.copy_from_slice(words);
        address
    }

    /// Stores a string with the zero byte that ends it.
    fn string(&mut self, text: &str) -> u64 {
        let (address, taken) = self.take(text.len() / 8 + 1);
        taken.fill(0);
        for (i, byte) in text.bytes().enumerate() {
            taken[i / 8] |= u64::from(byte) << (i % 8 * 8);
        }
        address
    }

    fn memory_map(&mut self, entries: usize) -> (u64, PendingMap<'a>) {
        let (address, response) = self.take(3);
        let (pointers_address, pointers) = self.take(entries);
        let (entries_address, entries) = self.take((MAP_ENTRY_WORDS - 1) * entries);
        response.copy_from_slice(&[0, 0, pointers_address]);
        let map = PendingMap { count: &mut response[1], pointers, entries, entries_address };
        (address, map)
    }
}

impl PendingMap<'_> {
    /// Fills in the regions of `builder`, whose maximum the response was made for.
    pub fn fill(self, builder: &mut Builder) {
        let slots = self.pointers.iter_mut().zip(self.entries.as_chunks_mut::<3>().0);
        let mut slots = slots.zip((self.entries_address..).step_by(24));
        builder.build(|Region { base, end, kind }| {
            if let Some(((pointer, entry), address)) = slots.next() {
                *entry = [base, end - base, kind.number()];
                *pointer = address;
                *self.count += 1;
            }
        });
    }
}
