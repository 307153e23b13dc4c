//! Property: no CPU uses a translation that has been flushed, where CPUs keep those of mms that they have left.
//!
//! With two local ASIDs the first is the kernel's at first, and the second mm 1's.

use gupsync::atomic::Ordering;
use gupsync::config::{FlushConfig, FreedTables};
use gupsync::flush;
use gupsync::mm::page_table::{self, Entry};
use gupsync::types::Range;
use gupsync::world::Cpu;

use crate::acts::{
    access, access_twice, away, come_back_and_access, elsewhere, flush, flush_the_walker, join_and_access,
    switch_to_2, unmap_and_reuse, using_it, using_it_lazily,
};
use crate::machine::{BY_INVLPGB, BY_IPI, MM, Model, ONE_PAGE, Setting, Stage, VA, explore};

/// Each CPU keeps the translations of two mms.
const KEPT: Setting = Setting { config: FlushConfig { pcids: 2, ..BY_IPI }, mms: &[MM, MM], ..ONE_PAGE };

/// All mms have the same local ASID, by turns.
const ONE_ASID: Setting = Setting { config: BY_IPI, ..KEPT };

/// As [`KEPT`], and the first flush gives the mm a global ASID.
const THEN_GLOBAL: Setting = Setting { config: FlushConfig { pcids: 2, ..BY_INVLPGB }, ..KEPT };

/// As [`KEPT`], and both mms have the page, as they have all pages of the kernel.
const KERNEL_PAGE: Setting = Setting {
    table: |world| {
        let page = (ONE_PAGE.table)(world);
        let slot = |mm: usize| world.mms()[mm - 1].entry(&world.machine, VA, 2).expect("enough frames");
        let table = Entry(slot(1).load(Ordering::Relaxed)).frame();
        page_table::link(slot(2), Entry::to(table, VA));
        page
    },
    ..KEPT
};

/// Beforehand: as [`away`], and its TLB has the page under both ASIDs.
fn away_and_using_it(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    away(stage, cpu);
    access(stage, cpu);
}

/// Beforehand: loads another mm, and is up to its flush number 2: mm 1's next has that number too.
fn after_another(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    switch_to_2(stage, cpu);
    let _ = flush::flush(cpu, stage.mm(2), Range::All, FreedTables::No, None);
}

fn go_away_and_come_back(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    switch_to_2(stage, cpu);
    join_and_access(stage, cpu);
}

fn go_away_and_access(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    switch_to_2(stage, cpu);
    access_twice(stage, cpu);
}

fn access_and_come_back(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access_twice(stage, cpu);
    join_and_access(stage, cpu);
}

fn unmap(stage: &Stage) {
    let slot = stage.mm(1).entry(&stage.world.machine, VA, 1).expect("it exists");
    slot.swap(0, Ordering::Relaxed);
}

/// Unmaps the page, flushes as if a table were freed, reuses it.
fn unmap_flush_freed_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap(stage);
    let _ = flush::flush(cpu, stage.mm(1), Range::All, FreedTables::Yes, None);
    stage.world.machine.reuse(stage.table);
}

/// Unmaps the page, flushes the kernel's range, reuses it.
fn unmap_flush_kernel_range_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap(stage);
    flush::kernel_range(cpu);
    stage.world.machine.reuse(stage.table);
}

fn flush_unmap_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    flush(stage, cpu);
    unmap_and_reuse(stage, cpu);
}

/// Mm 1, which no CPU has loaded, comes to its end; its page is used for something else, and a CPU loads the next of
/// its number.
fn renew_and_access(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap(stage);
    cpu.renew(stage.mm(1));
    stage.world.machine.reuse(stage.table);
    join_and_access(stage, cpu);
}

