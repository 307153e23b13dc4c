//! Page tables that several mms share, as hugetlb shares its PMD tables.
//!
//! # Guarantee
//!
//! Whoever has claimed a table ([`SharedTable::claim`]) may reuse it: no walker of an mm that has given up its share
//! is inside. The state of one mm cannot promise that, because the last to leave need not be the one whose walker
//! is still there: so the table's own descriptor carries the debt.
//!
//! # Mechanism
//!
//! How many share the table, and its state, are *one word*:
//!
//! ```text
//!            join                       drop, 2 to 1                    claim
//!  OWNED 1 --------> SHARED 2 and more -------------> SETTLING 1    OWNED 1 ---> PRIVATE 1
//!     ^                 |      ^                         |
//!     |                 +------+ join, drop              | every debt is paid: own
//!     +--------------------------------------------------+
//! ```
//!
//! 1. Before an mm drops its share, its debt is written down ([`Policy::owe`]): the CPUs that may still walk the
//!    table on its behalf. After the drop it would be too late: another one's drop could be the last but one, and
//!    find the debts without it.
//! 2. The drop from 2 to 1 makes the table SETTLING in the same operation. Its unsharer pays the debts of all
//!    ([`Policy::settle`]) and then makes the table OWNED.
//! 3. The survivor *claims* it, from OWNED to PRIVATE. To look at the count alone is not enough, because the debts may
//!    not be paid; to look at the state alone is not enough, because somebody may join between look and reuse.
//! 4. Nobody joins while it is SETTLING: the payment would not cover what he does.
//! 5. A survivor that leaves instead (1 to 0) waits until it is no longer SETTLING, and frees the table by a ticket of
//!    its own.
//!
//! [`Policy::owe`]: crate::policy::Policy::owe
//! [`Policy::settle`]: crate::policy::Policy::settle

use crate::atomic::{AtomicU64, Figure, Ordering};
use crate::cpumask::{CpuId, CpuMask, CpuSet};
use crate::machine::Machine;
use crate::mm::{Frame, MmId, VirtAddr, tables};
use crate::sync::MAX_MMS;
use crate::world::World;

/// A set of mms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kin(pub(crate) u64);

impl Kin {
    /// No mm.
    pub const NONE: Kin = Kin(0);

    /// With `mm`.
    pub fn with(self, mm: MmId) -> Self {
        Kin(self.0 | 1 << mm.index())
    }

    /// Whether `mm` is one of them; the kernel is not.
    pub fn contains(self, mm: MmId) -> bool {
        (1..=MAX_MMS as u64).contains(&mm.word()) && self.0 & 1 << mm.index() != 0
    }

    /// Both together.
    pub fn and(self, other: Kin) -> Self {
        Kin(self.0 | other.0)
    }
}

/// The descriptor of a table that may be shared.
pub struct SharedTable {
    /// The table.
    pub frame: Frame,
    /// Where it is mapped, in every mm alike.
    pub va: VirtAddr,
    /// How many share it, times [`ONE`], and its state.
    word: AtomicU64,
    /// CPUs that may be inside on behalf of an mm that has left.
    owed: CpuMask,
    /// Whether the flush of some mm that has left did not reach all of its CPUs.
    missed: AtomicU64,
    /// The mms that share it, or have shared it.
    kin: AtomicU64,
    /// `World::unlink_clock` when an mm unlinked it with a ticket that its flush did not cover; else 0. For the figures
    /// beside a sync.
    unlinked_at: [Figure; MAX_MMS],
}

const SHARED: u64 = 0;
const SETTLING: u64 = 1;
const OWNED: u64 = 2;
const PRIVATE: u64 = 3;
const STATE: u64 = 3;
const ONE: u64 = 4;

/// What dropping a share has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the debts of a table are paid by whoever leaves one sharer behind"]
pub enum Dropped {
    /// Others share the table.
    Shared,
    /// One sharer is left, and the debts are to be paid.
    MustSettle,
    /// Nobody is left, and the table is to be freed.
    Last,
}

/// An attempt to join, or to claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an attempt may have failed"]
pub enum Attempt {
    /// It succeeded.
    Done,
    /// The state is not such that it could; it may become so.
    NotYet,
    /// It will never succeed.
    Never,
}

impl SharedTable {
    /// A table that `owner` alone has, for what is mapped from `va` on.
    pub fn new(frame: Frame, va: VirtAddr, cpus: usize, owner: MmId) -> Self {
        SharedTable {
            frame,
            va,
            word: AtomicU64::new(ONE | OWNED),
            owed: CpuMask::new(cpus),
            missed: AtomicU64::new(0),
            kin: AtomicU64::new(Kin::NONE.with(owner).0),
            unlinked_at: core::array::from_fn(|_| Figure::new(0)),
        }
    }

