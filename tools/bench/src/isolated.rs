//! An isolated CPU: it runs nothing, or a thread that never enters the kernel, and records what interrupts it.

use crate::machine::Bench;
use crate::phases::Phase;
use crate::run::Run;
use gupsync::types::CpuId;

/// Runs undisturbed but for what interrupts it, which its handlers count, by cause. Each time it looks it reads through the kernel mapping that may change. It walks nothing, and counts as
/// idle throughout; of `team`, if it is of one, it has the mm loaded, as a thread in user mode has.
pub(crate) fn be_isolated<M: Bench>(run: &Run<M>, cpu: CpuId, team: Option<usize>) {
    let mut cpu = run.world.enter(cpu);
    let id = cpu.id();
    cpu.switch_mm(team.map(|team| run.world.mm(run.cast.teams[team].mms[0])));
    cpu.idle(|machine| {
        machine.park(id, || run.phases.is_open(Phase::Count));
        let look = || run.window.look(&run.world, id);
        let gap = machine.run_undisturbed(id, look, || run.phases.is_open(Phase::Stop));
        run.longest_gap.record(gap);
    });
    cpu.switch_mm(None);
    run.phases.report();
}
