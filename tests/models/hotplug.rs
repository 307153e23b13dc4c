//! Property: CPUs go offline and come back while rounds and flushes are under way. No sender calls one there, or waits
//! for one that never answers; no walk is missed; and a CPU that is back uses no translation that was flushed
//! meanwhile.
//!
//! A call of a CPU that is offline is a fault of the model's machine. A sender that waits for ever is one under the
//! explorer of x86; loom gives such an execution up. A sender takes interrupts first, if there are any: under loom it
//! would take none before it sends, and no CPU would be offline by then.

use gupsync::atomic::Ordering;
use gupsync::config::FlushConfig;
use gupsync::flush;
use gupsync::machine::Machine;
use gupsync::mm::page_table::{self, Entry};
use gupsync::policy::{Broadcast, Pending, Policy, Rcu};
use gupsync::types::MmId;
use gupsync::world::Cpu;

use crate::acts::{
    self, access, access_go_come_and_access, access_twice, elsewhere, go_and_come, join_and_walk, lazy,
    running, using_it, walk,
};
use crate::machine::{
    BY_INVLPGB, BY_IPI, Model, ONE_MM, ONE_PAGE, Setting, Stage, VA, explore, explore_moving, give_asids,
};

/// Each CPU keeps the translations of two mms.
const KEPT: Setting = Setting { config: FlushConfig { pcids: 2, ..BY_IPI }, ..ONE_PAGE };

/// The mm has a global ASID.
const GLOBAL: Setting = Setting {
    config: BY_INVLPGB,
    table: |world| {
        give_asids(world);
        (ONE_PAGE.table)(world)
    },
    ..ONE_PAGE
};

/// The kernel's own tables have the page too.
const KERNEL_PAGE: Setting = Setting {
    table: |world| {
        let (page, machine) = ((ONE_PAGE.table)(world), &world.machine);
        let [of_mm, of_kernel] =
            [world.mm(MmId::new(1)).root, machine.kernel_root()].map(|root| &machine.words(root)[0]);
        page_table::link(of_kernel, Entry(of_mm.load(Ordering::Relaxed)));
        page
    },
    ..KEPT
};

fn go(_: &Stage, cpu: &mut Cpu<'_, Model>) {
    go_and_come(cpu);
}

fn walk_and_go(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Pending>(stage, cpu);
    go_and_come(cpu);
}

fn go_come_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    go_and_come(cpu);
    join_and_walk(stage, cpu);
}

/// With the kernel's tables loaded.
fn go_come_and_access_the_kernel_s(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    go_and_come(cpu);
    access_twice(stage, cpu);
}

/// Beforehand: with the kernel's tables loaded, its TLB has the page.
fn using_the_kernel_s(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
}

fn unlink_and_reuse<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.window(cpu.id());
    acts::unlink_and_reuse::<P>(stage, cpu);
}

fn unlink_flush_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.window(cpu.id());
    acts::unlink_flush_and_reuse::<Pending>(stage, cpu);
}

fn unmap_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.window(cpu.id());
    acts::unmap_and_reuse(stage, cpu);
}

/// Unmaps the page, flushes the kernel's range, reuses it.
fn unmap_flush_kernel_range_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.window(cpu.id());
    stage.world.machine.pause();
    let slot = stage.mm(1).entry(&stage.world.machine, VA, 1).expect("it exists");
    slot.swap(0, Ordering::Relaxed);
    flush::kernel_range(cpu);
    stage.world.machine.reuse(stage.table);
}

#[test]
fn a_walker_that_goes_and_a_round() {
    explore(ONE_MM, &[(running, walk_and_go), (elsewhere, unlink_and_reuse::<Pending>)]);
}

#[test]
fn a_walker_that_comes_back_and_a_round() {
    explore(ONE_MM, &[(running, go_come_and_walk), (elsewhere, unlink_and_reuse::<Pending>)]);
}

#[test]
fn a_walker_that_goes_and_a_broadcast() {
    explore(ONE_MM, &[(running, walk_and_go), (elsewhere, unlink_and_reuse::<Broadcast>)]);
}

