//! Property: a vCPU that was deferred uses no translation from before the flush, and may still be inside a walk.

use gupsync::config::{FlushConfig, FlushMethod, MmConfig};
use gupsync::gup_fast;
use gupsync::policy::{Gather, Pending, Policy};
use gupsync::world::Cpu;

use crate::acts::{collapse, elsewhere, flush, running, unlink_flush_and_reuse, unmap_and_reuse, using_it};
use crate::machine::{BY_IPI, MM, Model, ONE_MM, ONE_PAGE, Setting, Stage, VA, explore};

const HYPERCALL: FlushConfig = FlushConfig { methods_interrupt: false, ..BY_IPI };
const GUEST: MmConfig = MmConfig { flush: FlushMethod::Hypercall, ..MM };

const GUEST_TABLE: Setting = Setting { config: HYPERCALL, mms: &[GUEST], ..ONE_MM };
const GUEST_PAGE: Setting = Setting { config: HYPERCALL, mms: &[GUEST], ..ONE_PAGE };

fn access_and_be_preempted(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.access(cpu.id(), 0);
    cpu.irqs_off(|off| {
        off.preempt();
        off.resume();
    });
    stage.world.machine.access(cpu.id(), 0);
}

fn be_preempted_in_a_walk<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    gup_fast::gup_fast::<P, _>(cpu, stage.mm(1), VA, |off, level, table| {
        if level == 1 {
            off.preempt();
            off.resume();
            stage.world.machine.read(table);
        }
    });
}

#[test]
fn a_preempted_cpu() {
    explore(GUEST_PAGE, &[(using_it, access_and_be_preempted), (elsewhere, unmap_and_reuse)]);
}

/// The flush of a third CPU may have been deferred already.
#[test]
fn a_preempted_cpu_and_two_flushes() {
    explore(
        GUEST_PAGE,
        &[(using_it, access_and_be_preempted), (elsewhere, unmap_and_reuse), (elsewhere, flush)],
    );
}

#[test]
fn a_preempted_walker() {
    explore(
        GUEST_TABLE,
        &[(running, be_preempted_in_a_walk::<Pending>), (elsewhere, unlink_flush_and_reuse::<Pending>)],
    );
}

#[test]
fn a_preempted_walker_and_a_gather() {
    explore(
        GUEST_TABLE,
        &[(running, be_preempted_in_a_walk::<Gather>), (elsewhere, unlink_flush_and_reuse::<Gather>)],
    );
}

/// The table is unlinked by the operation itself, whose flush may be deferred.
#[test]
fn a_preempted_walker_and_a_collapse() {
    explore(GUEST_PAGE, &[(running, be_preempted_in_a_walk::<Gather>), (elsewhere, collapse::<Gather>)]);
}
