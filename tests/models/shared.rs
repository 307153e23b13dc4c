//! Property: no walker reads a shared table that has been reused, whichever mm had left it and whichever reuses it.
//!
//! All mms have a global ASID, so that no flush reaches a walker.

use std::sync::Arc;

use gupsync::config::MmConfig;
use gupsync::machine::Machine;
use gupsync::mm::shared_table::{Attempt, SharedTable};
use gupsync::ops::unshare::{self, Join, Leave, Left};
use gupsync::ops::{Operation, Step};
use gupsync::policy::{
    BroadcastPerTable, Gather, GatherMask, Mask, Pending, PendingTargeted, Policy, Targeted,
};
use gupsync::sync_round;
use gupsync::types::{FrameSize, MmId};
use gupsync::world::{Cpu, World};

use crate::acts::{elsewhere, flush_the_walker, running, walk_to};
use crate::machine::{BY_INVLPGB, MM, Model, Paging, Setting, VA, explore, give_asids};

type Stage = crate::machine::Stage<Arc<SharedTable>>;

/// Two mms share a table.
const TWO: Setting<Arc<SharedTable>> = Setting {
    config: BY_INVLPGB,
    mms: &[MM, MM],
    paging: Paging::ONE,
    table: |world| table_shared_by(2, world),
};

/// Three mms share it.
const THREE: Setting<Arc<SharedTable>> =
    Setting { mms: &[MM, MM, MM], table: |world| table_shared_by(3, world), ..TWO };

/// Three mms share it, and the flush of the second reaches the CPUs that run that mm.
const THREE_AND_AN_IPI: Setting<Arc<SharedTable>> =
    Setting { mms: &[MM, MmConfig { wants_asid: false, ..MM }, MM], ..THREE };

/// The third mm does not share it yet.
const TWO_OF_THREE: Setting<Arc<SharedTable>> = Setting { table: |world| table_shared_by(2, world), ..THREE };

/// A PMD table at [`VA`] that the first `sharers` mms share; every mm has its ASID.
fn table_shared_by(sharers: usize, world: &World<Model>) -> Arc<SharedTable> {
    give_asids(world);
    let frame = world.machine.alloc(FrameSize::Small).expect("enough frames");
    let table = Arc::new(SharedTable::new(frame, VA, world.machine.cpus(), MmId::new(1)));
    unshare::link(&world.machine, world.mm(MmId::new(1)), &table);
    for mm in (2..=sharers).map(MmId::new) {
        assert_eq!(table.join(mm), Attempt::Done);
        unshare::link(&world.machine, world.mm(mm), &table);
    }
    table
}

fn running_2(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(2)));
}

fn running_3(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(3)));
}

fn walk<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk_to::<P, _>(2, stage, cpu, 1);
}

fn join_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    walk::<Pending>(stage, cpu);
}

fn walk_and_go_away(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Pending>(stage, cpu);
    cpu.switch_mm(None);
}

fn walk_2(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk_to::<Pending, _>(2, stage, cpu, 2);
}

fn walk_3(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk_to::<Pending, _>(2, stage, cpu, 3);
}

/// Does all steps of `operation`; gives up where it would have to wait.
fn run<P: Policy, O: Operation>(
    mut operation: O,
    stage: &Stage,
    cpu: &mut Cpu<'_, Model>,
    mm: usize,
) -> Option<O::Outcome> {
    loop {
        match operation.step::<P, _>(cpu, stage.mm(mm)) {
            Step::Next(next) => operation = next,
            Step::Wait(_) => return None,
            Step::Done(outcome) => return Some(outcome),
        }
    }
}

fn leave_as<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>, mm: usize) -> Option<Left> {
    run::<P, _>(Leave::new(vec![stage.table.clone()]), stage, cpu, mm)
}

fn leave<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let _ = leave_as::<P>(stage, cpu, 1);
}

/// The survivor, in one attempt: there is another execution in which it comes later.
fn claim_and_reuse(stage: &Stage, _: &mut Cpu<'_, Model>) {
    if stage.table.claim() == Attempt::Done {
        stage.world.machine.reuse(stage.table.frame);
    }
}

/// The survivor, which waits for the mm that leaves. It ends: the other does not wait for it.
fn wait_claim_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let table = &stage.table;
    cpu.wait(|| table.is_unshared() && table.is_settled());
    claim_and_reuse(stage, cpu);
}