    /// `mm` begins to share the table, which it may link then.
    pub fn join(&self, mm: MmId) -> Attempt {
        let joined = self.word.fetch_update(
            // Acquire: pairs with the Release in `own`. Nothing is reused on the strength of it, but the debts paid
            // before are not those that begin now.
            Ordering::Acquire,
            // Relaxed: nothing was joined.
            Ordering::Relaxed,
            |word| match (word & STATE, word / ONE) {
                (SHARED, 2..) | (OWNED, 1) => Some((word & !STATE) + ONE),
                _ => None,
            },
        );
        match joined {
            Ok(_) => {
                // Relaxed: published by the drop.
                self.kin.fetch_or(Kin::NONE.with(mm).0, Ordering::Relaxed);
                Attempt::Done
            }
            Err(word) if word & STATE == SETTLING && word / ONE == 1 => Attempt::NotYet,
            Err(_) => Attempt::Never,
        }
    }

    /// Gives up a share. The entry is cleared, the flush is over, and the debt is written down.
    ///
    /// # Panics
    ///
    /// If nobody shares the table.
    pub fn drop_share(&self) -> Dropped {
        // Acquire and Release: the debts of those who have left before chain to the last, who reads them all.
        let before = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| match word / ONE {
                0 => None,
                2 => Some(ONE | SETTLING),
                _ => Some(word - ONE),
            })
            .unwrap_or_else(|word| panic!("a share was dropped that nobody has: {word:#x}"));
        match before / ONE {
            1 => Dropped::Last,
            2 => Dropped::MustSettle,
            _ => Dropped::Shared,
        }
    }

    /// All debts are paid: the table is the survivor's to claim.
    pub fn own(&self) {
        // Relaxed: of this settling; whoever joins or leaves next does so after `own`.
        self.missed.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `claim`, `is_settled` and `join`; the acks came before. An addition,
        // because the survivor may drop its share meanwhile.
        self.word.fetch_add(OWNED - SETTLING, Ordering::Release);
    }

    /// The only sharer takes the table for itself: it may reuse it, and nobody can join any more.
    pub fn claim(&self) -> Attempt {
        // Acquire: pairs with the Release in `own`. Every walk that an ack waited for happened before the reuse.
        // Relaxed on failure: nothing is reused.
        match self.word.compare_exchange(ONE | OWNED, ONE | PRIVATE, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Attempt::Done,
            Err(word) if word & STATE == PRIVATE => Attempt::Never,
            Err(_) => Attempt::NotYet,
        }
    }

    /// Whether no debt of others is being paid: what the last to leave waits for before it frees the table.
    pub fn is_settled(&self) -> bool {
        // Acquire: pairs with the Release in `own`.
        self.word.load(Ordering::Acquire) & STATE != SETTLING
    }

    /// Writes down that `cpu` may be inside on behalf of an mm that is about to leave.
    pub fn add_debt(&self, cpu: CpuId) {
        // Relaxed: published by the drop.
        self.owed.insert(cpu, Ordering::Relaxed);
    }

    /// Moves the debts to `to`.
    pub fn take_debts(&self, to: &mut CpuSet) {
        // Relaxed: the drop has acquired them.
        self.owed.drain(Ordering::Relaxed, |cpu| to.insert(cpu));
    }

    /// Writes down that the flush of an mm that is about to leave did not reach all of its CPUs.
    pub fn set_missed(&self) {
        // Relaxed: published by the drop.
        self.missed.store(1, Ordering::Relaxed);
    }

    /// Whether that was so for anyone.
    pub fn is_missed(&self) -> bool {
        // Relaxed: the drop has acquired it.
        self.missed.load(Ordering::Relaxed) != 0
    }

    /// Who shares it, or has shared it.
    pub fn kin(&self) -> Kin {
        // Relaxed: as for the debts.
        Kin(self.kin.load(Ordering::Relaxed))
    }

    /// Notes that `mm` unlinked it at `clock`.
    pub(crate) fn set_unlinked_at(&self, mm: MmId, clock: u64) {
        // Relaxed: a figure.
        self.unlinked_at[mm.index()].store(clock, Ordering::Relaxed);
    }

    /// When `mm` unlinked it; 0 if it did not, and for the kernel.
    pub(crate) fn unlinked_at(&self, mm: MmId) -> u64 {
        // Relaxed: a figure.
        self.unlinked_at
            .get((mm.word() as usize).wrapping_sub(1))
            .map_or(0, |clock| clock.load(Ordering::Relaxed))
    }
}

impl<M: Machine> World<M> {
    /// Reuses a table that `mm` has claimed: from now on it holds what only `mm` may see.
    pub fn make_private(&self, table: &SharedTable, mm: MmId) {
        for slot in self.machine.words(table.frame) {
            // Relaxed: its owner is the only one to write it.
            let entry = tables::Entry(slot.load(Ordering::Relaxed));
            if entry.is_present() {
                tables::link(slot, entry.private_to(mm));
            }
        }
    }
}
