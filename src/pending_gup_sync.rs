//! `pending_gup_sync`: which unlinked tables may still have a GUP-fast walker inside.
//!
//! # Guarantee
//!
//! The tables inside a [`Ticket`] come out of it ([`PendingGupSync::redeem`]) only after every CPU that could have
//! been walking them has acknowledged a maskable interrupt *after* they were unlinked. A walker keeps interrupts
//! off, so none that could have seen the tables is still inside them.
//!
//! # Mechanism
//!
//! Two monotonic counters: `modified` counts batches of unlinked tables, `synced` is the highest batch covered.
//! *Pending* means `synced < modified`. A boolean would lose an unlink that happens while a round of interrupts
//! is under way; a counter cannot, because a round covers only what it had seen before it looked for its targets.
//!
//! The tokens are a chain, and each is made only from the one before:
//!
//! ```text
//! Batch --unlink--> Ticket ----------------------------redeem--> the tables
//!                                                        ^ synced >= ticket
//! begin --> Snapshot --targets--> Targets --acked--> AckedByAll --cover--> synced moves
//!           (modified)            (cpumask)          (every ack is in)
//! ```
//!
//! This file performs no I/O: who is interrupted, and how, is the business of [`crate::call`].
//!
//! # What does not compile
//!
//! A ticket cannot be made up, nor its tables reached before it is covered:
//!
//! ```compile_fail,E0616
//! # use gupsync::pending_gup_sync::{Batch, PendingGupSync};
//! # use gupsync::mm::MmId;
//! let pending = PendingGupSync::new(MmId::new(1));
//! let ticket = pending.unlink(Batch::new("a table"));
//! let table = ticket.tables;
//! ```
//!
//! A batch is consumed by its ticket, so what is unlinked later needs a ticket of its own:
//!
//! ```compile_fail,E0382
//! # use gupsync::pending_gup_sync::{Batch, PendingGupSync};
//! # use gupsync::mm::MmId;
//! # let entry = gupsync::atomic::AtomicU64::new(7);
//! let pending = PendingGupSync::new(MmId::new(1));
//! let mut batch = Batch::new("a table");
//! let ticket = pending.unlink(batch);
//! batch.clear(&entry);
//! ```
//!
//! `synced` moves only by an [`AckedByAll`], which nobody can make without the acks:
//!
//! ```compile_fail,E0451
//! # use gupsync::pending_gup_sync::{AckedByAll, PendingGupSync};
//! # use gupsync::mm::MmId;
//! let pending = PendingGupSync::new(MmId::new(1));
//! let snapshot = pending.begin();
//! AckedByAll { snapshot }.cover();
//! ```
//!
//! nor can a snapshot serve twice:
//!
//! ```compile_fail,E0382
//! # use gupsync::pending_gup_sync::PendingGupSync;
//! # use gupsync::{call::Acks, cpumask::CpuSet, mm::MmId};
//! # fn round(acks: &Acks) {
//! let pending = PendingGupSync::new(MmId::new(1));
//! let snapshot = pending.begin();
//! let _ = snapshot.acked_by_everyone(acks);
//! let _ = snapshot.acked_by_everyone(acks);
//! # }
//! ```

use crate::atomic::{AtomicU64, Ordering, fence};
use crate::call::Acks;
use crate::cpumask::CpuSet;
use crate::mm::MmId;

/// The pending synchronisation of one mm.
pub struct PendingGupSync {
    mm: MmId,
    /// Tickets handed out.
    modified: AtomicU64,
    /// Highest ticket covered by a complete round.
    synced: AtomicU64,
}

/// Page tables on their way out: their entries are being cleared, no ticket has been taken.
///
/// `T` is whatever names the tables (a frame, a gather's list). It is out of reach until the ticket is covered.
#[must_use = "tables that are unlinked but never ticketed are lost"]
pub struct Batch<T> {
    tables: T,
}

/// Unlinked tables together with the number that must be covered before they may be reused.
#[must_use = "the tables stay out of use until the ticket is redeemed"]
#[derive(Debug)]
pub struct Ticket<T> {
    mm: MmId,
    number: u64,
    tables: T,
}

/// What `modified` was before a round looked for its targets: all that the round can cover.
#[must_use = "a snapshot covers nothing until every CPU of the mm has acknowledged"]
pub struct Snapshot<'mm> {
    of: &'mm PendingGupSync,
    seen: u64,
}

/// A snapshot and the CPUs whose acknowledgement it needs.
#[must_use = "targets must be interrupted and their acks awaited"]
pub struct Targets<'mm> {
    snapshot: Snapshot<'mm>,
    need: CpuSet,
}

/// Proof that every CPU of the mm was the sender, skippable, or acknowledged from its maskable handler,
/// all of it after the snapshot.
#[must_use = "the round is over, but `synced` has not moved yet"]
pub struct AckedByAll<'mm> {
    snapshot: Snapshot<'mm>,
}

/// What a round covered: the tickets `(after, upto]`. Empty when another round had been faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    after: u64,
    upto: u64,
}

impl PendingGupSync {
    /// Nothing unlinked, nothing pending.
    pub fn new(mm: MmId) -> Self {
        PendingGupSync { mm, modified: AtomicU64::new(0), synced: AtomicU64::new(0) }
    }

