//! Property: no CPU uses a page that was unmapped in a batch of several mms, once the flush of the batch is over; nor in an mm
//! that is protected before that.

use gupsync::config::{FlushConfig, FlushMethod, MmConfig};
use gupsync::machine::Machine;
use gupsync::mm::page_table::{self, Entry};
use gupsync::ops::Operation;
use gupsync::ops::reclaim::{Reclaim, Victim};
use gupsync::policy::Pending;
use gupsync::types::{Frame, FrameSize, MmId};
use gupsync::world::{Cpu, World};

use crate::acts::{
    access, access_and_go_away, access_and_go_lazy, access_twice, come_back_and_access, elsewhere, finish,
    flush_the_walker, join_and_access, protect, unlink_and_reuse, using_it_lazily, write_twice,
};
use crate::machine::{BY_INVLPGB, BY_IPI, MM, Model, ONE_MM, Paging, Setting, VA, explore, give_asids};

type Stage = crate::machine::Stage<[Frame; 2]>;

/// Two mms, each with a page of its own at the same address. A CPU keeps the translations of one.
const TWO: Setting<[Frame; 2]> =
    Setting { config: BY_IPI, mms: &[MM, MM], paging: Paging::ONE, table: a_page_each };

/// A CPU keeps the translations of both, and of the kernel.
const KEPT: Setting<[Frame; 2]> = Setting { config: FlushConfig { pcids: 3, ..BY_IPI }, ..TWO };

/// No mm has a global ASID yet.
const LOCAL: Setting<[Frame; 2]> = Setting { config: FlushConfig { pcids: 3, ..BY_INVLPGB }, ..TWO };

const GLOBAL: Setting<[Frame; 2]> = Setting {
    table: |world| {
        give_asids(world);
        a_page_each(world)
    },
    ..LOCAL
};

const GUEST: MmConfig = MmConfig { flush: FlushMethod::Hypercall, ..MM };
const GUESTS: Setting<[Frame; 2]> =
    Setting { config: FlushConfig { methods_interrupt: false, ..BY_IPI }, mms: &[GUEST, GUEST], ..TWO };

const HV_GUEST: MmConfig = MmConfig { flush: FlushMethod::HypercallAll, ..MM };
/// Of Hyper-V. A CPU keeps the translations of both mms.
const HV_GUESTS: Setting<[Frame; 2]> = Setting {
    config: FlushConfig { methods_interrupt: false, pcids: 3, ..BY_IPI },
    mms: &[HV_GUEST, HV_GUEST],
    ..TWO
};

fn a_page_each(world: &World<Model>) -> [Frame; 2] {
    [1, 2].map(|mm| {
        let machine = &world.machine;
        let frame = machine.alloc(FrameSize::Small).expect("enough frames");
        machine.page(frame).map();
        let slot = world.mm(MmId::new(mm)).entry(machine, VA, 1).expect("enough frames");
        page_table::link(slot, Entry::to(frame, VA));
        frame
    })
}

/// Beforehand: loads mm number `MM`, and its TLB has the page.
fn using<const MM: usize>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(MM)));
    access(stage, cpu);
}

/// Beforehand: as [`using`] mm 1, then mm 2.
fn using_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    using::<1>(stage, cpu);
    using::<2>(stage, cpu);
}

fn access_and_change_over(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    join_and_access(stage, cpu);
}

fn access_go_away_and_answer(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access_and_go_away(stage, cpu);
    stage.world.machine.window(cpu.id());
}

fn access_and_be_preempted(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    cpu.irqs_off(|off| {
        off.preempt();
        off.resume();
    });
    access(stage, cpu);
}

fn victims(stage: &Stage, mms: &[usize], pages: u64) -> Vec<Victim> {
    mms.iter().map(|mm| Victim { mm: stage.mm(*mm).id, start: VA, pages }).collect()
}

/// Reclaims the page of each of `mms`; it is used for something else as soon as it is free.
fn reclaim_of(stage: &Stage, cpu: &mut Cpu<'_, Model>, mms: &[usize]) {
    let reclaim = Reclaim::new(cpu, victims(stage, mms, 1));
    finish::<Pending, _>(stage, cpu, reclaim);
}

fn reclaim(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    reclaim_of(stage, cpu, &[1]);
}

fn reclaim_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    reclaim_of(stage, cpu, &[1, 2]);
}

fn reclaim_both_and_access(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    reclaim_both(stage, cpu);
    access(stage, cpu);
}

#[test]
fn a_cpu_of_the_first_mm() {
    explore(TWO, &[(using::<1>, access_twice), (elsewhere, reclaim_both)]);
}

#[test]
fn a_cpu_of_the_second_mm() {
    explore(TWO, &[(using::<2>, access_twice), (elsewhere, reclaim_both)]);
}

#[test]
fn a_cpu_of_each_mm() {
    explore(TWO, &[(using::<1>, access_twice), (using::<2>, access_twice), (elsewhere, reclaim_both)]);
}

/// Only the CPU that reclaims is concerned: it interrupts none, and flushes.
#[test]
fn the_cpu_that_reclaims() {
    explore(TWO, &[(using::<1>, reclaim_both_and_access), (elsewhere, elsewhere)]);
}

/// After the mm was added, or before.
#[test]
fn a_cpu_that_joins() {
    explore(TWO, &[(elsewhere, join_and_access), (elsewhere, reclaim_both)]);
}