/// The flush may be over before the CPU comes back, or find it SWITCHING, or back.
#[test]
fn a_cpu_that_was_elsewhere() {
    explore(KEPT, &[(away, join_and_access), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_cpu_that_goes_elsewhere_and_comes_back() {
    explore(KEPT, &[(using_it, go_away_and_come_back), (elsewhere, unmap_and_reuse)]);
}

/// The other flush may find it elsewhere, and make it leave the cpumask.
#[test]
#[cfg_attr(loom, ignore = "deep")]
fn a_cpu_that_was_elsewhere_and_two_flushes() {
    explore(KEPT, &[(away, join_and_access), (elsewhere, unmap_and_reuse), (elsewhere, flush_the_walker)]);
}

/// The flush makes it drop the mm, and with it nothing that its TLB holds.
#[test]
fn a_cpu_that_was_lazy() {
    explore(KEPT, &[(using_it_lazily, come_back_and_access), (elsewhere, unmap_flush_freed_and_reuse)]);
}

/// The ASID that another mm takes holds nothing of the first.
#[test]
fn an_asid_that_another_mm_takes() {
    explore(ONE_ASID, &[(using_it, go_away_and_access), (elsewhere, unmap_and_reuse)]);
}

/// The ASID is up to the flushes of the mm that has it now.
#[test]
fn an_asid_that_was_another_mm_s() {
    explore(ONE_ASID, &[(after_another, join_and_access), (elsewhere, unmap_and_reuse)]);
}

/// The next mm of its number finds nothing of the one before.
#[test]
fn an_mm_that_begins_anew() {
    explore(KEPT, &[(away, renew_and_access)]);
}

/// The CPU comes back under the local ASID, or under the global one.
#[test]
fn an_mm_that_is_given_a_global_asid() {
    explore(THEN_GLOBAL, &[(away, join_and_access), (elsewhere, flush_unmap_and_reuse)]);
}

/// The CPU has used the mm under the local ASID and under the global one; the next of its number has a local one again.
#[test]
fn an_mm_that_begins_anew_after_it_had_a_global_asid() {
    fn away_under_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        away(stage, cpu);
        flush(stage, cpu);
        away(stage, cpu);
    }
    explore(THEN_GLOBAL, &[(away_under_both, renew_and_access)]);
}

/// A translation of the kernel's range may be there under every ASID.
#[test]
fn a_flush_of_the_kernel_range() {
    explore(
        KERNEL_PAGE,
        &[(away_and_using_it, access_and_come_back), (elsewhere, unmap_flush_kernel_range_and_reuse)],
    );
}

/// At any instruction the TLB is filled with what is loaded, used or not.
#[cfg(tso)]
mod filled_at_any_time {
    use super::*;
    use crate::machine::explore_with_nmis;
    use gupsync::types::CpuId;

    fn fill(stage: &Stage, cpu: CpuId) {
        stage.world.machine.fill(cpu, 0);
    }

    fn filled_and_join(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        join_and_access(stage, cpu);
    }

    fn filled_and_go_away(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        go_away_and_access(stage, cpu);
    }

    fn filled_and_come_back(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        come_back_and_access(stage, cpu);
    }

    #[test]
    fn a_cpu_that_joins() {
        explore_with_nmis(ONE_PAGE, &[(elsewhere, filled_and_join), (elsewhere, unmap_and_reuse)], fill);
    }

    #[test]
    fn a_cpu_that_was_elsewhere() {
        explore_with_nmis(KEPT, &[(away, filled_and_join), (elsewhere, unmap_and_reuse)], fill);
    }

    #[test]
    fn a_cpu_that_was_lazy() {
        explore_with_nmis(KEPT, &[(using_it_lazily, filled_and_come_back), (elsewhere, unmap_and_reuse)], fill);
    }

    #[test]
    fn an_asid_that_another_mm_takes() {
        explore_with_nmis(ONE_ASID, &[(using_it, filled_and_go_away), (elsewhere, unmap_and_reuse)], fill);
    }

    #[test]
    fn an_mm_that_is_given_a_global_asid() {
        explore_with_nmis(THEN_GLOBAL, &[(away, filled_and_join), (elsewhere, unmap_and_reuse)], fill);
    }
}

/// At any instruction the hypervisor takes the vCPU away, and lets it go on.
#[cfg(tso)]
mod preempted_at_any_time {
    use super::*;
    use crate::machine::explore_with_nmis;
    use gupsync::config::{FlushMethod, MmConfig};
    use gupsync::types::CpuId;

    const GUEST: MmConfig = MmConfig { flush: FlushMethod::Hypercall, ..MM };

    fn be_preempted(stage: &Stage, cpu: CpuId) {
        let off = stage.world.in_nmi(cpu);
        off.preempt();
        off.resume();
    }

    fn join(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.send_nmi(cpu.id());
        join_and_access(stage, cpu);
    }

    #[test]
    fn a_cpu_that_was_elsewhere() {
        let setting = Setting {
            config: FlushConfig { methods_interrupt: false, ..KEPT.config },
            mms: &[GUEST, GUEST],
            ..KEPT
        };
        explore_with_nmis(setting, &[(away, join), (elsewhere, unmap_and_reuse)], be_preempted);
    }
}