#[test]
fn a_survivor_that_waits() {
    explore(TWO, &[(running, leave::<Pending>), (elsewhere, wait_claim_and_reuse)]);
}

fn leave_for_a_third<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let _ = leave_as::<P>(stage, cpu, 2);
    claim_and_reuse(stage, cpu);
}

/// The last to leave frees the table.
fn leave_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let Some(Some(deferred)) = leave_as::<Pending>(stage, cpu, 2) else { return };
    let freed = deferred.poll::<Pending, _>(cpu).or_else(|deferred| {
        sync_round::round(cpu, stage.mm(2));
        deferred.poll::<Pending, _>(cpu)
    });
    if let Ok(frames) = freed {
        frames.into_iter().for_each(|frame| stage.world.machine.reuse(frame));
    }
}

fn both_leave_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    leave::<Pending>(stage, cpu);
    leave_and_reuse(stage, cpu);
}

fn leave_then_claim_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    leave::<Pending>(stage, cpu);
    claim_and_reuse(stage, cpu);
}

fn join_and_leave(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let joined = run::<Pending, _>(Join::new(vec![stage.table.clone()]), stage, cpu, 3);
    if joined.is_some_and(|tables| !tables.is_empty()) {
        let _ = leave_as::<Pending>(stage, cpu, 3);
    }
}

/// The first of two leaves, and the survivor reuses.
fn two<P: Policy>() {
    explore(TWO, &[(running, walk::<P>), (elsewhere, leave::<P>), (elsewhere, claim_and_reuse)]);
}

/// The first of three leaves, then the second, and the third reuses.
fn three<P: Policy>(setting: Setting<Arc<SharedTable>>) {
    explore(setting, &[(running, walk::<P>), (elsewhere, leave::<P>), (elsewhere, leave_for_a_third::<P>)]);
}

#[test]
fn the_survivor_reuses() {
    two::<Pending>();
}

/// The debt of the first to leave is paid by the second.
#[test]
fn the_third_reuses() {
    three::<Pending>(THREE);
}

#[test]
fn the_third_reuses_targeted() {
    three::<Targeted>(THREE);
}

#[test]
fn the_third_reuses_pending_and_targeted() {
    three::<PendingTargeted>(THREE);
}

/// The flush of the last mm but one to leave reaches the walkers of that mm, and no other's.
#[test]
fn the_third_reuses_gather() {
    three::<Gather>(THREE_AND_AN_IPI);
}

/// The third asks the CPUs of the first too.
#[test]
fn the_third_reuses_mask() {
    three::<Mask>(THREE);
}

#[test]
fn the_third_reuses_gather_and_mask() {
    three::<GatherMask>(THREE_AND_AN_IPI);
}

/// The mm that leaves waits for its own walkers before it does, and the survivor for none.
#[test]
fn the_survivor_reuses_broadcast_per_table() {
    two::<BroadcastPerTable>();
}

/// The mm that leaves may find the walker, or clear the entry before the walker looks.
#[test]
fn a_walker_that_joins() {
    explore(TWO, &[(elsewhere, join_and_walk), (elsewhere, leave_then_claim_and_reuse)]);
}

#[test]
fn the_last_to_leave_frees() {
    explore(TWO, &[(running, walk::<Pending>), (elsewhere, leave::<Pending>), (elsewhere, leave_and_reuse)]);
}

/// As before, but the walker walks the mm that frees.
#[test]
fn the_last_to_leave_frees_and_has_a_walker() {
    explore(TWO, &[(running_2, walk_2), (elsewhere, both_leave_and_reuse)]);
}

/// The mm that leaves does not find the walker in its cpumask, and owes nothing.
#[test]
fn a_walker_that_is_made_to_leave() {
    explore(
        TWO,
        &[(running, walk_and_go_away), (elsewhere, leave_then_claim_and_reuse), (elsewhere, flush_the_walker)],
    );
}

/// The third joins before the first leaves or after it, but not in between.
#[test]
fn somebody_joins() {
    explore(
        TWO_OF_THREE,
        &[(running_3, walk_3), (elsewhere, leave_then_claim_and_reuse), (elsewhere, join_and_leave)],
    );
}
