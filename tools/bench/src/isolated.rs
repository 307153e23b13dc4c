//! An isolated CPU: it runs nothing, and records what interrupts it.

use gupsync::atomic::{Figure, Ordering};
use gupsync::cpumask::CpuId;
use gupsync::machine::Machine;
use crate::run::Run;
use crate::stage::Phase;

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
pub(crate) fn be_isolated<M: Machine>(run: &Run<M>, cpu: CpuId) {
    let machine = &run.world.machine;
    machine.park(cpu, || run.world.interrupt(cpu), || run.stage.is_open(Phase::Count));
    let mut last = machine.clock();
    while !run.stage.is_open(Phase::Stop) {
        machine.window(cpu, || run.world.interrupt(cpu));
        let now = machine.clock();
        // Relaxed: a figure.
        run.longest_gap.0.fetch_max(now - last, Ordering::Relaxed);
        last = now;
        machine.pause();
    }
    run.stage.report();
}