    /// Takes the ticket of a batch whose entries are all cleared.
    ///
    /// On x86 the clears (`xchg`) and the ticket (`lock xadd`) are full fences already, and F1 costs nothing that
    /// Linux would pay; written with plain stores it would be an `mfence`.
    pub fn unlink<T>(&self, batch: Batch<T>) -> Ticket<T> {
        // F1: the clears are visible before the ticket can be. Pairs with F3 in `Cpu::switch_to` (a CPU that a
        // round has not found in the cpumask sees the cleared entries when it starts to walk) and with the
        // Acquire in `begin`: whoever covers this ticket started its round after the clears. After the ticket
        // the fence would be too late: a third party's round could see the ticket, miss the joining CPU, and
        // cover it while that CPU still reads the old entry.
        fence(Ordering::SeqCst);
        // Release: pairs with the Acquire in `begin`. F1, which precedes it, would do for a relaxed one as well;
        // the pair is easier to see so.
        let number = self.modified.fetch_add(1, Ordering::Release) + 1;
        Ticket { mm: self.mm, number, tables: batch.tables }
    }

    /// Starts a round: call before reading anything about its targets.
    pub fn begin(&self) -> Snapshot<'_> {
        // Acquire: pairs with the Release of `unlink`. What is read about the targets from here on is read after
        // the clears of every ticket seen.
        Snapshot { of: self, seen: self.modified.load(Ordering::Acquire) }
    }

    /// Gives the tables back if their ticket is covered, the ticket otherwise.
    ///
    /// # Panics
    ///
    /// If the ticket is of another mm: its number means nothing here.
    pub fn redeem<T>(&self, ticket: Ticket<T>) -> Result<T, Ticket<T>> {
        if self.covers(&ticket) { Ok(ticket.tables) } else { Err(ticket) }
    }

    /// Whether a ticket is covered.
    ///
    /// # Panics
    ///
    /// As [`PendingGupSync::redeem`].
    pub fn covers<T>(&self, ticket: &Ticket<T>) -> bool {
        assert_eq!(self.mm, ticket.mm, "a ticket of {:?} was shown to {:?}", ticket.mm, self.mm);
        // Acquire: pairs with the Release in `cover`. Every walk that an ack of that round waited for happened
        // before the reuse that follows.
        self.synced.load(Ordering::Acquire) >= ticket.number
    }

    /// How many tickets were taken, and how many are covered. Exact when nobody is at work.
    pub fn counts(&self) -> (u64, u64) {
        // Relaxed: for reports.
        (self.modified.load(Ordering::Relaxed), self.synced.load(Ordering::Relaxed))
    }

    /// Whether some unlinked table is not covered yet. A hint: it may be out of date when it returns.
    pub fn is_pending(&self) -> bool {
        let (modified, synced) = self.counts();
        synced < modified
    }
}

impl<T> Batch<T> {
    /// A batch that will carry `tables`; clear the entries that lead to them next.
    pub fn new(tables: T) -> Self {
        Batch { tables }
    }

    /// Clears one entry that leads to a table of this batch and returns what it held.
    pub fn clear(&mut self, entry: &AtomicU64) -> u64 {
        // Relaxed: F1 orders all clears of the batch before its ticket. A swap, because the MMU may set
        // accessed and dirty bits at the same time.
        entry.swap(0, Ordering::Relaxed)
    }
}

impl<T> Ticket<T> {
    /// The number of the batch, from 1 up, for traces and reports.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The same ticket, for tables that turned out to be the holder's to free.
    pub fn carrying<U>(self, tables: U) -> Ticket<U> {
        Ticket { mm: self.mm, number: self.number, tables }
    }

    /// Hands the tables out on somebody else's word that no walker is inside them.
    ///
    /// For the policies that this project compares itself with: they have an argument of their own (or, like
    /// `never`, none). The protocol itself uses [`PendingGupSync::redeem`] only.
    pub fn release_on_the_word_of(self, _policy: &'static str) -> T {
        self.tables
    }
}

impl<'mm> Snapshot<'mm> {
    /// Adds the CPUs whose acks the round needs. `collect` reads the cpumask (Acquire) and leaves out the sender
    /// and the skippable ones; it runs after the snapshot because it cannot run without it.
    pub fn targets(self, mut need: CpuSet, collect: impl FnOnce(&mut CpuSet)) -> Targets<'mm> {
        need.clear();
        collect(&mut need);
        Targets { snapshot: self, need }
    }

    /// For rounds that interrupt every other CPU of the machine: no mask is read, all must have acknowledged.
    pub fn acked_by_everyone(self, acks: &Acks) -> Option<AckedByAll<'mm>> {
        acks.is_everyone().then_some(AckedByAll { snapshot: self })
    }
}

impl<'mm> Targets<'mm> {
    /// The CPUs whose acks are needed.
    pub fn need(&self) -> &CpuSet {
        &self.need
    }

    /// The proof, if the acks include every CPU that was needed; with it the set, for its next use.
    pub fn acked(self, acks: &Acks) -> (Option<AckedByAll<'mm>>, CpuSet) {
        let complete = self.need.is_subset_of(acks.by());
        (complete.then_some(AckedByAll { snapshot: self.snapshot }), self.need)
    }
}

impl AckedByAll<'_> {
    /// Moves `synced` up to the snapshot. The only way it moves.
    pub fn cover(self) -> Covered {
        let Snapshot { of, seen } = self.snapshot;
        // Release: pairs with the Acquire in `redeem`; hands the acks (acquired in `InFlight::wait`) on to
        // whoever reuses a table without having sent an interrupt himself. A maximum, because a round that
        // began later may have finished first.
        let before = of.synced.fetch_max(seen, Ordering::Release);
        Covered { after: before, upto: before.max(seen) }
    }
}

impl Covered {
    /// How many tickets this round covered first.
    pub fn count(&self) -> u64 {
        self.upto - self.after
    }

    /// Whether this round was the first to cover ticket `number`.
    pub fn includes(&self, number: u64) -> bool {
        self.after < number && number <= self.upto
    }
}
