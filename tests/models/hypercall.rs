//! Property: a vCPU that was deferred uses no translation from before the flush, and may still be inside a walk.

use gupsync::flush::{self, FlushConfig, Tables};
use gupsync::machine::Range;
use gupsync::mm::{MmConfig, tables};
use gupsync::policy::{self, Pending};
use gupsync::walk;
use gupsync::world::Cpu;

use crate::machine::{BY_IPI, MM, Model, ONE_MM, ONE_PAGE, Setting, Stage, VA, explore};
use crate::roles::{elsewhere, running, unmap_and_reuse, using_it};

const HYPERCALL: FlushConfig = FlushConfig { hypercall: true, ..BY_IPI };
const GUEST: MmConfig = MmConfig { hypercall: true, ..MM };

const GUEST_TABLE: Setting = Setting { config: HYPERCALL, mms: &[GUEST], ..ONE_MM };
const GUEST_PAGE: Setting = Setting { config: HYPERCALL, mms: &[GUEST], ..ONE_PAGE };

fn access_and_be_preempted(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.access(cpu.id());
    cpu.irqs_off(|off| {
        off.preempt();
        off.resume();
    });
    stage.world.machine.access(cpu.id());
}

fn be_preempted_in_a_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::gup_fast::<Pending, _>(cpu, stage.mm(1), VA, |off, level, table| {
        if level == 1 {
            off.preempt();
            off.resume();
            stage.world.machine.read(table);
        }
    });
}

/// As collapse does.
fn unlink_flush_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let (mm, machine) = (stage.mm(1), &stage.world.machine);
    let slot = tables::entry(machine, mm, VA, 2).expect("it exists");
    let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
        batch.clear(slot);
    });
    let reached = flush::flush(cpu, mm, Range::All, Tables::Freed, Some(unlinked.ticket()));
    let table = policy::sync::<Pending, _, _>(cpu, mm, unlinked, reached);
    machine.reuse(table);
}

#[test]
fn a_preempted_cpu() {
    explore(3, GUEST_PAGE, &[(using_it, access_and_be_preempted), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_preempted_walker() {
    explore(3, GUEST_TABLE, &[(running, be_preempted_in_a_walk), (elsewhere, unlink_flush_and_reuse)]);
}
