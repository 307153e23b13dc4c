//! The local ASIDs of one CPU: of which mms its TLB keeps translations, and which flush of theirs each is up to.
//!
//! # Guarantee
//!
//! A local ASID that [`LocalAsids::choose`] says may be kept was last loaded for the same mm, and what the TLB holds of
//! it was looked up after the change that flush number `tlb_gen` of that mm is about, and every one before.
//!
//! # Mechanism
//!
//! Linux's `cpu_tlbstate.ctxs`, and `choose_new_asid()`: a few places, each with an mm and a `tlb_gen`. An mm that has
//! one is loaded under it again: without dropping anything if its `tlb_gen` is that of the mm, after dropping all of
//! that ASID if it is behind. An mm that has none takes one by turns; what the TLB holds of it, of another mm, is
//! dropped. The kernel's own tables take a place like any mm, and no flush of theirs is counted ([`Machine::flush_all`]
//! makes a TLB forget them).
//!
//! An mm that is flushed while it is not loaded here costs this CPU nothing but its being behind. An mm that is given a
//! global ASID leaves its place as it is: behind, by the flushes that follow.
//!
//! Linux's `ctx_id` is never used again; an mm's number is here ([`renew`]), with a `tlb_gen` that no place is up to.
//!
//! [`Machine::flush_all`]: crate::machine::Machine::flush_all
//! [`renew`]: crate::world::Cpu::renew

use crate::atomic::{Ordering, Own};
use crate::types::{Asid, Cached, LOCAL_ASIDS, MmId};

/// All of them. Used by their CPU alone, interrupts off.
pub(crate) struct LocalAsids {
    places: [Place; LOCAL_ASIDS],
    /// The place that is taken next.
    next: Own,
}

struct Place {
    mm: Own,
    tlb_gen: Own,
}

/// What [`LocalAsids::choose`] has found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The TLB is up to the mm's last flush.
    UpToDate,
    /// The TLB holds translations of the mm from before its last flush.
    Behind,
    /// The TLB may hold translations of another mm.
    NoPlace,
}

impl Found {
    /// What the load does with what the TLB holds.
    pub(crate) fn cached(self) -> Cached {
        match self {
            Found::UpToDate => Cached::Kept,
            Found::Behind | Found::NoPlace => Cached::Dropped,
        }
    }
}

impl LocalAsids {
    /// Of a CPU that has the kernel's tables loaded, under the first.
    pub(crate) fn new() -> Self {
        let place = |index| Place { mm: Own::new(Self::first(index).word()), tlb_gen: Own::new(0) };
        LocalAsids { places: core::array::from_fn(place), next: Own::new(1) }
    }

    /// The mm that has place `index` at first. SWITCHING is no mm's number: the place is empty.
    fn first(index: usize) -> MmId {
        if index == 0 { MmId::KERNEL } else { MmId::SWITCHING }
    }

    /// As new: the TLB is about to forget all that it holds.
    pub(crate) fn forget(&self) {
        // Relaxed, all of them: its own. The `tlb_gen` of an empty place is not looked at.
        self.places.iter().enumerate().for_each(|(index, place)| {
            place.mm.store(Self::first(index).word(), Ordering::Relaxed);
        });
        self.places[0].tlb_gen.store(0, Ordering::Relaxed);
        self.next.store(1, Ordering::Relaxed);
    }

    /// The flush that the TLB is up to, of what is loaded under `asid`.
    pub(crate) fn tlb_gen(&self, asid: Asid) -> &Own {
        &self.places[asid.local_index()].tlb_gen
    }

    /// The ASID, of the first `count`, under which `mm` is to be loaded, and what the TLB holds of it. The place says
    /// `tlb_gen` from now on, so the caller loads it at once.
    pub(crate) fn choose(&self, mm: MmId, tlb_gen: u64, count: usize) -> (Asid, Found) {
        // Relaxed, all of them: its own.
        let places = &self.places[..count.clamp(1, LOCAL_ASIDS)];
        let has_it = |place: &Place| place.mm.load(Ordering::Relaxed) == mm.word();
        let (index, found) = match places.iter().position(has_it) {
            Some(index) if places[index].tlb_gen.load(Ordering::Relaxed) == tlb_gen => (index, Found::UpToDate),
            Some(index) => (index, Found::Behind),
            None => {
                let index = self.next.load(Ordering::Relaxed) as usize % places.len();
                self.next.store(index as u64 + 1, Ordering::Relaxed);
                (index, Found::NoPlace)
            }
        };
        places[index].mm.store(mm.word(), Ordering::Relaxed);
        places[index].tlb_gen.store(tlb_gen, Ordering::Relaxed);
        (Asid::local(index), found)
    }
}
