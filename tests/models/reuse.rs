//! Property: no walker reads a table that has been reused.

use gupsync::policy::Pending;
use gupsync::world::Cpu;

use crate::acts::{
    elsewhere, flush, join_and_walk, round, running, unlink_and_reuse, unlink_flush_and_reuse, walk,
};
use crate::machine::{Model, ONE_MM, Stage, explore};

/// An interrupt may be taken before the walk.
fn answer_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.window(cpu.id());
    walk::<Pending>(stage, cpu);
}

#[test]
fn a_walker_of_the_mm() {
    explore(ONE_MM, &[(running, walk::<Pending>), (elsewhere, unlink_and_reuse::<Pending>)]);
}

#[test]
fn a_walker_that_joins() {
    explore(ONE_MM, &[(elsewhere, join_and_walk), (elsewhere, unlink_and_reuse::<Pending>)]);
}

/// The flush may cover the ticket, or miss it, but must not cover what it has not seen.
#[test]
fn a_flush_in_between() {
    explore(
        ONE_MM,
        &[(running, answer_and_walk), (elsewhere, unlink_and_reuse::<Pending>), (elsewhere, flush)],
    );
}

/// As before, for a round that no unlink asked for.
#[test]
#[cfg_attr(loom, ignore = "deep")]
fn a_round_in_between() {
    explore(
        ONE_MM,
        &[(running, answer_and_walk), (elsewhere, unlink_and_reuse::<Pending>), (elsewhere, round)],
    );
}

/// The round may see the ticket; it must not miss the walker if the walker misses the clear.
#[test]
fn a_round_and_a_walker_that_joins() {
    explore(
        ONE_MM,
        &[(elsewhere, join_and_walk), (elsewhere, unlink_and_reuse::<Pending>), (elsewhere, round)],
    );
}

/// Both walkers have to answer.
#[test]
fn two_walkers() {
    explore(
        ONE_MM,
        &[(elsewhere, unlink_and_reuse::<Pending>), (running, walk::<Pending>), (running, walk::<Pending>)],
    );
}

#[test]
fn two_walkers_and_a_flush_of_ones_own() {
    explore(
        ONE_MM,
        &[
            (elsewhere, unlink_flush_and_reuse::<Pending>),
            (running, walk::<Pending>),
            (running, walk::<Pending>),
        ],
    );
}
