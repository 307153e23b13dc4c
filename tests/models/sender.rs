//! Property: a sender may take its snapshot on one CPU, look and send on another, and wait on a third, while other
//! tasks walk on the CPUs that it has left; several rounds may be in flight from one CPU; and an idle CPU may answer by
//! itself.
//!
//! The task of the first CPU is the sender. It changes places with the others where these yield, if it may be preempted
//! then: there are executions in which it does, and some in which it stays.

use gupsync::config::FreedTables;
use gupsync::flush;
use gupsync::flush::Reached;
use gupsync::policy::{self, Pending};
use gupsync::sync_round;
use gupsync::types::Range;
use gupsync::world::Cpu;

use crate::acts::{
    access, elsewhere, join_and_walk, lazy, round, running, unlink_and_reuse, unlink_flush_and_reuse,
    unmap_and_reuse, using_it, walk,
};
use crate::machine::{BY_INVLPGB, Model, ONE_MM, ONE_PAGE, Setting, Stage, VA, explore, explore_moving};

/// Yields, and walks where it is then: on its own CPU, or where the sender was.
fn yield_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.may_migrate();
    walk::<Pending>(stage, cpu);
}

/// Walks before the sender comes, and where that was.
fn walk_yield_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Pending>(stage, cpu);
    yield_and_walk(stage, cpu);
}

/// Walks, and sends a round where it is then.
fn walk_yield_and_round(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Pending>(stage, cpu);
    cpu.may_migrate();
    round(stage, cpu);
}

#[test]
fn a_walker_where_the_sender_goes_and_where_it_was() {
    explore_moving(ONE_MM, &[(running, unlink_and_reuse::<Pending>), (running, walk_yield_and_walk)]);
}

#[test]
#[cfg_attr(loom, ignore = "deep")]
fn a_walker_where_the_sender_was_and_a_third_cpu_to_wait_on() {
    explore_moving(
        ONE_MM,
        &[(running, unlink_and_reuse::<Pending>), (running, yield_and_walk), (running, yield_and_walk)],
    );
}

/// The CPU that the sender comes to has never had the mm.
#[test]
fn a_sender_that_goes_to_a_cpu_that_joins() {
    fn yield_join_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        cpu.may_migrate();
        join_and_walk(stage, cpu);
    }
    explore_moving(ONE_MM, &[(elsewhere, unlink_and_reuse::<Pending>), (elsewhere, yield_join_and_walk)]);
}

/// The ticket that the round covers is another CPU's, which sends none.
#[test]
fn a_round_that_moves_and_an_unlinker() {
    fn unlink_and_reuse_if_covered(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        let mm = stage.mm(1);
        let slot = mm.entry(&stage.world.machine, VA, 2).expect("it exists");
        let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
            batch.clear(slot);
        });
        stage.world.machine.pause();
        if let Ok(table) = mm.pending.redeem(unlinked.into_ticket()) {
            stage.world.machine.reuse(table);
        }
    }
    explore_moving(
        ONE_MM,
        &[(running, round), (running, yield_and_walk), (elsewhere, unlink_and_reuse_if_covered)],
    );
}

#[test]
fn a_flush_that_moves_and_a_walker() {
    explore_moving(ONE_MM, &[(running, unlink_flush_and_reuse::<Pending>), (running, walk_yield_and_walk)]);
}

fn access_yield_and_access(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    cpu.may_migrate();
    access(stage, cpu);
}

/// The part of the flush that is the sender's own is due where it has looked: no interrupt goes there.
#[test]
fn a_flush_that_moves() {
    explore_moving(ONE_PAGE, &[(using_it, unmap_and_reuse), (using_it, access_yield_and_access)]);
}

/// In an ASID transition the flush is by INVLPGB and by interrupts, and stays on one CPU. That TLBSYNC would not wait
/// for another CPU's INVLPGBs, histories show.
#[test]
fn a_flush_in_transition_that_may_not_move() {
    /// Beforehand: runs the mm under its local ASID; a global one was given since.
    fn straggling(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        running(stage, cpu);
        let _ = flush::flush(cpu, stage.mm(1), Range::All, FreedTables::No, None);
        access(stage, cpu);
    }
    explore_moving(
        Setting { config: BY_INVLPGB, ..ONE_PAGE },
        &[(elsewhere, unmap_and_reuse), (straggling, access_yield_and_access)],
    );
}

