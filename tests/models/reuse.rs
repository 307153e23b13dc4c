//! Property: no walker reads a table that has been reused.

use gupsync::flush::{self, Reached, Tables};
use gupsync::machine::Range;
use gupsync::mm::tables;
use gupsync::policy::{self, Pending};
use gupsync::walk;
use gupsync::world::Cpu;

use crate::machine::{BY_IPI, Model, Stage, VA, explore};

/// Unlinks the table, syncs as `pending` does, reuses it. No flush of its own: as under INVLPGB.
fn unlink_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let (mm, machine) = (stage.mm(), &stage.world.machine);
    let slot = tables::entry(machine, mm, VA, 2).expect("it exists");
    let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
        batch.clear(slot);
    });
    let table = policy::sync::<Pending, _, _>(cpu, mm, unlinked, Reached::Short);
    machine.reuse(table);
}

/// Somebody else's flush: it may cover the ticket, or miss it, but must not cover what it has not seen.
fn flush_for_another_reason(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let _ = flush::flush(cpu, stage.mm(), Range::All, Tables::Kept, None);
}

fn walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::gup_fast::<Pending, _>(cpu, stage.mm(), VA, |_, level, table| {
        if level == 1 {
            stage.world.machine.read(table);
        }
    });
}

fn join_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_to(Some(stage.mm()));
    walk(stage, cpu);
}

#[test]
fn a_walker_of_the_mm() {
    explore(3, 1, BY_IPI, &[walk, unlink_and_reuse]);
}

#[test]
fn a_walker_that_joins() {
    explore(3, 0, BY_IPI, &[join_and_walk, unlink_and_reuse]);
}

#[test]
fn a_flush_in_between() {
    explore(2, 1, BY_IPI, &[walk, unlink_and_reuse, flush_for_another_reason]);
}

#[test]
fn a_flush_and_a_walker_that_joins() {
    explore(2, 0, BY_IPI, &[join_and_walk, unlink_and_reuse, flush_for_another_reason]);
}
