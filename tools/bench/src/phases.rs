//! The phases of a run, which all CPUs go through together.
//!
//! One CPU leads. It opens each phase and waits until all CPUs that have something to do in it have reported.

use crate::machine::Bench;
use gupsync::atomic::{AtomicU64, Figure, Ordering};
use gupsync::world::Cpu;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Teams work until their mms have come to rest. Mutators report.
    WarmUp,
    /// Lazy and stale CPUs take up their positions, and report.
    Pose,
    /// What is done is counted. Mutators report.
    Count,
    /// Switchers, flushers and isolated CPUs come to an end, and report.
    Stop,
    /// Every CPU ends its work.
    Over,
}

/// The phase of a run, and the reports in it.
pub(crate) struct Phases {
    phase: AtomicU64,
    reports: AtomicU64,
    /// Whether some team ran out of memory.
    no_memory: Figure,
    /// Whether some mm did not come to rest.
    restless: Figure,
}

impl Phases {
    pub(crate) fn new() -> Self {
        Phases {
            phase: AtomicU64::new(Phase::WarmUp as u64),
            reports: AtomicU64::new(0),
            no_memory: Figure::new(0),
            restless: Figure::new(0),
        }
    }

    /// Leader: opens `phase`.
    pub(crate) fn open(&self, phase: Phase) {
        // Relaxed: published by `phase`.
        self.reports.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `is_open`.
        self.phase.store(phase as u64, Ordering::Release);
    }

    /// Whether `phase` has been opened.
    pub(crate) fn is_open(&self, phase: Phase) -> bool {
        // Acquire: pairs with the Release in `open`.
        self.phase.load(Ordering::Acquire) >= phase as u64
    }

    /// Waits until `phase` is opened.
    pub(crate) fn await_phase<M: Bench>(&self, cpu: &mut Cpu<'_, M>, phase: Phase) {
        cpu.rest(|| self.is_open(phase));
    }

    /// What was to be done in this phase is done.
    pub(crate) fn report(&self) {
        // Release: pairs with the Acquire in `await_reports`.
        self.reports.fetch_add(1, Ordering::Release);
    }

    /// Leader: waits for so many reports.
    pub(crate) fn await_reports<M: Bench>(&self, cpu: &mut Cpu<'_, M>, count: usize) {
        // Acquire: pairs with the Release in `report`.
        cpu.rest(|| self.reports.load(Ordering::Acquire) == count as u64);
    }

    // Relaxed, all four: a report publishes them to the leader; a CPU that stops a little later does no harm.

    pub(crate) fn set_no_memory(&self) {
        self.no_memory.store(1, Ordering::Relaxed);
    }

    pub(crate) fn has_no_memory(&self) -> bool {
        self.no_memory.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn set_restless(&self) {
        self.restless.store(1, Ordering::Relaxed);
    }

    pub(crate) fn is_restless(&self) -> bool {
        self.restless.load(Ordering::Relaxed) != 0
    }
}
