//! GUP-fast: reading the page tables of the loaded mm without a lock.
//!
//! # Guarantee
//!
//! [`gup_fast`] returns a page only if the page was mapped at the address while the reference was taken. It never
//! writes to a page table and takes no lock; it holds off an unlinker that wants to reuse a table by nothing but keeping
//! maskable interrupts off.
//!
//! # Mechanism
//!
//! Descend, pin, look again. The page is pinned by a reference that is only taken if there is one already; then
//! the entries that led to it are read once more, and if either has changed the reference is dropped.
//!
//! The walker is built once per policy ([`Policy::walk_begin`]), so that what a policy costs here can be measured.

use crate::atomic::{AtomicU64, Ordering};
use crate::detect::{Caught, Violation};
use crate::event::Event;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::page_table::{self, Entry};
use crate::policy::Policy;
use crate::types::{Frame, FrameSize, HUGE_SIZE, MmId, PAGE_SIZE, VirtAddr};
use crate::world::{Cpu, IrqsOff};

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// At a page, which the caller must give back by [`World::put_page`](crate::world::World::put_page).
    Pinned {
        /// What was pinned: a page, or a huge page as a whole.
        page: Frame,
        /// The 4 KiB of it at the address.
        contents: Frame,
        /// How large the page is.
        size: FrameSize,
    },
    /// At an entry that leads nowhere.
    NotMapped,
    /// At a page whose mapping changed underneath.
    BackedOff,
    /// In a table that has another owner by now: a sync was missing.
    Caught,
}

impl Walked {
    /// Whether the walk came to a page of the range, held or not: it was inside the tables that lead there.
    pub fn has_reached(self) -> bool {
        matches!(self, Walked::Pinned { .. } | Walked::BackedOff)
    }

    /// As it is counted. A walk that was caught is a finding, and counted as one.
    fn event(self) -> Option<Event> {
        match self {
            Walked::Pinned { size: FrameSize::Small, .. } => Some(Event::WalkPinned),
            Walked::Pinned { size: FrameSize::Huge, .. } => Some(Event::WalkHuge),
            Walked::BackedOff => Some(Event::WalkBackedOff),
            Walked::NotMapped => Some(Event::WalkNotMapped),
            Walked::Caught => None,
        }
    }
}

/// Walks `mm`, which this CPU has loaded, to the page at `va`, and pins it.
///
/// `inside` runs in every table of the descent, the root apart, before its entry is read, and once more when the page
/// is pinned, before the entries are looked at again: an experiment may hold the walker there. It is given the level, 3
/// down to 1, and the table; then 0, and the page.
///
/// Not inlined: its code can be looked at, and is nothing but the walk. It has no locked instruction and no fence but the
/// policy's own, and the one that takes a reference.
#[inline(never)]
pub fn gup_fast<'w, P: Policy, M: Machine>(
    cpu: &mut Cpu<'w, M>,
    mm: &Mm,
    va: VirtAddr,
    mut inside: impl FnMut(&IrqsOff<'w, M>, u32, Frame),
) -> Walked {
    cpu.irqs_off(|off| {
        P::walk_begin(off, mm.id);
        off.begin_walk(mm);
        let walked = match descend(off, mm, va, &mut inside) {
            Found::Page(entry, _) if !pin(off, entry.frame()) => Walked::BackedOff,
            Found::Page(entry, path) => {
                inside(off, 0, entry.frame());
                look_again(off, va, entry, path)
            }
            Found::Nothing => Walked::NotMapped,
            Found::OtherOwner => Walked::Caught,
        };
        off.end_walk(mm);
        // It is nested in no other walk: interrupts were on.
        P::walk_end(off, MmId::KERNEL);
        if let Some(event) = walked.event() {
            off.note(mm.id, event, 1);
        }
        walked
    })
}

/// Where a descent has ended.
pub(crate) enum Found<'m> {
    /// At an entry that maps a page, and by this path.
    Page(Entry, Path<'m>),
    /// At an entry that leads nowhere.
    Nothing,
    /// In a table that has another owner by now. It was reported.
    OtherOwner,
}

/// Goes down the tables of `mm`. A walk is what has told the policy before, and tells it afterwards.
#[inline(always)]
pub(crate) fn descend<'w, M: Machine>(
    off: &IrqsOff<'w, M>,
    mm: &Mm,
    va: VirtAddr,
    inside: &mut impl FnMut(&IrqsOff<'w, M>, u32, Frame),
) -> Found<'w> {
    let machine = &off.world().machine;
    let mut table = mm.root;
    let mut above = None;
    for level in (1..=4).rev() {
        if level < 4 {
            inside(off, level, table);
        }
        let slot = &machine.words(table)[page_table::index(va, level)];
        // Acquire: pairs with the Release in `link`; the table that the entry leads to is filled.
        let entry = Entry(slot.load(Ordering::Acquire));
        let is_others = entry == Entry::POISON || (level <= 2 && entry.is_present() && !entry.is_of(va, mm.id));
        if M::INSTRUMENTED && is_others {
            let ticket = machine.page(table).unlinked_with();
            let (kind, cpu, mm) = (Caught::InsideReusedTable, off.id(), mm.id);
            off.world().caught(Violation { kind, cpu, mm, va, table, ticket });
            return Found::OtherOwner;
        }
        if !entry.is_present() {
            return Found::Nothing;
        }
        if level == 1 || entry.is_huge() {
            return Found::Page(entry, [Some((slot, entry)), above]);
        }
        above = Some((slot, entry));
        table = entry.frame();
    }
    unreachable!("level 1 always returns")
}

/// The entries that led to a page, and what they held.
type Path<'m> = [Option<(&'m AtomicU64, Entry)>; 2];

/// Takes a reference, if there is one already. Not inlined: it has the walk's locked instruction.
#[inline(never)]
fn pin<M: Machine>(off: &IrqsOff<'_, M>, page: Frame) -> bool {
    off.world().machine.page(page).try_get()
}

/// The page of `entry` is pinned: it stays so if it is still mapped.
fn look_again<M: Machine>(off: &IrqsOff<'_, M>, va: VirtAddr, entry: Entry, path: Path<'_>) -> Walked {
    // Relaxed: after the Acquire in `try_get`. If the page has a new owner, the entry was changed before.
    let unchanged = path.iter().flatten().all(|(slot, entry)| slot.load(Ordering::Relaxed) == entry.0);
    if unchanged {
        let page = entry.frame();
        let offset = if entry.is_huge() { (va.0 % HUGE_SIZE) & !(PAGE_SIZE - 1) } else { 0 };
        let size = if entry.is_huge() { FrameSize::Huge } else { FrameSize::Small };
        return Walked::Pinned { page, contents: Frame(page.0 + offset), size };
    }
    off.world().put_page(entry.frame());
    Walked::BackedOff
}

impl<M: Machine> IrqsOff<'_, M> {
    /// Marks this CPU as walking, for the figures beside a sync. They order nothing.
    fn begin_walk(&self, mm: &Mm) {
        if M::INSTRUMENTED {
            self.state().walk.begin(&self.world().unlink_clock, mm.id);
        }
        self.note(mm.id, Event::WalkBegin, 1);
    }

    fn end_walk(&self, mm: &Mm) {
        if M::INSTRUMENTED {
            self.state().walk.end();
        }
        self.note(mm.id, Event::WalkEnd, 1);
    }
}