/// While the sender waits elsewhere, another task sends a round from the CPU that it has sent from.
#[test]
fn a_round_from_the_cpu_that_the_sender_has_left() {
    explore_moving(ONE_MM, &[(running, unlink_and_reuse::<Pending>), (running, walk_yield_and_round)]);
}

/// Unlinks the table between two rounds that are both under way, and reuses it once the second is answered.
fn begin_unlink_begin_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let (mm, machine) = (stage.mm(1), &stage.world.machine);
    let slot = mm.entry(machine, VA, 2).expect("it exists");
    let first = sync_round::start(cpu, mm);
    let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
        batch.clear(slot);
    });
    let second = sync_round::start(cpu, mm);
    second.wait(cpu).expect("all were called").cover();
    machine.reuse(policy::sync::<Pending, _, _>(cpu, mm, unlinked, Reached::Short));
    first.wait(cpu).expect("all were called").cover();
}

/// Unlinks the table, and reuses it once the first of two rounds is answered that it has sent.
fn unlink_begin_begin_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let (mm, machine) = (stage.mm(1), &stage.world.machine);
    let slot = mm.entry(machine, VA, 2).expect("it exists");
    let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
        batch.clear(slot);
    });
    let [first, second] = [(); 2].map(|()| sync_round::start(cpu, mm));
    first.wait(cpu).expect("all were called").cover();
    machine.reuse(policy::sync::<Pending, _, _>(cpu, mm, unlinked, Reached::Short));
    second.wait(cpu).expect("all were called").cover();
}

#[test]
fn two_rounds_in_flight_of_which_the_second_counts() {
    explore(ONE_MM, &[(running, walk::<Pending>), (elsewhere, begin_unlink_begin_and_reuse)]);
}

#[test]
fn two_rounds_in_flight_of_which_the_first_counts() {
    explore(ONE_MM, &[(running, walk::<Pending>), (elsewhere, unlink_begin_begin_and_reuse)]);
}

/// Two walkers, one of which may have answered both rounds while the other is inside.
#[test]
#[cfg_attr(loom, ignore = "deep")]
fn two_rounds_in_flight_and_two_walkers() {
    explore(
        ONE_MM,
        &[(running, walk::<Pending>), (running, walk::<Pending>), (elsewhere, unlink_begin_begin_and_reuse)],
    );
}

/// One CPU's rounds take all slots. The other waits for one, and has to answer meanwhile.
#[test]
#[cfg(tso)]
fn more_rounds_than_slots() {
    fn two_rounds(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        let rounds = [(); 2].map(|()| sync_round::start(cpu, stage.mm(1)));
        for round in rounds {
            round.wait(cpu).expect("all were called").cover();
        }
    }
    explore(ONE_MM, &[(running, two_rounds), (running, round)]);
}

/// Looks into its inbox, as an idle CPU does that has not halted yet, and goes on to walk.
fn serve_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.serve();
    walk::<Pending>(stage, cpu);
}

/// The same, after a walk.
fn walk_and_serve(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Pending>(stage, cpu);
    cpu.serve();
}

fn serve_lazily_and_come_back(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.serve();
    cpu.exit_lazy_tlb(stage.mm(1));
    walk::<Pending>(stage, cpu);
}

#[test]
fn an_idle_cpu_that_serves_before_it_walks() {
    explore(ONE_MM, &[(running, serve_and_walk), (elsewhere, unlink_and_reuse::<Pending>)]);
}

#[test]
fn an_idle_cpu_that_serves_after_its_walk() {
    explore(ONE_MM, &[(running, walk_and_serve), (elsewhere, unlink_and_reuse::<Pending>)]);
}

#[test]
fn a_lazy_cpu_that_serves() {
    explore(ONE_MM, &[(lazy, serve_lazily_and_come_back), (elsewhere, unlink_flush_and_reuse::<Pending>)]);
}