#[test]
fn a_cpu_that_was_lazy() {
    explore(TWO, &[(using_it_lazily, come_back_and_access), (elsewhere, reclaim_both)]);
}

#[test]
fn a_cpu_that_goes_lazy() {
    explore(TWO, &[(using::<1>, access_and_go_lazy), (elsewhere, reclaim)]);
}

/// It has another mm of the batch loaded when the flush comes, or has gone over.
#[test]
fn a_cpu_that_has_kept_one_mm_and_runs_the_other() {
    explore(KEPT, &[(using_both, access_and_change_over), (elsewhere, reclaim_both)]);
}

/// The batch is of the mm that is kept alone.
#[test]
fn a_cpu_that_has_kept_the_mm() {
    explore(KEPT, &[(using_both, join_and_access), (elsewhere, reclaim)]);
}

/// A flush of the mm may find it elsewhere, and make it leave the cpumask, before the mm is added.
#[test]
fn a_cpu_that_is_made_to_leave() {
    explore(
        KEPT,
        &[(using::<1>, access_go_away_and_answer), (elsewhere, flush_the_walker), (elsewhere, reclaim)],
    );
}

/// As before, and it comes back to what it has kept.
#[test]
#[cfg_attr(loom, ignore = "deep")]
fn a_cpu_that_is_made_to_leave_and_comes_back() {
    explore(KEPT, &[(using_both, join_and_access), (elsewhere, flush_the_walker), (elsewhere, reclaim)]);
}

#[test]
fn by_invlpgb_under_local_asids() {
    explore(LOCAL, &[(using_both, access_and_change_over), (elsewhere, reclaim_both)]);
}

#[test]
fn by_invlpgb_under_global_asids() {
    explore(GLOBAL, &[(using_both, access_and_change_over), (elsewhere, reclaim_both)]);
}

#[test]
fn a_vcpu_that_is_preempted() {
    explore(GUESTS, &[(using::<1>, access_and_be_preempted), (elsewhere, reclaim_both)]);
}

#[test]
fn a_vcpu_that_the_hypervisor_flushes() {
    explore(HV_GUESTS, &[(using::<1>, access_twice), (using::<2>, reclaim_both_and_access)]);
}

#[test]
fn a_vcpu_that_the_hypervisor_flushes_and_that_has_kept_an_mm() {
    explore(HV_GUESTS, &[(using_both, access_and_change_over), (elsewhere, reclaim_both)]);
}

#[test]
fn a_vcpu_that_was_lazy_and_is_left_out() {
    explore(HV_GUESTS, &[(using_it_lazily, come_back_and_access), (elsewhere, reclaim_both)]);
}

/// Between the unmapping and the flush the mm is protected. When that is over, no CPU writes the page, though its entry was
/// cleared before.
mod protected {
    use super::*;

    /// The flush would come later.
    fn unmap_pages(stage: &Stage, cpu: &mut Cpu<'_, Model>, pages: u64) {
        let reclaim = Reclaim::new(cpu, victims(stage, &[1], pages));
        drop(reclaim.step::<Pending, _>(cpu, stage.mm(1)));
    }

    fn unmap(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        unmap_pages(stage, cpu, 1);
    }

    fn protect_and_read(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        protect(stage, cpu, 1);
        stage.world.machine.read(stage.table[0]);
    }

    fn unmap_protect_and_read(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        unmap(stage, cpu);
        protect_and_read(stage, cpu);
    }

    /// The first batch is of other pages of the mm.
    fn unmap_protect_and_read_again(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        unmap_pages(stage, cpu, 0);
        protect(stage, cpu, 0);
        unmap_protect_and_read(stage, cpu);
    }

    #[test]
    fn by_the_next() {
        explore(TWO, &[(using::<1>, write_twice), (elsewhere, unmap_protect_and_read)]);
    }

    #[test]
    fn by_the_next_by_invlpgb() {
        explore(GLOBAL, &[(using::<1>, write_twice), (elsewhere, unmap_protect_and_read)]);
    }

    /// An earlier flush is none for a batch that is added after it.
    #[test]
    fn by_the_next_again() {
        explore(TWO, &[(using::<1>, write_twice), (elsewhere, unmap_protect_and_read_again)]);
    }

    #[test]
    fn meanwhile() {
        explore(TWO, &[(using::<1>, write_twice), (elsewhere, unmap), (elsewhere, protect_and_read)]);
    }
}

/// The flush of a batch covers no ticket: a CPU that has loaded the mm since may be inside a walk.
mod walked {
    use super::*;
    use crate::acts;

    fn reclaim_nothing(stage: &crate::machine::Stage, cpu: &mut Cpu<'_, Model>) {
        let victims = Vec::from([Victim { mm: stage.mm(1).id, start: VA, pages: 0 }]);
        let reclaim = Reclaim::new(cpu, victims);
        finish::<Pending, _>(stage, cpu, reclaim);
    }

    #[test]
    #[cfg_attr(loom, ignore = "deep")]
    fn by_a_cpu_that_joins() {
        explore(
            ONE_MM,
            &[
                (acts::elsewhere, acts::join_and_walk),
                (acts::elsewhere, unlink_and_reuse::<Pending>),
                (acts::elsewhere, reclaim_nothing),
            ],
        );
    }
}
