//! An isolated CPU: it runs nothing, and records what interrupts it.

use crate::machine::Bench;
use crate::phases::Phase;
use crate::run::Run;
use gupsync::types::CpuId;

/// Looks at the clock as often as it can. What interrupts it is counted by its handlers, by cause; how long it was
/// away shows in the clock. Each time it reads through the kernel mapping that may change. It has no mm, walks nothing, and counts as idle throughout.
pub(crate) fn be_isolated<M: Bench>(run: &Run<M>, cpu: CpuId) {
    let machine = &run.world.machine;
    machine.park(cpu, || run.phases.is_open(Phase::Count));
    let mut last = machine.clock();
    machine.wait(cpu, || {
        let now = machine.clock();
        run.longest_gap.record(now - last);
        last = now;
        run.window.look(&run.world, cpu);
        run.phases.is_open(Phase::Stop)
    });
    run.phases.report();
}
