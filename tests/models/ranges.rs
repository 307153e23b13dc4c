//! Property: no CPU uses a translation that has been flushed, where flushes are about some pages, and a TLB forgets no
//! more than it is told.
//!
//! Two pages of one mm: what a flush of one leaves in the TLB may be what another flush is about.

use gupsync::atomic::Ordering;
use gupsync::config::FreedTables;
use gupsync::flush;
use gupsync::types::{Frame, FrameSize, PAGE_SIZE, Range};
use gupsync::world::{Cpu, World};

use crate::acts::{elsewhere, running};
use crate::machine::{BY_INVLPGB, Model, ONE_MM, Paging, Setting, explore, give_asids, map, slot_of};

type Stage = crate::machine::Stage<[Frame; 2]>;

const TWO: Paging = Paging { pages: 2, ..Paging::ONE };

/// Two pages of 4 KiB of an mm that is flushed by interrupts.
const SMALL: Setting<[Frame; 2]> =
    Setting { config: ONE_MM.config, mms: ONE_MM.mms, paging: TWO, table: pages };

/// Two pages of 2 MiB.
const HUGE: Setting<[Frame; 2]> = Setting { paging: Paging { size: FrameSize::Huge, ..TWO }, ..SMALL };

/// The first flush gives the mm a global ASID.
const LOCAL: Setting<[Frame; 2]> = Setting { config: BY_INVLPGB, ..SMALL };

/// The mm has a global ASID, and an INVLPGB takes one page.
const GLOBAL: Setting<[Frame; 2]> = Setting {
    table: |world| {
        give_asids(world);
        pages(world)
    },
    ..LOCAL
};

const GLOBAL_HUGE: Setting<[Frame; 2]> = Setting { paging: HUGE.paging, ..GLOBAL };

/// An INVLPGB takes two pages.
const GLOBAL_AND_WIDE: Setting<[Frame; 2]> = Setting { paging: Paging { invlpgb_max: 2, ..TWO }, ..GLOBAL };

fn pages(world: &World<Model>) -> [Frame; 2] {
    [0, 1].map(|page| map(world, page))
}

/// Beforehand: loads the mm, and its TLB has both pages.
fn using_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    running(stage, cpu);
    access_both(stage, cpu);
}

/// Beforehand: as [`using_both`], and goes on with a kernel thread.
fn using_both_lazily(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    using_both(stage, cpu);
    cpu.enter_lazy_tlb();
}

/// Beforehand: as [`using_both`], and loads the kernel's tables.
fn gone(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    using_both(stage, cpu);
    cpu.switch_mm(None);
}

fn access_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    [0, 1].into_iter().for_each(|page| stage.world.machine.access(cpu.id(), page));
}

/// Interrupts may be taken before it.
fn answer_and_access_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.window(cpu.id());
    access_both(stage, cpu);
}

fn come_back_and_access_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.exit_lazy_tlb(stage.mm(1));
    access_both(stage, cpu);
}

fn join_and_access_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    access_both(stage, cpu);
}

/// The TLB is empty at first; the flush of the other page may have been caught up with, or be due as well.
fn access_the_second_twice(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.access(cpu.id(), 1);
    stage.world.machine.window(cpu.id());
    stage.world.machine.access(cpu.id(), 1);
}

fn come_back_and_access_twice(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.exit_lazy_tlb(stage.mm(1));
    access_the_second_twice(stage, cpu);
}

fn join_and_access_twice(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    access_the_second_twice(stage, cpu);
}

/// Unmaps `pages`, flushes `range`, reuses them.
fn unmap_flush_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>, pages: &[usize], range: Range) {
    for page in pages {
        slot_of(&stage.world, *page).swap(0, Ordering::Relaxed);
    }
    let _ = flush::flush(cpu, stage.mm(1), range, FreedTables::No, None);
    pages.iter().for_each(|page| stage.world.machine.reuse(stage.table[*page]));
}

/// Unmaps one page, flushes it, reuses it.
fn unmap_and_reuse<const PAGE: usize>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap_flush_and_reuse(stage, cpu, &[PAGE], stage.world.machine.paging.range(PAGE, 1));
}

fn unmap_and_reuse_one_by_one(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap_and_reuse::<0>(stage, cpu);
    unmap_and_reuse::<1>(stage, cpu);
}

/// Unmaps both pages, flushes them at once, reuses them.
fn unmap_and_reuse_both(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap_flush_and_reuse(stage, cpu, &[0, 1], stage.world.machine.paging.range(0, 2));
}

