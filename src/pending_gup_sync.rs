//! `pending_gup_sync`: which unlinked tables may still have a GUP-fast walker inside.
//!
//! # Guarantee
//!
//! The tables inside a [`Ticket`] come out of it ([`PendingGupSync::redeem`]) only after every CPU that could have been
//! walking them was outside every walk, at some moment *after* they were unlinked: it has acknowledged with no walk
//! below it, or it was seen where no walk is. So no walker that could have seen them is still inside.
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
//! Batch --unlink--> Ticket ------------------------------redeem--> the tables
//!                                                          ^ synced >= ticket
//! begin --> Begun ------possible_walkers--> Targets --issue--> InFlight --all acked--> AckedByAll --cover--> synced moves
//!           (Snapshot: modified)            (cpumask)
//! ```
//!
//! This file performs no I/O. [`crate::sync_round`] decides whom a round interrupts, and makes the `Targets`.
//!
//! # What does not compile
//!
//! A ticket cannot be made up, nor its tables reached before it is covered:
//!
//! ```compile_fail,E0616
//! # use gupsync::pending_gup_sync::Ticket;
//! # use gupsync::types::Frame;
//! fn reuse(ticket: Ticket<Frame>) -> Frame {
//!     ticket.tables
//! }
//! ```
//!
//! What is unlinked later needs a ticket of its own. The entries of a batch are cleared before its ticket is taken:
//!
//! ```compile_fail,E0521
//! # use gupsync::{machine::Machine, mm::Mm, pending_gup_sync::Batch, policy, types::Frame, world::Cpu};
//! # fn unlink<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, entry: &gupsync::atomic::AtomicU64, table: Frame) {
//! let mut later: Option<&mut Batch<Frame>> = None;
//! let ticket = policy::unlink(cpu, mm, table, |batch| later = Some(batch));
//! later.unwrap().clear(entry);
//! # }
//! ```
//!
//! and no table is put under a ticket that was taken before it was unlinked. (A table that was not in the batch: the
//! ticket can only be made to carry less.)
//!
//! ```compile_fail,E0599
//! # use gupsync::{pending_gup_sync::Ticket, types::Frame};
//! fn later_table(covered: Ticket<Frame>, later: Frame) -> Ticket<Frame> {
//!     covered.carrying(later)
//! }
//! ```
//!
//! `synced` moves only by an [`AckedByAll`], which cannot be made without the acks:
//!
//! ```compile_fail,E0451
//! # use gupsync::pending_gup_sync::{AckedByAll, Snapshot};
//! fn forge(snapshot: Snapshot<'_>) {
//!     AckedByAll { snapshot }.cover();
//! }
//! ```
//!
//! nor from a round that a caller says had no targets; and a snapshot taken by hand, after the acks, covers nothing:
//!
//! ```compile_fail,E0624
//! # use gupsync::{mm::Mm, smp_call::Acks};
//! fn forge(mm: &Mm, acks: &Acks) {
//!     let snapshot = mm.pending.begin();
//! }
//! ```
//!
//! ```compile_fail,E0624
//! # use gupsync::{cpumask::CpuSet, pending_gup_sync::Snapshot, smp_call::Acks};
//! fn forge(snapshot: Snapshot<'_>, acks: &Acks) {
//!     let none = CpuSet::new(8);
//!     snapshot.acked_by(&none, acks).expect("an empty set").cover();
//! }
//! ```

use alloc::vec::Vec;

use crate::atomic::{AtomicU64, Ordering, fence};
use crate::cpumask::CpuSet;
use crate::smp_call::Acks;
use crate::types::MmId;

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
/// `T` names the tables (a frame, a gather's list). It is out of reach until the ticket is covered.
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
#[must_use = "a snapshot covers nothing until every possible walker has acknowledged"]
pub struct Snapshot<'mm> {
    of: &'mm PendingGupSync,
    seen: u64,
}

