//! Property: an interrupt to every CPU covers what was unlinked before it.

use gupsync::flush::{self, Reached};
use gupsync::policy::{self, Pending};
use gupsync::sync_round;
use gupsync::world::Cpu;

use crate::acts::{elsewhere, join_and_walk, running, walk};
use crate::machine::{Model, ONE_MM, Stage, VA, explore};

/// The sync is skipped, for `interrupt` has covered the ticket.
fn unlink_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>, interrupt: impl FnOnce(&mut Cpu<'_, Model>)) {
    let (mm, machine) = (stage.mm(1), &stage.world.machine);
    let slot = mm.entry(machine, VA, 2).expect("it exists");
    let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
        batch.clear(slot);
    });
    interrupt(cpu);
    let table = policy::sync::<Pending, _, _>(cpu, mm, unlinked, Reached::Short);
    machine.reuse(table);
}

fn unlink_call_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unlink_and_reuse(stage, cpu, sync_round::call_everyone);
}

fn unlink_flush_kernel_range_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unlink_and_reuse(stage, cpu, flush::kernel_range);
}

#[test]
fn a_walker_and_a_call() {
    explore(ONE_MM, &[(running, walk::<Pending>), (elsewhere, unlink_call_and_reuse)]);
}

#[test]
fn a_walker_and_a_flush_of_the_kernel_range() {
    explore(ONE_MM, &[(running, walk::<Pending>), (elsewhere, unlink_flush_kernel_range_and_reuse)]);
}

#[test]
fn a_walker_that_joins_and_a_call() {
    explore(ONE_MM, &[(elsewhere, join_and_walk), (elsewhere, unlink_call_and_reuse)]);
}