/// As before, and the flush goes from 4 KiB to 4 KiB.
fn unmap_and_reuse_both_by_small_pages(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let Paging { pages, size, .. } = stage.world.machine.paging;
    let range = Range::small(stage.world.machine.paging.va(0), pages as u64 * size.bytes() / PAGE_SIZE);
    unmap_flush_and_reuse(stage, cpu, &[0, 1], range);
}

/// The sender uses the pages as well.
fn unmap_reuse_and_access(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap_and_reuse::<1>(stage, cpu);
    access_both(stage, cpu);
}

/// The page that is flushed is not the first.
#[test]
fn a_flush_of_the_second_page() {
    explore(SMALL, &[(using_both, answer_and_access_both), (using_both, unmap_reuse_and_access)]);
}

#[test]
fn a_flush_of_two_pages() {
    explore(SMALL, &[(using_both, answer_and_access_both), (elsewhere, unmap_and_reuse_both)]);
}

/// The stride is 2 MiB.
#[test]
fn a_flush_of_two_huge_pages() {
    explore(HUGE, &[(using_both, answer_and_access_both), (elsewhere, unmap_and_reuse_both)]);
}

/// More pages than are flushed one by one.
#[test]
fn a_flush_past_the_ceiling() {
    explore(HUGE, &[(using_both, answer_and_access_both), (elsewhere, unmap_and_reuse_both_by_small_pages)]);
}

/// Both requests may be there when the CPU looks, and in either order.
#[test]
fn two_flushes_at_once() {
    explore(
        SMALL,
        &[
            (using_both, answer_and_access_both),
            (elsewhere, unmap_and_reuse::<0>),
            (elsewhere, unmap_and_reuse::<1>),
        ],
    );
}

/// Both flushes leave the CPU out.
#[test]
fn two_flushes_and_a_cpu_that_was_lazy() {
    explore(SMALL, &[(using_both_lazily, come_back_and_access_both), (elsewhere, unmap_and_reuse_one_by_one)]);
}

/// The CPU may come back between the two, and be interrupted for the first although it has caught up with it.
#[test]
fn two_flushes_and_a_cpu_that_comes_back_in_between() {
    explore(
        SMALL,
        &[
            (using_both_lazily, come_back_and_access_twice),
            (elsewhere, unmap_and_reuse::<0>),
            (elsewhere, unmap_and_reuse::<1>),
        ],
    );
}

#[test]
#[cfg_attr(loom, ignore = "deep")]
fn two_flushes_and_a_cpu_that_was_elsewhere() {
    explore(SMALL, &[(gone, join_and_access_both), (elsewhere, unmap_and_reuse_one_by_one)]);
}

/// As with one that comes back: the first may find the CPU between two mms.
#[test]
#[ignore = "deep"]
fn two_flushes_and_a_cpu_that_joins_in_between() {
    explore(
        SMALL,
        &[
            (elsewhere, join_and_access_twice),
            (elsewhere, unmap_and_reuse::<0>),
            (elsewhere, unmap_and_reuse::<1>),
        ],
    );
}

#[test]
fn the_second_page_by_invlpgb() {
    explore(GLOBAL, &[(using_both, answer_and_access_both), (using_both, unmap_reuse_and_access)]);
}

/// Two INVLPGBs, and one TLBSYNC.
#[test]
fn two_pages_by_invlpgb() {
    explore(GLOBAL, &[(using_both, answer_and_access_both), (elsewhere, unmap_and_reuse_both)]);
}

/// Two INVLPGBs, the second of which begins 2 MiB after the first.
#[test]
fn two_huge_pages_by_invlpgb() {
    explore(GLOBAL_HUGE, &[(using_both, answer_and_access_both), (elsewhere, unmap_and_reuse_both)]);
}

/// Fewer pages than one INVLPGB takes.
#[test]
fn one_page_by_an_invlpgb_that_takes_two() {
    explore(GLOBAL_AND_WIDE, &[(using_both, answer_and_access_both), (elsewhere, unmap_and_reuse::<1>)]);
}

/// One flush by interrupts, and one by both ways.
#[test]
#[cfg_attr(loom, ignore = "deep")]
fn two_flushes_and_a_transition() {
    explore(LOCAL, &[(using_both, answer_and_access_both), (elsewhere, unmap_and_reuse_one_by_one)]);
}

/// The first flush leaves the CPU out, the second interrupts it.
#[test]
#[cfg_attr(loom, ignore = "deep")]
fn two_flushes_and_a_transition_of_a_cpu_that_was_lazy() {
    explore(LOCAL, &[(using_both_lazily, come_back_and_access_both), (elsewhere, unmap_and_reuse_one_by_one)]);
}