/// Proof that every CPU was the one that looked, in no walk of the mm that matters, or acknowledged with no walk below,
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
    pub(crate) fn new(mm: MmId) -> Self {
        PendingGupSync { mm, modified: AtomicU64::new(0), synced: AtomicU64::new(0) }
    }

    /// Takes the ticket of a batch whose entries are all cleared.
    ///
    /// On x86 the clears (`xchg`) and the ticket (`lock xadd`) are full fences already, and F1 costs nothing that
    /// Linux would pay; written with plain stores it would be an `mfence`.
    pub(crate) fn unlink<T>(&self, batch: Batch<T>) -> Ticket<T> {
        // F1: the clears are visible before the ticket can be. Pairs with F3 in `switch_mm` (a CPU that a round has not
        // found in the cpumask sees the cleared entries when it starts to walk) and with the Acquire in `begin`: the
        // round that covers this ticket started after the clears. After the ticket the fence would be too late: a third
        // party's round could see the ticket, miss the joining CPU, and cover it while that CPU still reads the old entry.
        fence(Ordering::SeqCst);
        // Release: pairs with the Acquire in `begin`. F1, which precedes it, would do for a relaxed one as well;
        // the pair is easier to see so.
        let number = self.modified.fetch_add(1, Ordering::Release) + 1;
        Ticket { mm: self.mm, number, tables: batch.tables }
    }

    /// Starts a round: before anything is read about its targets.
    pub(crate) fn begin(&self) -> Snapshot<'_> {
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
        if self.mm != ticket.mm {
            shown_to_another(ticket.mm, self.mm);
        }
        // Acquire: pairs with the Release in `cover`. Every walk that an ack of that round waited for happened
        // before the reuse that follows.
        self.synced.load(Ordering::Acquire) >= ticket.number
    }

    /// How many tickets were taken, and how many are covered. Exact when no CPU is at work.
    pub fn counts(&self) -> (u64, u64) {
        // Relaxed: figures.
        (self.modified.load(Ordering::Relaxed), self.synced.load(Ordering::Relaxed))
    }

    /// Whether some unlinked table is not covered yet. A hint: it may be out of date when it returns.
    pub fn is_pending(&self) -> bool {
        let (modified, synced) = self.counts();
        synced < modified
    }
}

/// Apart from [`PendingGupSync::covers`], and by value: the ticket stays in registers there.
#[cold]
fn shown_to_another(of: MmId, to: MmId) -> ! {
    panic!("a ticket of {of:?} was shown to {to:?}")
}

impl<T> Batch<T> {
    /// A batch that will carry `tables`; the entries that lead to them are cleared next.
    pub(crate) fn new(tables: T) -> Self {
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
    /// The number of the batch, from 1 up, for traces and findings.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Hands the tables out without a look at the counters. For callers that have another argument that no walker is
    /// inside, and say so: a policy ([`crate::policy::release`]) and a grace period ([`crate::ops::deferred`]).
    pub(crate) fn into_tables(self) -> T {
        self.tables
    }
}

impl<T> Ticket<T> {
    /// One ticket for the tables of all: the latest number, since what covers it covers the earlier ones.
    ///
    /// # Panics
    ///
    /// If there is none, or they are of several mms.
    pub(crate) fn join(tickets: impl Iterator<Item = Ticket<T>>) -> Ticket<Vec<T>> {
        tickets
            .map(|Ticket { mm, number, tables }| Ticket { mm, number, tables: Vec::from([tables]) })
            .reduce(|mut all, mut one| {
                assert_eq!(all.mm, one.mm, "tickets of {:?} and {:?} were joined", all.mm, one.mm);
                all.tables.append(&mut one.tables);
                Ticket { number: all.number.max(one.number), ..all }
            })
            .expect("there is one to join")
    }
}

impl<T> Ticket<Vec<T>> {
    /// The same ticket for fewer tables: the others were not the unlinker's to free.
    pub fn keep_only(mut self, keep: impl FnMut(&T) -> bool) -> Self {
        self.tables.retain(keep);
        self
    }
}

impl<'mm> Snapshot<'mm> {
    /// The proof, if every CPU of `need` has acknowledged. `need` was read from the cpumask after the snapshot:
    /// [`crate::sync_round`], the only caller, sees to that.
    pub(crate) fn acked_by(self, need: &CpuSet, acks: &Acks) -> Option<AckedByAll<'mm>> {
        need.is_subset_of(acks.by()).then_some(AckedByAll { snapshot: self })
    }

    /// The proof, if every CPU of the machine but the sender has acknowledged: no mask is read then.
    pub(crate) fn acked_by_everyone(self, acks: &Acks) -> Option<AckedByAll<'mm>> {
        acks.is_everyone().then_some(AckedByAll { snapshot: self })
    }
}

impl AckedByAll<'_> {
    /// Moves `synced` up to the snapshot. The only way it moves.
    pub fn cover(self) -> Covered {
        let Snapshot { of, seen } = self.snapshot;
        // Release: pairs with the Acquire in `covers`; hands the acks, which the sender has acquired, on to an unlinker
        // that reuses its table without having sent an interrupt. A maximum, because a round that began later may have
        // finished first.
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
