//! The one file that measures: who was inside a walk when a sync was due, and who was held there when a table was
//! unlinked.
//!
//! Nothing here orders or decides anything. A figure may be a moment out of date.

use crate::atomic::{Figure, Ordering};
use crate::types::{MAX_MMS, MmId};

/// Counts unlinks, to tell which walks began before one.
pub(crate) struct UnlinkClock(Figure);

impl UnlinkClock {
    pub(crate) fn new() -> Self {
        UnlinkClock(Figure::new(0))
    }

    /// Ticks for an unlink that is about to clear its first entry. A walk that began at a smaller tick began before.
    pub(crate) fn tick(&self) -> u64 {
        // Relaxed: a figure.
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn now(&self) -> u64 {
        // Relaxed: a figure.
        self.0.load(Ordering::Relaxed)
    }
}

/// The walk that one CPU is in.
pub(crate) struct WalkFigures {
    /// The mm it is walking; the kernel's number if none.
    walking: Figure,
    /// The clock when that walk began.
    began: Figure,
}

impl WalkFigures {
    pub(crate) fn new() -> Self {
        WalkFigures { walking: Figure::new(MmId::KERNEL.word()), began: Figure::new(0) }
    }

    /// A walk of `mm` begins.
    pub(crate) fn begin(&self, clock: &UnlinkClock, mm: MmId) {
        // Relaxed, both: figures.
        self.began.store(clock.now(), Ordering::Relaxed);
        self.walking.store(mm.word(), Ordering::Relaxed);
    }

    /// A walk of `mm` begins in an NMI handler; gives what it is nested in.
    pub(crate) fn begin_nested(&self, clock: &UnlinkClock, mm: MmId) -> [u64; 2] {
        // Relaxed, both: figures.
        let outer = [self.walking.load(Ordering::Relaxed), self.began.load(Ordering::Relaxed)];
        self.begin(clock, mm);
        outer
    }

    /// That walk is over, and what it was nested in goes on.
    pub(crate) fn end_nested(&self, [walking, began]: [u64; 2]) {
        // Relaxed, both: figures.
        self.began.store(began, Ordering::Relaxed);
        self.walking.store(walking, Ordering::Relaxed);
    }

    /// The walk is over.
    pub(crate) fn end(&self) {
        // Relaxed: a figure.
        self.walking.store(MmId::KERNEL.word(), Ordering::Relaxed);
    }
}

/// CPUs inside a walk, at the moment of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walkers {
    /// Of an mm that could see the table, and whose unlink no round had covered yet.
    pub(crate) walking: u64,
    /// Those of them whose walk began before the table was unlinked.
    pub(crate) at_risk: u64,
}

impl Walkers {
    /// Looks at each CPU. `unlinked_at` says when an mm unlinked the tables with a ticket that is not covered yet.
    pub(crate) fn count<'c>(
        cpus: impl Iterator<Item = &'c WalkFigures>,
        unlinked_at: impl Fn(MmId) -> Option<u64>,
    ) -> Self {
        let mut walkers = Walkers { walking: 0, at_risk: 0 };
        for cpu in cpus {
            // Relaxed, both: figures. In this order: a walk that ends in between makes `began` that of a later one, which can
            // only leave a CPU out of those at risk.
            if let Some(clock) = unlinked_at(MmId::from_word(cpu.walking.load(Ordering::Relaxed))) {
                walkers.walking += 1;
                walkers.at_risk += u64::from(cpu.began.load(Ordering::Relaxed) < clock);
            }
        }
        walkers
    }
}

/// When each mm unlinked a shared table with a ticket that its flush did not cover.
pub(crate) struct UnlinkTimes([Figure; MAX_MMS]);

impl UnlinkTimes {
    pub(crate) fn new() -> Self {
        UnlinkTimes(core::array::from_fn(|_| Figure::new(0)))
    }

    pub(crate) fn set(&self, mm: MmId, clock: u64) {
        // Relaxed: a figure.
        self.0[mm.index()].store(clock, Ordering::Relaxed);
    }

    /// 0 if it did not, and for the kernel.
    pub(crate) fn get(&self, mm: MmId) -> u64 {
        // Relaxed: a figure.
        self.0.get((mm.word() as usize).wrapping_sub(1)).map_or(0, |clock| clock.load(Ordering::Relaxed))
    }
}

/// How many walkers are held inside a walk of one mm, for an experiment's sake.
pub struct HeldWalkers(Figure);

impl HeldWalkers {
    pub(crate) fn new() -> Self {
        HeldWalkers(Figure::new(0))
    }

    /// One more.
    pub fn enter(&self) {
        // Relaxed: a figure.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn leave(&self) {
        // Relaxed: a figure.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether there is one.
    pub fn any(&self) -> bool {
        // Relaxed: a figure.
        self.0.load(Ordering::Relaxed) != 0
    }
}
