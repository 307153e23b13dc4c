//! Property: no CPU uses a translation that has been flushed, whichever ASID it was loaded under; and a global ASID that is
//! used again is clean.

use gupsync::config::{FlushConfig, FreedTables};
use gupsync::flush;
use gupsync::policy::Pending;
use gupsync::types::Range;
use gupsync::world::Cpu;

use crate::acts::{
    access, access_and_go_away, access_twice, come_back_and_access, elsewhere, flush, flush_the_walker,
    join_and_access, running, unlink_flush_and_reuse, unmap_and_reuse, using_it, using_it_lazily, walk,
};
use crate::machine::{
    BY_INVLPGB, MM, Model, ONE_GLOBAL_MM, ONE_MM, ONE_PAGE, Setting, Stage, explore, give_asids,
};

const LOCAL: Setting = Setting { config: BY_INVLPGB, ..ONE_PAGE };

/// Mm 1 has its ASID, and is at rest.
const GLOBAL: Setting = Setting {
    table: |world| {
        give_asids(world);
        (ONE_PAGE.table)(world)
    },
    ..LOCAL
};

/// Mm 1 has the only global ASID.
const SCARCE: Setting =
    Setting { config: FlushConfig { asids: 1, ..BY_INVLPGB }, mms: &[MM, MM, MM], ..GLOBAL };

fn flush_unmap_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    flush(stage, cpu);
    unmap_and_reuse(stage, cpu);
}

/// Beforehand: runs the mm under the local ASID, and has given it a global one since.
fn straggling(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    running(stage, cpu);
    flush(stage, cpu);
    access(stage, cpu);
}

#[test]
fn a_cpu_under_a_global_asid() {
    explore(GLOBAL, &[(using_it, access_twice), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_cpu_under_a_global_asid_that_goes_away_and_comes_back() {
    fn go_away_and_come_back(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        access_and_go_away(stage, cpu);
        join_and_access(stage, cpu);
    }
    explore(GLOBAL, &[(using_it, go_away_and_come_back), (elsewhere, unmap_and_reuse)]);
}

/// The mm gets its ASID while the CPU runs it under the local one.
#[test]
fn a_cpu_before_the_transition() {
    explore(LOCAL, &[(using_it, access_twice), (elsewhere, flush_unmap_and_reuse)]);
}

#[test]
fn a_cpu_in_transition() {
    explore(LOCAL, &[(straggling, access_twice), (elsewhere, unmap_and_reuse)]);
}

/// The CPU may load the mm before the ASID is given, or after that.
#[test]
fn a_cpu_that_joins_in_transition() {
    explore(LOCAL, &[(elsewhere, join_and_access), (elsewhere, flush_unmap_and_reuse)]);
}

/// Another CPU's flush makes this one go over to the global ASID, and the mutator finds that done.
#[test]
fn a_cpu_in_transition_and_a_flush() {
    explore(LOCAL, &[(straggling, access_twice), (elsewhere, flush_the_walker), (elsewhere, unmap_and_reuse)]);
}

fn join_access_and_access(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    access(stage, cpu);
    stage.world.machine.pause();
    access_twice(stage, cpu);
}

/// One CPU gives the ASID; the flush of another may not know of it yet.
#[test]
#[ignore = "deep"]
fn a_cpu_that_joins_and_another_that_gives() {
    explore(LOCAL, &[(elsewhere, join_access_and_access), (elsewhere, flush), (elsewhere, unmap_and_reuse)]);
}

/// One CPU gives the ASID, another ends the transition.
#[test]
#[ignore = "deep"]
fn a_cpu_that_joins_between_one_that_gives_and_one_that_ends() {
    fn flush_unmap_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        flush(stage, cpu);
        stage.world.machine.pause();
        unmap_and_reuse(stage, cpu);
    }
    explore(
        LOCAL,
        &[(elsewhere, join_access_and_access), (elsewhere, flush), (elsewhere, flush_unmap_and_reuse)],
    );
}

/// The flush leaves the CPU out, because it is lazy, and then gives the mm its ASID.
#[test]
fn a_cpu_that_was_lazy_before_the_transition() {
    explore(LOCAL, &[(using_it_lazily, come_back_and_access), (elsewhere, unmap_and_reuse)]);
}

/// The CPU has left before the transition ends; the mutator has not looked for it.
#[test]
#[ignore = "deep"]
fn a_cpu_that_goes_away_and_another_that_settles() {
    explore(LOCAL, &[(straggling, access_and_go_away), (elsewhere, flush), (elsewhere, unmap_and_reuse)]);
}

/// A walker has the mm loaded while its ASID is given, and the flush of the unlink may interrupt it or not.
#[test]
fn a_walker_before_the_transition() {
    fn flush_unlink_flush_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        flush(stage, cpu);
        unlink_flush_and_reuse::<Pending>(stage, cpu);
    }
    explore(
        Setting { config: BY_INVLPGB, ..ONE_MM },
        &[(running, walk::<Pending>), (elsewhere, flush_unlink_flush_and_reuse)],
    );
}

/// The flush interrupts no CPU, and the sync is due.
#[test]
fn a_walker_under_a_global_asid() {
    explore(ONE_GLOBAL_MM, &[(running, walk::<Pending>), (elsewhere, unlink_flush_and_reuse::<Pending>)]);
}

/// Mm 1 comes to its end, and its page is used for something else.
fn access_leave_and_renew(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access_and_go_away(stage, cpu);
    cpu.renew(stage.mm(1));
    stage.world.machine.reuse(stage.table);
}

fn flush_2(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let _ = flush::flush(cpu, stage.mm(2), Range::All, FreedTables::No, None);
}

fn flush_3(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let _ = flush::flush(cpu, stage.mm(3), Range::All, FreedTables::No, None);
}

/// The CPU that used the ASID for mm 1 uses it for the mm that it was given to.
#[test]
fn an_asid_that_is_used_again() {
    fn use_it_for_another(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        access_leave_and_renew(stage, cpu);
        cpu.switch_mm(Some(stage.mm(2)));
        access(stage, cpu);
    }
    explore(SCARCE, &[(using_it, use_it_for_another), (elsewhere, flush_2)]);
}

/// One CPU makes the ASID clean, another gives it.
#[test]
fn an_asid_that_is_used_again_by_a_third() {
    fn use_it_for_another(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        access_leave_and_renew(stage, cpu);
        cpu.switch_mm(Some(stage.mm(3)));
        access(stage, cpu);
    }
    explore(SCARCE, &[(using_it, use_it_for_another), (elsewhere, flush_2), (elsewhere, flush_3)]);
}