#[test]
fn a_walker_that_comes_back_and_a_broadcast() {
    explore(ONE_MM, &[(running, go_come_and_walk), (elsewhere, unlink_and_reuse::<Broadcast>)]);
}

#[test]
fn a_walker_that_goes_and_a_grace_period() {
    explore(ONE_MM, &[(running, walk_and_go), (elsewhere, unlink_and_reuse::<Rcu>)]);
}

/// The flush is one after freeing tables: it goes to all of the cpumask, in which the CPU may be found that is offline.
#[test]
fn a_walker_that_goes_and_a_flush() {
    explore(ONE_MM, &[(running, walk_and_go), (elsewhere, unlink_flush_and_reuse)]);
}

#[test]
fn a_lazy_cpu_that_goes_and_a_flush() {
    explore(ONE_MM, &[(lazy, go_come_and_walk), (elsewhere, unlink_flush_and_reuse)]);
}

#[test]
fn a_cpu_that_comes_back_and_a_flush() {
    explore(KEPT, &[(using_it, access_go_come_and_access), (elsewhere, unmap_and_reuse)]);
}

/// The INVLPGB does not reach the CPU while that is offline.
#[test]
fn a_cpu_that_comes_back_and_a_flush_by_invlpgb() {
    explore(GLOBAL, &[(using_it, access_go_come_and_access), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_cpu_that_comes_back_and_a_flush_of_the_kernel_range() {
    explore(
        KERNEL_PAGE,
        &[
            (using_the_kernel_s, go_come_and_access_the_kernel_s),
            (elsewhere, unmap_flush_kernel_range_and_reuse),
        ],
    );
}

/// The kernel's range was in use under the ASID of the mm.
#[test]
fn a_cpu_that_comes_back_to_an_mm_and_a_flush_of_the_kernel_range() {
    explore(
        KERNEL_PAGE,
        &[(using_it, access_go_come_and_access), (elsewhere, unmap_flush_kernel_range_and_reuse)],
    );
}

#[test]
fn two_that_go() {
    explore(ONE_MM, &[(running, go), (running, go)]);
}

/// The sender is on its way to the CPU that goes, or from it, or waits elsewhere for what is written in that CPU's
/// slot.
#[test]
fn a_sender_that_moves_and_a_walker_that_goes() {
    fn yield_walk_and_go(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        cpu.may_migrate();
        walk_and_go(stage, cpu);
    }
    explore_moving(ONE_MM, &[(running, unlink_and_reuse::<Pending>), (running, yield_walk_and_go)]);
}

/// At any instruction an NMI handler walks the mm of the task that runs.
#[cfg(tso)]
mod sampled_at_any_time {
    use gupsync::nmi_walk::{self, Guard};
    use gupsync::types::CpuId;

    use super::*;
    use crate::machine::explore_with_nmis;

    fn sample(stage: &Stage, cpu: CpuId) {
        nmi_walk::page_size::<Pending, _>(&stage.world, cpu, VA, Guard::On, |_, level, table| {
            if level == 1 {
                stage.world.machine.read(table);
            }
        });
    }

    fn sampled_and_go(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        go(stage, cpu);
    }

    #[test]
    fn a_cpu_that_goes_and_a_round() {
        explore_with_nmis(
            ONE_MM,
            &[(running, sampled_and_go), (elsewhere, unlink_and_reuse::<Pending>)],
            sample,
        );
    }
}

/// At any instruction the TLB is filled with what is loaded, used or not.
#[cfg(tso)]
mod filled_at_any_time {
    use gupsync::types::CpuId;

    use super::*;
    use crate::machine::explore_with_nmis;

    fn fill(stage: &Stage, cpu: CpuId) {
        stage.world.machine.fill(cpu, 0);
    }

    fn filled_and_come_back(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        go_come_and_access_the_kernel_s(stage, cpu);
    }

    #[test]
    fn a_cpu_that_comes_back_and_a_flush_of_the_kernel_range() {
        explore_with_nmis(
            KERNEL_PAGE,
            &[(elsewhere, filled_and_come_back), (elsewhere, unmap_flush_kernel_range_and_reuse)],
            fill,
        );
    }
}
