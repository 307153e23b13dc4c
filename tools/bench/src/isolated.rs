//! An isolated CPU: it runs nothing, or a thread that never enters the kernel, and records what interrupts it.

use crate::machine::Bench;
use crate::phases::Phase;
use crate::run::Run;
use gupsync::types::CpuId;

/// Looks at the clock as often as it can. What interrupts it is counted by its handlers, by cause; how long it was away
/// shows in the clock. Each time it reads through the kernel mapping that may change. It walks nothing, and counts as
/// idle throughout; of `team`, if it is of one, it has the mm loaded, as a thread in user mode has.
pub(crate) fn be_isolated<M: Bench>(run: &Run<M>, cpu: CpuId, team: Option<usize>) {
    let mut cpu = run.world.enter(cpu);
    let id = cpu.id();
    cpu.switch_mm(team.map(|team| run.world.mm(run.cast.teams[team].mms[0])));
    cpu.idle(|machine| {
        machine.park(id, || run.phases.is_open(Phase::Count));
        let mut last = machine.clock();
        machine.wait(id, || {
            let now = machine.clock();
            run.longest_gap.record(now - last);
            last = now;
            run.window.look(&run.world, id);
            run.phases.is_open(Phase::Stop)
        });
    });
    cpu.switch_mm(None);
    run.phases.report();
}
