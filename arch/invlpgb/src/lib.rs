//! The operands of INVLPGB: how they are written into registers, and read from them.
//!
//! # Guarantee
//!
//! What [`encode`] writes is what [`decode`] reads, and both are the format of AMD's manual. [`decode`] refuses what makes
//! the instruction fault on hardware, and what the kernel cannot mean: a PCID under every ASID, which reaches into guests.
//!
//! Needs no CPU that has the instruction: the kernel executes what is encoded here, its emulator carries out what is
//! decoded here, and the tests of both run on a host.
#![no_std]
#![forbid(unsafe_code)]

use gupsync::types::{FrameSize, PAGE_SIZE, Range, VirtAddr};

/// In rAX: the address is meant.
const VA: u64 = 1;
/// In rAX: the PCID in EDX is meant.
const PCID: u64 = 1 << 1;
/// In rAX: the ASID in EDX is meant. Linux sets it always.
const ASID: u64 = 1 << 2;
/// In rAX: global translations too.
const GLOBAL: u64 = 1 << 3;
/// In rAX: the bits below the address that must be 0; the first of them is for CPUs with nested paging. Bit 4, for final
/// translations only, may be set: what goes besides does no harm.
const RAX_RESERVED: u64 = 0xfe0;
/// In ECX: pages beyond the first.
const COUNT: u32 = 0xffff;
/// In ECX: the pages are of 2 MiB.
const HUGE_STRIDE: u32 = 1 << 31;
/// In EDX: the ASID, and the place of the PCID above it.
const ASID_FIELD: u32 = 0xffff;
const PCID_SHIFT: u32 = 16;
const PCID_FIELD: u32 = 0xfff;

/// What the instruction finds in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Address, and which fields are meant.
    pub rax: u64,
    /// Count and stride.
    pub ecx: u32,
    /// ASID and PCID.
    pub edx: u32,
}

/// What a CPU takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most pages at a time: one more than CPUID says.
    pub pages: u64,
    /// The highest ASID of its guests; 0 if it runs none.
    pub asid: u16,
}

/// What is to be invalidated, on every CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Of the guest with this ASID (0 is the host), or of all.
    pub asid: Option<u16>,
    /// Of the mm with this PCID, or of all.
    pub pcid: Option<u16>,
    /// Global translations too, whatever their PCID.
    pub global: bool,
    /// Where.
    pub range: Range,
}

/// Why the instruction is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A bit is set that must not be.
    ReservedBit,
    /// The address, or that of the last page, is none.
    NotCanonical,
    /// More pages than the CPU takes at a time.
    TooManyPages,
    /// An ASID that no guest can have.
    NoSuchAsid,
    /// A PCID under every ASID. Hardware may take it.
    PcidOfEveryAsid,
}

/// Everything, the kernel's translations too.
pub const EVERYTHING: Registers = Registers { rax: ASID | GLOBAL, ecx: 0, edx: 0 };

/// Everything but global translations.
pub const NON_GLOBAL: Registers = Registers { rax: ASID, ecx: 0, edx: 0 };

/// `range` of the mm with this PCID. The ASID of the host or of a bare machine is 0.
///
/// # Panics
///
/// If the PCID has more than 12 bits, or the range no page or more than the format has room for.
pub fn encode(pcid: u64, range: Range) -> Registers {
    let pcid = u32::try_from(pcid).ok().filter(|pcid| *pcid <= PCID_FIELD).expect("a PCID has 12 bits");
    let (rax, ecx) = match range {
        Range::All => (0, 0),
        Range::Pages { start, pages, size } => {
            let beyond = pages.checked_sub(1).and_then(|beyond| u32::try_from(beyond).ok());
            let count = beyond.filter(|beyond| *beyond <= COUNT).expect("1 to 65,536 pages");
            let stride = if size == FrameSize::Huge { HUGE_STRIDE } else { 0 };
            (start.0 & !(PAGE_SIZE - 1) | VA, count | stride)
        }
    };
    Registers { rax: rax | PCID | ASID, ecx, edx: pcid << PCID_SHIFT }
}

/// What the registers say to a CPU of these limits.
///
/// # Errors
///
/// Where the instruction is not carried out.
pub fn decode(registers: Registers, limits: Limits) -> Result<Operation, Refused> {
    let Registers { rax, ecx, edx } = registers;
    let is_set = |bit| rax & bit != 0;
    let reserved_edx = !(ASID_FIELD | PCID_FIELD << PCID_SHIFT);
    if is_set(RAX_RESERVED) || ecx & !(COUNT | HUGE_STRIDE) != 0 || edx & reserved_edx != 0 {
        return Err(Refused::ReservedBit);
    }
    let pages = u64::from(ecx & COUNT) + 1;
    if pages > limits.pages {
        return Err(Refused::TooManyPages);
    }
    let asid = is_set(ASID).then_some((edx & ASID_FIELD) as u16);
    if asid.is_some_and(|asid| asid > limits.asid) {
        return Err(Refused::NoSuchAsid);
    }
    let pcid = is_set(PCID).then_some((edx >> PCID_SHIFT & PCID_FIELD) as u16);
    if pcid.is_some() && asid.is_none() {
        return Err(Refused::PcidOfEveryAsid);
    }
    let range = if is_set(VA) {
        let size = if ecx & HUGE_STRIDE != 0 { FrameSize::Huge } else { FrameSize::Small };
        let start = rax & !(PAGE_SIZE - 1);
        let last = start.wrapping_add((pages - 1) * size.bytes());
        if !is_canonical(start) || !is_canonical(last) {
            return Err(Refused::NotCanonical);
        }
        Range::Pages { start: VirtAddr(start), pages, size }
    } else {
        Range::All
    };
    Ok(Operation { asid, pcid, global: is_set(GLOBAL), range })
}

/// Whether bits 47 to 63 are the same.
fn is_canonical(va: u64) -> bool {
    matches!(va as i64 >> 47, 0 | -1)
}

#[cfg(test)]
mod tests;
