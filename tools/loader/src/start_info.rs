//! What a machine says of itself that boots by PVH: Xen's `hvm_start_info`, as QEMU fills it in for `-kernel`.
//!
//! The structure leads to others, which the caller reads where it says. All numbers are little-endian.

use crate::memory_map::{Kind, Region};
use core::fmt;
use core::ops::Range;

/// The size of the structure.
pub const SIZE: usize = 56;
/// The size of what its list of modules has for each.
pub const MODULE_SIZE: usize = 32;
/// The size of what its memory map has for each region.
pub const REGION_SIZE: usize = 24;

const MAGIC: u32 = 0x336e_c578;
/// The first version with a memory map.
const LEAST_VERSION: u32 = 1;

/// Addresses, all physical.
#[derive(Debug, PartialEq, Eq)]
pub struct StartInfo {
    /// The first module's.
    pub module: u64,
    /// The ACPI root pointer.
    pub rsdp: Option<u64>,
    /// The memory map's.
    pub memory_map: u64,
    /// How many regions it has.
    pub regions: usize,
}

/// Why a machine cannot be booted.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// This is no such structure.
    Magic(u32),
    /// It has no memory map.
    Version(u32),
    /// There is no module.
    NoModule,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(magic) => {
                write!(f, "start info begins with {magic:#x}; boot by PVH, as QEMU's -kernel does")
            }
            Self::Version(version) => {
                write!(f, "start info of version {version} has no memory map; use QEMU 4 or later")
            }
            Self::NoModule => {
                write!(f, "no configuration and no kernel; name a file that holds both by -initrd")
            }
        }
    }
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from(half(bytes, at)) | u64::from(half(bytes, at + 4)) << 32
}

impl StartInfo {
    /// Reads the structure.
    ///
    /// # Errors
    ///
    /// If it lacks what a boot needs.
    pub fn parse(bytes: &[u8; SIZE]) -> Result<Self, Error> {
        let (magic, version, modules) = (half(bytes, 0), half(bytes, 4), half(bytes, 12));
        if magic != MAGIC {
            return Err(Error::Magic(magic));
        }
        if version < LEAST_VERSION {
            return Err(Error::Version(version));
        }
        if modules == 0 {
            return Err(Error::NoModule);
        }
        let rsdp = Some(word(bytes, 32)).filter(|address| *address != 0);
        let (module, memory_map, regions) = (word(bytes, 16), word(bytes, 40), half(bytes, 48) as usize);
        Ok(StartInfo { module, rsdp, memory_map, regions })
    }
}

/// Where a module lies.
pub fn module(bytes: &[u8; MODULE_SIZE]) -> Range<u64> {
    let (start, size) = (word(bytes, 0), word(bytes, 8));
    start..start.saturating_add(size)
}

/// A region of the memory map, whose types are those of E820.
pub fn region(bytes: &[u8; REGION_SIZE]) -> Region {
    let (base, size) = (word(bytes, 0), word(bytes, 8));
    let kind = match half(bytes, 16) {
        1 => Kind::Usable,
        3 => Kind::AcpiReclaimable,
        4 => Kind::AcpiNvs,
        5 => Kind::Bad,
        _ => Kind::Reserved,
    };
    Region { base, end: base.saturating_add(size), kind }
}
