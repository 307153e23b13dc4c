//! One CPU: its clock, its interrupts, what it has loaded.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gupsync::event::Cause;

/// Why a CPU is interrupted: one bit each, as in an APIC's IRR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vector {
    Flush,
    Sync,
    Other,
    /// A wake-up.
    Kick,
}

impl Vector {
    pub(crate) const ALL: [Vector; 4] = [Vector::Flush, Vector::Sync, Vector::Other, Vector::Kick];

    pub(crate) fn of(cause: Cause) -> Self {
        match cause {
            Cause::Flush => Vector::Flush,
            Cause::Sync => Vector::Sync,
            Cause::Other => Vector::Other,
        }
    }

    /// What it is sent for, unless it is a wake-up.
    pub(crate) fn cause(self) -> Option<Cause> {
        match self {
            Vector::Flush => Some(Cause::Flush),
            Vector::Sync => Some(Cause::Sync),
            Vector::Other => Some(Cause::Other),
            Vector::Kick => None,
        }
    }

    pub(crate) fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// A word of the machine's own. One thread runs everything, so nothing is ordered.
#[derive(Default)]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new(value: u64) -> Self {
        Word(AtomicU64::new(value))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn add(&self, value: u64) {
        self.set(self.get() + value);
    }

    pub(crate) fn replace(&self, value: u64) -> u64 {
        let before = self.get();
        self.set(value);
        before
    }
}

/// What one CPU has been through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interrupted {
    /// How many maskable interrupts it has taken, wake-ups of the bench not among them.
    pub interrupts: u64,
    /// For how long it was in their handlers, in modelled nanoseconds.
    pub time: u64,
}

/// The state of one CPU.
#[derive(Default)]
pub(crate) struct Core {
    /// Its clock, in nanoseconds.
    pub(crate) now: Word,
    /// How many reasons there are for its interrupts to be off.
    pub(crate) masks: Word,
    /// The vectors that are on their way to it.
    pub(crate) coming: Word,
    /// The vectors that have come and were not taken.
    pub(crate) pending: Word,
    /// The root that it has loaded, and the ASID.
    pub(crate) root: Word,
    pub(crate) asid: Word,
    /// The CPUs on which the task that runs here goes on, plus one; 0 if there is none.
    pub(crate) route: [Word; 2],
    /// Interrupts taken, and the time in their handlers.
    pub(crate) interrupts: Word,
    pub(crate) away: Word,
    /// The longest time in handlers without a pause since this was last asked, and when the last of them ended.
    pub(crate) longest: Word,
    pub(crate) stretch: Word,
    pub(crate) back: Word,
}

impl Core {
    /// Passes `time`.
    pub(crate) fn pass(&self, time: u64) {
        self.now.add(time);
    }

    /// It was in a handler from `began` until now, for a vector that counts.
    pub(crate) fn was_away(&self, began: u64) {
        let now = self.now.get();
        self.interrupts.add(1);
        self.away.add(now - began);
        // One handler after the other, without a pause in between, is one stretch.
        let before = if self.back.get() == began { self.stretch.get() } else { 0 };
        self.stretch.set(before + now - began);
        self.longest.set(self.longest.get().max(self.stretch.get()));
        self.back.set(now);
    }
}
