//! Property: as in [`crate::reuse`], with four CPUs. What takes hours is left to deep bounds.

use gupsync::policy::Pending;

use crate::acts::{
    elsewhere, flush, flush_the_walker, gone, join_and_walk, round, running, unlink_and_reuse, walk,
};
use crate::machine::{ONE_MM, explore};

#[test]
#[ignore = "deep"]
fn a_walker_that_joins_another_of_the_mm_and_a_round() {
    explore(
        ONE_MM,
        &[
            (running, walk::<Pending>),
            (elsewhere, join_and_walk),
            (elsewhere, unlink_and_reuse::<Pending>),
            (elsewhere, round),
        ],
    );
}

#[test]
#[cfg_attr(loom, ignore = "deep")]
fn a_walker_and_two_rounds() {
    explore(
        ONE_MM,
        &[
            (running, walk::<Pending>),
            (elsewhere, unlink_and_reuse::<Pending>),
            (elsewhere, round),
            (elsewhere, round),
        ],
    );
}

#[test]
#[ignore = "deep"]
fn two_walkers_and_a_flush() {
    explore(
        ONE_MM,
        &[
            (running, walk::<Pending>),
            (running, walk::<Pending>),
            (elsewhere, unlink_and_reuse::<Pending>),
            (elsewhere, flush),
        ],
    );
}

/// The interrupts of two senders may reach a walker as one.
#[test]
fn two_walkers_and_a_call() {
    explore(
        ONE_MM,
        &[
            (running, walk::<Pending>),
            (running, walk::<Pending>),
            (elsewhere, unlink_and_reuse::<Pending>),
            (elsewhere, flush_the_walker),
        ],
    );
}

/// The flush of the fourth CPU may find the walker before it joins, while it does, and after that.
#[test]
fn a_walker_that_joins_another_of_the_mm_and_a_call() {
    explore(
        ONE_MM,
        &[
            (gone, join_and_walk),
            (running, walk::<Pending>),
            (elsewhere, unlink_and_reuse::<Pending>),
            (elsewhere, flush_the_walker),
        ],
    );
}
