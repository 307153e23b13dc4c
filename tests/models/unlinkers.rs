//! Property: of several that unlink tables of one mm at once, and sync, none reuses a table too early.

use gupsync::atomic::Ordering;
use gupsync::flush::Reached;
use gupsync::gup_fast;
use gupsync::machine::Machine;
use gupsync::mm::page_table::{self, Entry};
use gupsync::policy::{self, Pending, Unlinked};
use gupsync::sync_round;
use gupsync::types::{Frame, MmId};
use gupsync::world::{Cpu, World};

use crate::acts::{elsewhere, running};
use crate::machine::{Model, ONE_MM, Setting, VA, explore};

/// A table, and the one that leads to it.
struct Nested {
    above: Frame,
    below: Frame,
}

type Stage = crate::machine::Stage<Nested>;

const NESTED: Setting<Nested> =
    Setting { config: ONE_MM.config, mms: ONE_MM.mms, paging: ONE_MM.paging, table: nested };

fn nested(world: &World<Model>) -> Nested {
    let below = (ONE_MM.table)(world);
    let slot = world.mm(MmId::new(1)).entry(&world.machine, VA, 3).expect("it exists");
    Nested { above: Entry(slot.load(Ordering::Relaxed)).frame(), below }
}

fn walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    gup_fast::gup_fast::<Pending, _>(cpu, stage.mm(1), VA, |_, level, table| {
        if level < 3 {
            stage.world.machine.read(table);
        }
    });
}

fn join_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    walk(stage, cpu);
}

fn come_back_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.exit_lazy_tlb(stage.mm(1));
    walk(stage, cpu);
}

fn lazy(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    cpu.enter_lazy_tlb();
}

fn unlink_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>, level: u32, in_table: Frame, table: Frame) {
    let (mm, machine) = (stage.mm(1), &stage.world.machine);
    let slot = &machine.words(in_table)[page_table::index(VA, level)];
    let unlinked = policy::unlink(cpu, mm, table, |batch| {
        batch.clear(slot);
    });
    machine.reuse(policy::sync::<Pending, _, _>(cpu, mm, unlinked, Reached::Short));
}

fn unlink_below(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unlink_and_reuse(stage, cpu, 2, stage.table.above, stage.table.below);
}

/// The table that leads to [`Nested::above`].
fn top(stage: &Stage) -> Frame {
    let slot = &stage.world.machine.words(stage.mm(1).root)[page_table::index(VA, 4)];
    Entry(slot.load(Ordering::Relaxed)).frame()
}

fn unlink_above(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unlink_and_reuse(stage, cpu, 3, top(stage), stage.table.above);
}

/// One after the other, each with a ticket, and one sync for both.
fn unlink_both_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let (mm, machine) = (stage.mm(1), &stage.world.machine);
    let mut unlink = |level, in_table, table| {
        let slot = &machine.words(in_table)[page_table::index(VA, level)];
        policy::unlink(cpu, mm, table, |batch| {
            batch.clear(slot);
        })
    };
    let below = unlink(2, stage.table.above, stage.table.below);
    let above = unlink(3, top(stage), stage.table.above);
    let both = Unlinked::join([below, above].into_iter());
    for table in policy::sync::<Pending, _, _>(cpu, mm, both, Reached::Short) {
        machine.reuse(table);
    }
}

fn round(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    sync_round::round(cpu, stage.mm(1));
}

#[test]
fn two() {
    explore(NESTED, &[(running, walk), (elsewhere, unlink_below), (elsewhere, unlink_above)]);
}

#[test]
#[cfg_attr(loom, ignore = "deep")]
fn two_and_a_walker_that_joins() {
    explore(NESTED, &[(elsewhere, join_and_walk), (elsewhere, unlink_below), (elsewhere, unlink_above)]);
}

#[test]
fn two_and_a_walker_that_was_lazy() {
    explore(NESTED, &[(lazy, come_back_and_walk), (elsewhere, unlink_below), (elsewhere, unlink_above)]);
}

/// The round of a third CPU may cover the first of two tickets that are redeemed together.
#[test]
#[cfg_attr(loom, ignore = "deep")]
fn two_tickets_and_a_round() {
    explore(NESTED, &[(running, walk), (elsewhere, unlink_both_and_reuse), (elsewhere, round)]);
}

/// The table is linked again in between: the first sync says nothing about the second unlink.
#[test]
fn one_after_the_other() {
    fn twice(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        let (mm, machine) = (stage.mm(1), &stage.world.machine);
        let slot = &machine.words(stage.table.above)[page_table::index(VA, 2)];
        let sync = |cpu: &mut Cpu<'_, Model>| {
            let unlinked = policy::unlink(cpu, mm, stage.table.below, |batch| {
                batch.clear(slot);
            });
            sync_round::round(cpu, mm);
            policy::sync::<Pending, _, _>(cpu, mm, unlinked, Reached::Short)
        };
        page_table::link(slot, Entry::to(sync(cpu), VA));
        unlink_below(stage, cpu);
    }
    explore(NESTED, &[(running, walk), (elsewhere, twice)]);
}
