//! Property: when a grace period has elapsed, every walk that could have seen what was unlinked before is over.

use gupsync::ops::deferred::Deferred;
use gupsync::policy::{self, Rcu};
use gupsync::world::Cpu;

use crate::acts::{elsewhere, running, unlink_and_reuse, walk};
use crate::machine::{Model, ONE_MM, Stage, VA, explore};

fn walk_and_rest(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Rcu>(stage, cpu);
    cpu.rest(|| true);
}

/// Does not wait: there is another execution in which it looks later.
fn unlink_defer_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let (mm, machine) = (stage.mm(1), &stage.world.machine);
    let slot = mm.entry(machine, VA, 2).expect("it exists");
    let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
        batch.clear(slot);
    });
    let deferred = Deferred::new(cpu, mm.id, unlinked.into_ticket());
    deferred.poll::<Rcu, _>(cpu).into_iter().for_each(|table| machine.reuse(table));
}

/// Every CPU of a model is idle when its act begins.
#[test]
fn a_walker_that_comes_to_work() {
    explore(ONE_MM, &[(running, walk::<Rcu>), (elsewhere, unlink_and_reuse::<Rcu>)]);
}

#[test]
fn a_walker_that_rests() {
    explore(ONE_MM, &[(running, walk_and_rest), (elsewhere, unlink_and_reuse::<Rcu>)]);
}

#[test]
fn a_walker_that_rests_and_a_table_that_is_deferred() {
    explore(ONE_MM, &[(running, walk_and_rest), (elsewhere, unlink_defer_and_reuse)]);
}
