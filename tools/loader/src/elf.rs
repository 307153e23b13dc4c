//! The kernel file: a static ELF64 executable for x86-64, linked in the top 2 GiB.
//!
//! After [`Executable::parse`] every range of the file a segment names lies in the file, every
//! segment lies at or above [`KERNEL_BASE`], no two overlap, pages shared by two segments have the
//! same permissions for both, and the entry point lies in executable memory. Loading therefore
//! cannot fail. The ELF structures themselves are read by the `elf` crate.

use crate::{KERNEL_BASE, PAGE};
use alloc::vec::Vec;
use core::fmt;
use elf::ElfBytes;
use elf::ParseError;
use elf::abi::{EM_X86_64, ET_EXEC, PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::segment::ProgramHeader;

/// A checked kernel file.
#[derive(Debug)]
pub struct Executable<'a> {
    /// The virtual address of the first instruction.
    pub entry: u64,
    /// The virtual address of the image, a multiple of the page size.
    pub base: u64,
    /// The size of the image in memory, a multiple of the page size.
    pub size: u64,
    /// The loadable segments by ascending address.
    pub segments: Vec<Segment<'a>>,
}

/// A range of memory with uniform permissions.
#[derive(Debug)]
pub struct Segment<'a> {
    /// The virtual address of the first byte.
    pub address: u64,
    /// The size in memory; what `data` does not cover is zero.
    pub size: u64,
    /// The bytes the file has for it.
    pub data: &'a [u8],
    /// Whether the kernel may write to it.
    pub write: bool,
    /// Whether the kernel may execute it.
    pub execute: bool,
}

/// Why a file is not a kernel that can be loaded.
#[derive(Debug)]
pub enum Error {
    /// The headers, or what they refer to, do not lie in the file.
    Malformed(ParseError),
    /// The file is for another machine.
    Machine,
    /// The file is not a fixed-address executable.
    NotStatic,
    /// There is nothing to load.
    NoSegments,
    /// A segment is below the higher half.
    LowerHalf(u64),
    /// A segment's size makes no sense.
    BadSize(u64),
    /// Two segments overlap.
    Overlap(u64, u64),
    /// Two segments of different permissions share a page.
    SharedPage(u64, u64),
    /// The entry point is in no executable segment.
    Entry(u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(ParseError::SliceReadError(_)) => {
                write!(f, "the file is truncated: its headers point past its end; copy it again")
            }
            Self::Malformed(error) => write!(f, "not a valid ELF file ({error}); rebuild it"),
            Self::Machine => write!(f, "not an ELF64 x86-64 file; build it for x86-64"),
            Self::NotStatic => write!(f, "not a fixed-address executable; link it statically, not as PIE"),
            Self::NoSegments => write!(f, "no loadable segments; check the linker script"),
            Self::LowerHalf(address) => {
                write!(f, "the segment at {address:#x} is below {KERNEL_BASE:#x}; link the kernel above it")
            }
            Self::BadSize(address) => {
                write!(f, "the segment at {address:#x} is smaller than its data or wraps; rebuild the file")
            }
            Self::Overlap(a, b) => {
                write!(f, "the segments at {a:#x} and {b:#x} overlap; check the linker script")
            }
            Self::SharedPage(a, b) => write!(
                f,
                "the segments at {a:#x} and {b:#x} share a page but not their permissions; \
                 align them to {PAGE:#x}"
            ),
            Self::Entry(address) => {
                write!(f, "the entry point {address:#x} is in no executable segment; check ENTRY()")
            }
        }
    }
}

impl<'a> Executable<'a> {
    /// Checks a kernel file.
    pub fn parse(file: &'a [u8]) -> Result<Self, Error> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(Error::Malformed)?;
        if elf.ehdr.class != Class::ELF64 || elf.ehdr.e_machine != EM_X86_64 {
            return Err(Error::Machine);
        }
        if elf.ehdr.e_type != ET_EXEC {
            return Err(Error::NotStatic);
        }
        let mut segments = Vec::new();
        for header in elf.segments().into_iter().flatten() {
            if header.p_type == PT_LOAD && header.p_memsz != 0 {
                let data = elf.segment_data(&header).map_err(Error::Malformed)?;
                segments.push(Segment::new(&header, data)?);
            }
        }
        segments.sort_unstable_by_key(|segment| segment.address);
        for pair in segments.windows(2) {
            pair[0].check_neighbour(&pair[1])?;
        }
        let (first, last) = segments.first().zip(segments.last()).ok_or(Error::NoSegments)?;
        let base = first.address & !(PAGE - 1);
        let entry = elf.ehdr.e_entry;
        let is_entry = |s: &Segment| s.execute && (s.address..s.end()).contains(&entry);
        if !segments.iter().any(is_entry) {
            return Err(Error::Entry(entry));
        }
        Ok(Self { entry, base, size: last.end().next_multiple_of(PAGE) - base, segments })
    }

    /// How far into the image the file has data; only zeroes follow.
    pub fn data_size(&self) -> usize {
        let end = |s: &Segment| self.offset(s) + s.data.len();
        self.segments.iter().map(end).max().unwrap_or_default()
    }

    /// Writes every byte of `image`, which has the executable's size: the segments' data, to the byte, and zero elsewhere.
    pub fn load(&self, image: &mut [u8]) {
        image.fill(0);
        for segment in &self.segments {
            let start = self.offset(segment);
            image[start..start + segment.data.len()].copy_from_slice(segment.data);
        }
    }

    fn offset(&self, segment: &Segment) -> usize {
        (segment.address - self.base) as usize
    }
}

impl<'a> Segment<'a> {
    fn new(header: &ProgramHeader, data: &'a [u8]) -> Result<Self, Error> {
        let address = header.p_vaddr;
        if address < KERNEL_BASE {
            return Err(Error::LowerHalf(address));
        }
        // The last page stays free, so that rounding an end up to a page cannot overflow.
        let room = u64::MAX - PAGE - address.min(u64::MAX - PAGE);
        if header.p_filesz > header.p_memsz || header.p_memsz > room {
            return Err(Error::BadSize(address));
        }
        Ok(Self {
            address,
            size: header.p_memsz,
            data,
            write: header.p_flags & PF_W != 0,
            execute: header.p_flags & PF_X != 0,
        })
    }

    /// The address after the last byte.
    pub fn end(&self) -> u64 {
        self.address + self.size
    }

    /// Checks `self` against the segment with the next higher address.
    fn check_neighbour(&self, next: &Self) -> Result<(), Error> {
        if self.end() > next.address {
            return Err(Error::Overlap(self.address, next.address));
        }
        let same_page = (self.end() - 1) / PAGE == next.address / PAGE;
        if same_page && (self.write, self.execute) != (next.write, next.execute) {
            return Err(Error::SharedPage(self.address, next.address));
        }
        Ok(())
    }
}
