//! Property: a held walker is inside its walk when the table is unlinked, and goes on once another CPU waits for it.
//!
//! This is the bench's, not the protocol's: what a comparison says of a missing sync rests on it.

use std::sync::Arc;

use gupsync::flush::Reached;
use gupsync::machine::Machine;
use gupsync::policy::{self, Pending, Policy, Rcu};
use gupsync::types::{CpuId, Frame, MmId};
use gupsync::world::{Cpu, World};
use gupsync_bench::hold::{At, Hold};

use crate::acts::{elsewhere, running, walk_to_and};
use crate::machine::{Model, ONE_MM, Setting, VA, explore};

/// A PTE table, and where its walker is held.
struct Held {
    table: Frame,
    hold: Arc<Hold>,
}

type Stage = crate::machine::Stage<Held>;

const HELD: Setting<Held> =
    Setting { config: ONE_MM.config, mms: ONE_MM.mms, paging: ONE_MM.paging, table: |world| held_table(world) };

fn held_table(world: &World<Model>) -> Held {
    let hold = Arc::new(Hold::new(world.machine.cpus(), 0));
    hold.arm(&[CpuId(0)]);
    Held { table: (ONE_MM.table)(world), hold }
}

/// Stays inside until another CPU waits for it: its operation never says that it is over.
fn walk_and_be_held<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let is_held = stage.table.hold.is_armed_for(cpu.id());
    walk_to_and::<P, _>(1, stage, cpu, 1, |off, table| {
        if is_held {
            stage.table.hold.stay(off, Some(At { mm: stage.mm(1), va: VA, table }), 1, false, || false);
        }
        stage.world.machine.read(table);
    });
}

fn unlink_and_reuse<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let (mm, machine, Held { table, hold }) =
        (stage.world.mm(MmId::new(1)), &stage.world.machine, &stage.table);
    let slot = mm.entry(machine, VA, 2).expect("it exists");
    hold.await_one(cpu);
    let unlinked = policy::unlink(cpu, mm, *table, |batch| {
        batch.clear(slot);
    });
    machine.require(hold.is_any_inside(), "no walker is inside when the table is unlinked");
    let table = policy::sync::<P, _, _>(cpu, mm, unlinked, Reached::Short);
    machine.reuse(table);
}

#[test]
fn a_walker_that_is_held_until_it_is_called() {
    explore(HELD, &[(running, walk_and_be_held::<Pending>), (elsewhere, unlink_and_reuse::<Pending>)]);
}

/// Nothing is in its inbox: a grace period is due.
#[test]
fn a_walker_that_is_held_until_a_grace_period() {
    explore(HELD, &[(running, walk_and_be_held::<Rcu>), (elsewhere, unlink_and_reuse::<Rcu>)]);
}
