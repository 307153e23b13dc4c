//! Page tables: four levels, the x86-64 entry format, and the marks by which a walker knows its own table.
//!
//! # Guarantee
//!
//! A walker that reads an entry finds out from that entry alone whether the table is still part of the mm that
//! it walks: an entry of a table in use carries the tag of its 2 MiB range, or of the one mm that has it for itself;
//! one of a table taken out of use is [`Entry::POISON`]. The MMU ignores the bits of the tag, and poison is not
//! present.

use crate::atomic::{AtomicU64, Ordering};
use crate::machine::Machine;
use crate::types::{ENTRIES, Frame, FrameSize, HUGE_SIZE, MmId, VirtAddr};

/// A page-table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub u64);

impl Entry {
    /// What fills a table that is out of use.
    pub const POISON: Entry = Entry(0x0bad_7ab1_0bad_7ab0);

    const PRESENT: u64 = 1;
    const WRITABLE: u64 = 1 << 1;
    const ACCESSED: u64 = 1 << 5;
    const DIRTY: u64 = 1 << 6;
    const HUGE: u64 = 1 << 7;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    /// Bits 52 to 58, which the MMU ignores.
    const TAG_SHIFT: u32 = 52;
    const TAG_MASK: u64 = 0x7f;
    /// The tag of a private table has this bit, and the number of its mm.
    const PRIVATE_TAG: u64 = 0x40;

    /// An entry that leads to a table or, at the last level, to a page. Accessed and dirty are set beforehand, so
    /// that the MMU never writes to it.
    pub fn to(frame: Frame, va: VirtAddr) -> Self {
        Entry(
            frame.0
                | Self::PRESENT
                | Self::WRITABLE
                | Self::ACCESSED
                | Self::DIRTY
                | Self::tag_of(va) << Self::TAG_SHIFT,
        )
    }

    /// An entry that maps 2 MiB.
    pub fn huge(frame: Frame, va: VirtAddr) -> Self {
        Entry(Self::to(frame, va).0 | Self::HUGE)
    }

    /// The same entry without the right to write.
    pub fn read_only(self) -> Self {
        Entry(self.0 & !Self::WRITABLE)
    }

    /// Whether it leads anywhere.
    pub fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether it maps memory above the last level.
    pub fn is_huge(self) -> bool {
        self.0 & Self::HUGE != 0
    }

    /// Where it leads.
    pub fn frame(self) -> Frame {
        Frame(self.0 & Self::ADDRESS)
    }

    /// The same entry in a table that was shared and is now `mm`'s alone.
    pub fn private_to(self, mm: MmId) -> Self {
        let tag = Self::PRIVATE_TAG | mm.word();
        Entry(self.0 & !(Self::TAG_MASK << Self::TAG_SHIFT) | tag << Self::TAG_SHIFT)
    }

    /// Whether it belongs to a table in which `mm` finds `va`.
    pub fn is_of(self, va: VirtAddr, mm: MmId) -> bool {
        let tag = self.0 >> Self::TAG_SHIFT & Self::TAG_MASK;
        tag == Self::tag_of(va) || tag == Self::PRIVATE_TAG | mm.word()
    }

    /// Differs for the 62 ranges before and after, and for the ranges in the same place of the 63 tables before and after,
    /// which is where a walker reads, whichever table it is in.
    fn tag_of(va: VirtAddr) -> u64 {
        let range = va.0 / HUGE_SIZE;
        (range + range / ENTRIES as u64) & (Self::PRIVATE_TAG - 1)
    }
}

/// The place of `va` in a table of `level`, 4 (the root) to 1 (the PTE table).
pub fn index(va: VirtAddr, level: u32) -> usize {
    (va.0 >> (12 + 9 * (level - 1))) as usize % ENTRIES
}

/// Gives a new root the kernel's half.
pub(crate) fn copy_kernel_half<M: Machine>(machine: &M, root: Frame) {
    let (root, kernel) = (machine.words(root), machine.words(machine.kernel_root()));
    for index in 0..root.len() {
        // Relaxed: the root is published by what publishes its mm.
        let entry = if index < ENTRIES / 2 { 0 } else { kernel[index].load(Ordering::Relaxed) };
        root[index].store(entry, Ordering::Relaxed);
    }
}

/// The entry of `va` at `level` below `root`, with every table above it made if need be. `None` if there is no memory.
///
/// For the owner of this part of the mm. Its upper tables are taken away by [`crate::ops::exit`] alone, which is the owner then
/// of all that they lead to.
pub(crate) fn entry<M: Machine>(machine: &M, root: Frame, va: VirtAddr, level: u32) -> Option<&AtomicU64> {
    let mut table = root;
    for upper in (level + 1..=4).rev() {
        let slot = &machine.words(table)[index(va, upper)];
        // Relaxed: written by this owner.
        let found = Entry(slot.load(Ordering::Relaxed));
        table = if found.is_present() {
            found.frame()
        } else {
            let new = machine.alloc(FrameSize::Small)?;
            fill(machine, new, Entry(0));
            link(slot, Entry::to(new, va));
            new
        };
    }
    Some(&machine.words(table)[index(va, level)])
}

/// Gives back all that the lower half of `root` maps, its tables, and `root` itself. No CPU has it loaded any more.
pub(crate) fn free_all<M: Machine>(machine: &M, root: Frame) {
    let words = machine.words(root);
    words[..words.len().div_ceil(2)].iter().for_each(|slot| free_below(machine, slot, 4));
    machine.free(root, FrameSize::Small);
}

/// Gives back what `slot`, an entry of a table of `level`, leads to.
fn free_below<M: Machine>(machine: &M, slot: &AtomicU64, level: u32) {
    // Relaxed: no other CPU is here.
    let entry = Entry(slot.load(Ordering::Relaxed));
    if !entry.is_present() {
        return;
    }
    if entry.is_huge() {
        return machine.free(entry.frame(), FrameSize::Huge);
    }
    if level > 1 {
        machine.words(entry.frame()).iter().for_each(|slot| free_below(machine, slot, level - 1));
    }
    machine.free(entry.frame(), FrameSize::Small);
}

/// Makes what was prepared under `entry` reachable.
pub fn link(slot: &AtomicU64, entry: Entry) {
    // Release: pairs with the Acquire in `descend`; the walker sees the table filled.
    slot.store(entry.0, Ordering::Release);
}

/// Writes `entry` into all places of a table that no CPU walks.
pub fn fill<M: Machine>(machine: &M, table: Frame, entry: Entry) {
    for slot in machine.words(table) {
        // Relaxed: published by `link`.
        slot.store(entry.0, Ordering::Relaxed);
    }
}
