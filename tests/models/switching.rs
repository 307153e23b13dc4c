//! Property: a CPU that has another mm loaded may be left out of a round, and a CPU between two may not.

use gupsync::policy::Pending;
use gupsync::world::Cpu;

use crate::acts::{
    elsewhere, flush_freed, flush_the_walker, gone, join_and_walk, running, unlink_and_reuse,
    unlink_flush_and_reuse, walk,
};
use crate::machine::{Model, ONE_MM, Stage, TWO_MMS, explore};

fn walk_and_go_away(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Pending>(stage, cpu);
    cpu.switch_mm(None);
}

fn walk_and_go_to_another_mm(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Pending>(stage, cpu);
    cpu.switch_mm(Some(stage.mm(2)));
}

fn flush_unlink_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    flush_freed(stage, cpu);
    unlink_and_reuse::<Pending>(stage, cpu);
}

#[test]
fn a_walker_that_goes_away() {
    explore(ONE_MM, &[(running, walk_and_go_away), (elsewhere, unlink_and_reuse::<Pending>)]);
}

#[test]
fn a_walker_that_goes_to_another_mm() {
    explore(TWO_MMS, &[(running, walk_and_go_to_another_mm), (elsewhere, unlink_and_reuse::<Pending>)]);
}

/// Its bit is set already.
#[test]
fn a_walker_that_was_here_before() {
    explore(ONE_MM, &[(gone, join_and_walk), (elsewhere, unlink_and_reuse::<Pending>)]);
}

/// Another flush makes the walker leave: this round does not find it in the cpumask.
#[test]
fn a_walker_that_is_made_to_leave() {
    explore(
        ONE_MM,
        &[(running, walk_and_go_away), (elsewhere, unlink_and_reuse::<Pending>), (elsewhere, flush_the_walker)],
    );
}

/// The interrupt of a third CPU's flush may come at any time: before the walker is back, while it switches, after that.
#[test]
fn a_walker_that_was_here_before_and_a_flush() {
    explore(
        ONE_MM,
        &[(gone, join_and_walk), (elsewhere, unlink_and_reuse::<Pending>), (elsewhere, flush_the_walker)],
    );
}

/// As before, and the unlinker flushes.
#[test]
fn a_walker_that_is_made_to_leave_and_a_flush() {
    explore(
        ONE_MM,
        &[
            (running, walk_and_go_away),
            (elsewhere, unlink_flush_and_reuse::<Pending>),
            (elsewhere, flush_the_walker),
        ],
    );
}

/// The flush makes the walker leave, or finds it back.
#[test]
fn a_walker_that_is_made_to_leave_and_joins() {
    explore(ONE_MM, &[(gone, join_and_walk), (elsewhere, flush_unlink_and_reuse)]);
}
