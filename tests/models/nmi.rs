//! Property: an NMI handler that walks only what its CPU has loaded, and not lazily, is waited for as any walker.
//!
//! Under x86-TSO the NMI may come before, between and after any two instructions of its CPU. loom has no interrupts; there one
//! comes where its CPU is idle.

use gupsync::nmi_walk::{self, Guard};
use gupsync::policy::{Policy, Rcu};
use gupsync::types::CpuId;
use gupsync::world::Cpu;

use crate::acts::{elsewhere, running, unlink_and_reuse};
use crate::machine::{Model, ONE_MM, Stage, VA, explore};

fn sample<P: Policy>(stage: &Stage, cpu: CpuId) {
    nmi_walk::page_size::<P, _>(&stage.world, cpu, VA, Guard::On, |_, level, table| {
        if level == 1 {
            stage.world.machine.read(table);
        }
    });
}

fn be_sampled_while_idle(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let id = cpu.id();
    cpu.idle(|_| sample::<Rcu>(stage, id));
}

#[test]
fn an_idle_cpu_that_is_sampled() {
    explore(ONE_MM, &[(running, be_sampled_while_idle), (elsewhere, unlink_and_reuse::<Rcu>)]);
}

#[cfg(tso)]
mod anywhere {
    use gupsync::config::FreedTables;
    use gupsync::flush;
    use gupsync::policy::{self, Pending, Policy, Rcu, Targeted};
    use gupsync::types::Range;
    use gupsync::world::Cpu;

    use super::sample;
    use crate::acts::{elsewhere, gone, lazy, running, unlink_and_reuse, walk};
    use crate::machine::{Model, ONE_MM, Stage, TWO_MMS, VA, explore_with_nmis};

    fn go_to_another_mm(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        cpu.switch_mm(Some(stage.mm(2)));
    }

    fn go_lazy(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        cpu.enter_lazy_tlb();
    }

    fn come_back(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        cpu.exit_lazy_tlb(stage.mm(1));
    }

    fn join(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        cpu.switch_mm(Some(stage.mm(1)));
    }

    fn walk_sampled<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        walk::<P>(stage, cpu);
    }

    fn rest(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        cpu.rest(|| true);
    }

    /// As mainline's unshare does: the flush leaves out who is lazy, or elsewhere, and covers the ticket.
    fn unlink_flush_plainly_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        let (mm, machine) = (stage.mm(1), &stage.world.machine);
        let slot = mm.entry(machine, VA, 2).expect("it exists");
        let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
            batch.clear(slot);
        });
        let reached = flush::flush(cpu, mm, Range::All, FreedTables::No, Some(unlinked.ticket()));
        machine.reuse(policy::sync::<Pending, _, _>(cpu, mm, unlinked, reached));
    }

    #[test]
    fn a_cpu_that_goes_to_another_mm() {
        explore_with_nmis(
            TWO_MMS,
            &[(running, go_to_another_mm), (elsewhere, unlink_and_reuse::<Pending>)],
            sample::<Pending>,
        );
    }

    #[test]
    fn a_cpu_that_goes_lazy() {
        explore_with_nmis(
            ONE_MM,
            &[(running, go_lazy), (elsewhere, unlink_and_reuse::<Pending>)],
            sample::<Pending>,
        );
    }

    #[test]
    fn a_cpu_that_comes_back_from_lazy_mode() {
        explore_with_nmis(
            ONE_MM,
            &[(lazy, come_back), (elsewhere, unlink_and_reuse::<Pending>)],
            sample::<Pending>,
        );
    }

    #[test]
    fn a_cpu_that_loads_the_mm_again() {
        explore_with_nmis(ONE_MM, &[(gone, join), (elsewhere, unlink_and_reuse::<Pending>)], sample::<Pending>);
    }

    #[test]
    fn a_cpu_that_goes_to_another_mm_and_a_plain_flush() {
        explore_with_nmis(
            TWO_MMS,
            &[(running, go_to_another_mm), (elsewhere, unlink_flush_plainly_and_reuse)],
            sample::<Pending>,
        );
    }

    #[test]
    fn a_cpu_that_goes_lazy_and_a_plain_flush() {
        explore_with_nmis(
            ONE_MM,
            &[(running, go_lazy), (elsewhere, unlink_flush_plainly_and_reuse)],
            sample::<Pending>,
        );
    }

    #[test]
    fn a_tracked_walk_in_a_tracked_walk() {
        explore_with_nmis(
            ONE_MM,
            &[(running, walk_sampled::<Targeted>), (elsewhere, unlink_and_reuse::<Targeted>)],
            sample::<Targeted>,
        );
    }

    #[test]
    fn an_idle_cpu_and_a_grace_period() {
        explore_with_nmis(ONE_MM, &[(running, rest), (elsewhere, unlink_and_reuse::<Rcu>)], sample::<Rcu>);
    }

    #[test]
    fn a_cpu_that_goes_lazy_and_a_grace_period() {
        explore_with_nmis(ONE_MM, &[(running, go_lazy), (elsewhere, unlink_and_reuse::<Rcu>)], sample::<Rcu>);
    }
}
