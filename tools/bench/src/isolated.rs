//! An isolated CPU: it runs nothing, and records what interrupts it.

use crate::machine::Bench;
use crate::phases::Phase;
use crate::run::Run;
use gupsync::atomic::{Figure, Ordering};
use gupsync::types::CpuId;

/// The longest time between two looks at the clock, of any isolated CPU.
pub(crate) struct LongestGap(Figure);

impl LongestGap {
    pub(crate) fn new() -> Self {
        LongestGap(Figure::new(0))
    }

    /// In the machine's clock.
    pub(crate) fn get(&self) -> u64 {
        // Relaxed: read after the last report.
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks at the clock as often as it can. What interrupts it is counted by its handlers, by cause; how long it was
/// away shows in the clock. It has no mm, walks nothing, and counts as idle throughout.
pub(crate) fn be_isolated<M: Bench>(run: &Run<M>, cpu: CpuId) {
    let machine = &run.world.machine;
    machine.park(cpu, || run.phases.is_open(Phase::Count));
    let mut last = machine.clock();
    machine.wait(cpu, || {
        let now = machine.clock();
        // Relaxed: a figure.
        run.longest_gap.0.fetch_max(now - last, Ordering::Relaxed);
        last = now;
        run.phases.is_open(Phase::Stop)
    });
    run.phases.report();
}
