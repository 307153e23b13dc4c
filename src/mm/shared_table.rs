//! Page tables that several mms share, as hugetlb shares its PMD tables.
//!
//! # Guarantee
//!
//! The mm that has claimed a table ([`SharedTable::claim`]) may reuse it: no walker of an mm that has given up its
//! share is inside. The state of one mm cannot promise that, because the last to leave need not be the one whose walker
//! is still there: so the table's own descriptor carries the debt.
//!
//! # Mechanism
//!
//! How many mms share the table, and its state, are *one word*:
//!
//! ```text
//!            join                       drop, 2 to 1                    claim
//!  OWNED 1 --------> SHARED 2 and more -------------> SETTLING 1    OWNED 1 ---> PRIVATE 1
//!     ^                 |      ^                         |
//!     |                 +------+ join, drop              | every debt is paid: own
//!     +--------------------------------------------------+
//! ```
//!
//! 1. Before an mm drops its share, its debt is written down (`Policy::owe`): the CPUs that may still walk the table on
//!    its behalf. After the drop it would be too late: another unsharer's drop could be the last but one, and find the
//!    debts without it.
//! 2. The drop from 2 to 1 makes the table SETTLING in the same operation. Its unsharer pays the debts of all
//!    (`Policy::settle`) and then makes the table OWNED.
//! 3. The survivor *claims* it, from OWNED to PRIVATE. To look at the count alone is not enough, because the debts may
//!    not be paid; to look at the state alone is not enough, because an mm may join between look and reuse.
//! 4. No mm joins while it is SETTLING: the payment would not cover what the joiner does.
//! 5. A survivor that leaves instead (1 to 0) waits until it is no longer SETTLING, and frees the table by a ticket of
//!    its own.

use crate::atomic::{AtomicU64, Ordering};
use crate::cpumask::{CpuMask, CpuSet};
use crate::stats::UnlinkTimes;
use crate::types::{CpuId, Frame, MmId, MmSet, VirtAddr};

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
    sharers: AtomicU64,
    /// For the figures beside a sync.
    pub(crate) unlinked_at: UnlinkTimes,
}

const SHARED: u64 = 0;
const SETTLING: u64 = 1;
const OWNED: u64 = 2;
const PRIVATE: u64 = 3;
const STATE: u64 = 3;
const ONE: u64 = 4;

/// What dropping a share has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the debts of a table are paid by the unsharer that leaves one sharer behind"]
pub enum Dropped {
    /// Others share the table.
    Shared,
    /// One sharer is left, and the debts are to be paid.
    MustSettle,
    /// No sharer is left, and the table is to be freed.
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
            sharers: AtomicU64::new(MmSet::NONE.with(owner).word()),
            unlinked_at: UnlinkTimes::new(),
        }
    }

    /// `mm` begins to share the table, which it may link then.
    pub fn join(&self, mm: MmId) -> Attempt {
        let joined = self.word.fetch_update(
            // Acquire: pairs with the Release in `own`; the debts paid before are not those that begin now. Nothing is
            // reused on the strength of it.
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
                self.sharers.fetch_or(MmSet::NONE.with(mm).word(), Ordering::Relaxed);
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
    /// If no mm shares the table.
    pub fn drop_share(&self) -> Dropped {
        // Acquire and Release: pairs with itself; the debts of the mms that have left before chain to the last to leave,
        // which reads them all.
        let before = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| match word / ONE {
                0 => None,
                2 => Some(ONE | SETTLING),
                _ => Some(word - ONE),
            })
            .unwrap_or_else(|word| panic!("a share was dropped that no mm has: {word:#x}"));
        match before / ONE {
            1 => Dropped::Last,
            2 => Dropped::MustSettle,
            _ => Dropped::Shared,
        }
    }

    /// All debts are paid: the table is the survivor's to claim.
    pub fn own(&self) {
        // Relaxed: the next mm that joins or leaves does so after `own`.
        self.missed.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `claim`, `is_settled` and `join`; the acks came before. An addition, because
        // the survivor may drop its share meanwhile.
        self.word.fetch_add(OWNED - SETTLING, Ordering::Release);
    }

    /// The only sharer takes the table for itself: it may reuse it, and no mm can join any more.
    pub fn claim(&self) -> Attempt {
        // Acquire: pairs with the Release in `own`. Every walk that an ack waited for happened before the reuse.
        // Relaxed on failure: nothing is reused.
        match self.word.compare_exchange(ONE | OWNED, ONE | PRIVATE, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Attempt::Done,
            Err(word) if word & STATE == PRIVATE => Attempt::Never,
            Err(_) => Attempt::NotYet,
        }
    }

    /// Whether one mm has it alone, at this moment: another may join.
    pub fn is_unshared(&self) -> bool {
        // Relaxed: nothing is reused on the strength of it.
        self.word.load(Ordering::Relaxed) / ONE == 1
    }

    /// Whether no debt is being paid: what the last to leave waits for before it frees the table.
    pub fn is_settled(&self) -> bool {
        // Acquire: pairs with the Release in `own`; the acks came before the table is freed.
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

    /// Whether that was so for any of them.
    pub fn is_missed(&self) -> bool {
        // Relaxed: the drop has acquired it.
        self.missed.load(Ordering::Relaxed) != 0
    }

    /// The mms that share it, or have shared it.
    pub fn sharers(&self) -> MmSet {
        // Relaxed: as for the debts.
        MmSet::from_word(self.sharers.load(Ordering::Relaxed))
    }
}
