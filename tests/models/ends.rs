//! Property: it ends. CPUs that wait for each other serve each other.
//!
//! Every other model is held to this too: under x86-TSO, a state in which no CPU can go on, and one waits, is a fault.

use gupsync::policy::{Broadcast, Pending};
use gupsync::world::Cpu;

use crate::acts::{elsewhere, flush_freed, join_and_walk, lazy, round, running, unlink_and_reuse};
use crate::machine::{Model, ONE_MM, Stage, explore};

fn broadcast(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    gupsync::sync_round::broadcast(cpu, stage.mm(1));
}

/// Each has to answer the other while it waits.
#[test]
fn two_senders_that_run_the_mm() {
    explore(ONE_MM, &[(running, round), (running, round)]);
}

#[test]
fn two_unlinkers_that_call_every_cpu() {
    explore(ONE_MM, &[(running, unlink_and_reuse::<Broadcast>), (running, broadcast)]);
}

/// A CPU that has another mm loaded, or is lazy, answers too.
#[test]
fn a_flush_of_a_cpu_that_is_lazy() {
    explore(ONE_MM, &[(lazy, round), (running, flush_freed)]);
}

/// Three that call each other.
#[test]
#[cfg_attr(loom, ignore = "deep")]
fn three_senders() {
    explore(ONE_MM, &[(running, round), (running, round), (elsewhere, broadcast)]);
}

/// A CPU between two mms answers once it has interrupts on.
#[test]
fn a_round_and_a_cpu_that_joins() {
    explore(ONE_MM, &[(elsewhere, join_and_walk), (running, unlink_and_reuse::<Pending>)]);
}
