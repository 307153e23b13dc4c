//! Property: no walker reads an upper table that has been freed, and no CPU looks anything up in one, a lazy CPU neither.
//!
//! Each CPU keeps the root's entry, that leads to the upper table ([`Paging::upper`]). Nothing is mapped below any more.

use gupsync::atomic::Ordering;
use gupsync::gup_fast;
use gupsync::mm::page_table::Entry;
use gupsync::ops::exit::{Exit, Exited, PUD_TABLE_SIZE};
use gupsync::ops::{Operation, Step};
use gupsync::policy::{Pending, Policy, Rcu};
use gupsync::sync_round;
use gupsync::types::{Frame, MmId, VirtAddr};
use gupsync::world::{Cpu, World};

use crate::acts::{access, access_twice, elsewhere, lazy, running, using_it, using_it_lazily, walk_to};
use crate::machine::{BY_INVLPGB, Model, ONE_MM, Paging, Setting, Stage, VA, explore, give_asids};

/// An upper table of an mm that is flushed by interrupts.
const UPPER: Setting =
    Setting { paging: Paging { upper: true, ..Paging::ONE }, table: |world| pud_table(world, 0), ..ONE_MM };

/// The mm has a global ASID: no flush interrupts.
const GLOBAL_UPPER: Setting = Setting {
    config: BY_INVLPGB,
    table: |world| {
        give_asids(world);
        pud_table(world, 0)
    },
    ..UPPER
};

/// Two upper tables, side by side. The second is looked at.
const TWO_UPPER: Setting = Setting {
    paging: Paging { pages: 2, ..UPPER.paging },
    table: |world| {
        give_asids(world);
        pud_table(world, 0);
        pud_table(world, 1)
    },
    ..GLOBAL_UPPER
};

/// An address that PUD table number `table` leads to.
fn address(table: u64) -> VirtAddr {
    VirtAddr(VA.0 + table * PUD_TABLE_SIZE)
}

/// Gives mm 1 an empty PUD table.
fn pud_table(world: &World<Model>, table: u64) -> Frame {
    let (mm, machine) = (world.mm(MmId::new(1)), &world.machine);
    let entry = |level| mm.entry(machine, address(table), level).expect("enough frames");
    entry(3);
    Entry(entry(4).load(Ordering::Relaxed)).frame()
}

fn walk<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk_to::<P, _>(3, stage, cpu, 1);
}

/// An interrupt may be taken before the walk.
fn answer_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.window(cpu.id());
    walk::<Pending>(stage, cpu);
}

fn join_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    running(stage, cpu);
    walk::<Pending>(stage, cpu);
}

fn come_back_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.exit_lazy_tlb(stage.mm(1));
    walk::<Pending>(stage, cpu);
}

fn walk_and_rest(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Rcu>(stage, cpu);
    cpu.rest(|| true);
}

fn walk_to_the_second(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    gup_fast::gup_fast::<Pending, _>(cpu, stage.mm(1), address(1), |_, level, table| {
        if level == 3 {
            stage.world.machine.read(table);
        }
    });
}

/// Takes so many tables out.
fn exit<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>, tables: u64) -> Exited {
    let mut exit = Exit::Ready { start: VA, tables };
    loop {
        match exit.step::<P, _>(cpu, stage.mm(1)) {
            Step::Next(next) | Step::Wait(next) => exit = next,
            Step::Done(exited) => return exited,
        }
    }
}

fn free(stage: &Stage, tables: Vec<Frame>) {
    tables.into_iter().for_each(|table| stage.world.machine.reuse(table));
}

/// Exits, and frees so many tables: at once, if the flush says that it may, or after a round that does.
fn exit_and_free_all(stage: &Stage, cpu: &mut Cpu<'_, Model>, tables: u64) {
    let freed = exit::<Pending>(stage, cpu, tables).poll::<Pending, _>(cpu).or_else(|deferred| {
        sync_round::round(cpu, stage.mm(1));
        deferred.poll::<Pending, _>(cpu)
    });
    if let Ok(tables) = freed {
        free(stage, tables);
    }
}

fn exit_and_free(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    exit_and_free_all(stage, cpu, 1);
}

fn exit_and_free_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    exit_and_free_all(stage, cpu, 2);
}

/// Exits, and frees the table if it may be: there is another execution in which it looks later.
fn exit_and_free_if_it_may<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    if let Ok(tables) = exit::<P>(stage, cpu, 1).poll::<P, _>(cpu) {
        free(stage, tables);
    }
}

fn round(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    sync_round::round(cpu, stage.mm(1));
}

/// An interrupt may be taken before each.
fn answer_and_access_twice(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.window(cpu.id());
    access_twice(stage, cpu);
}

fn access_come_back_and_access(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    cpu.exit_lazy_tlb(stage.mm(1));
    access(stage, cpu);
}

#[test]
fn a_walker() {
    explore(UPPER, &[(running, walk::<Pending>), (elsewhere, exit_and_free)]);
}

#[test]
fn a_walker_that_no_flush_interrupts() {
    explore(GLOBAL_UPPER, &[(running, walk::<Pending>), (elsewhere, exit_and_free)]);
}

#[test]
fn a_walker_that_joins() {
    explore(GLOBAL_UPPER, &[(elsewhere, join_and_walk), (elsewhere, exit_and_free)]);
}

#[test]
fn a_walker_that_was_lazy() {
    explore(UPPER, &[(lazy, come_back_and_walk), (elsewhere, exit_and_free)]);
}

#[test]
fn a_walker_that_rests() {
    explore(GLOBAL_UPPER, &[(running, walk_and_rest), (elsewhere, exit_and_free_if_it_may::<Rcu>)]);
}

#[test]
fn a_walker_in_the_second_of_two() {
    explore(TWO_UPPER, &[(running, walk_to_the_second), (elsewhere, exit_and_free_both)]);
}

/// The round may be over before the entry is cleared: it says nothing of the ticket then.
#[test]
fn a_walker_and_a_round_of_another() {
    explore(
        GLOBAL_UPPER,
        &[(running, answer_and_walk), (elsewhere, exit_and_free_if_it_may::<Pending>), (elsewhere, round)],
    );
}

#[test]
fn a_cpu_that_looks_up() {
    explore(UPPER, &[(using_it, answer_and_access_twice), (elsewhere, exit_and_free)]);
}

/// No task uses the mm there, but hardware may look up its addresses.
#[test]
fn a_lazy_cpu_that_looks_up() {
    explore(UPPER, &[(using_it_lazily, access_twice), (elsewhere, exit_and_free)]);
}

#[test]
fn a_lazy_cpu_that_looks_up_and_comes_back() {
    explore(UPPER, &[(using_it_lazily, access_come_back_and_access), (elsewhere, exit_and_free)]);
}

#[test]
fn a_lazy_cpu_that_no_flush_interrupts() {
    explore(GLOBAL_UPPER, &[(using_it_lazily, access_twice), (elsewhere, exit_and_free)]);
}
