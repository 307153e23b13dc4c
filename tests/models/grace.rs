//! Property: when a grace period has elapsed, every walk that could have seen what was unlinked before is over.

use gupsync::policy::Rcu;
use gupsync::world::Cpu;

use crate::machine::{Model, ONE_MM, Stage, explore};
use crate::roles::{elsewhere, running, unlink_and_reuse, walk};

fn walk_and_rest(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Rcu>(stage, cpu);
    cpu.rest(|| true);
}

/// Every CPU of a model is idle when its role begins.
#[test]
fn a_walker_that_comes_to_work() {
    explore(3, ONE_MM, &[(running, walk::<Rcu>), (elsewhere, unlink_and_reuse::<Rcu>)]);
}

#[test]
fn a_walker_that_rests() {
    explore(3, ONE_MM, &[(running, walk_and_rest), (elsewhere, unlink_and_reuse::<Rcu>)]);
}
