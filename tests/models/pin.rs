//! Property: a page that is pinned is neither freed nor copied away, and a page that has a new owner is not pinned.

use gupsync::atomic::Ordering;
use gupsync::gup_fast::{self, Walked};
use gupsync::machine::Machine;
use gupsync::ops::mthp::Mthp;
use gupsync::policy::Pending;
use gupsync::types::{Frame, FrameSize};
use gupsync::world::Cpu;

use crate::acts::{collapse, elsewhere, finish, running};
use crate::machine::{BY_INVLPGB, Model, ONE_PAGE, Setting, Stage, VA, explore, give_asids};

/// What is read or written through a pin needs no interrupts off.
fn pin_and(stage: &Stage, cpu: &mut Cpu<'_, Model>, then: impl FnOnce(&Model, Frame)) {
    if let Walked::Pinned { page, .. } = gup_fast::gup_fast::<Pending, _>(cpu, stage.mm(1), VA, |_, _, _| ()) {
        then(&stage.world.machine, page);
        stage.world.put_page(page);
    }
}

fn pin_and_read(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    pin_and(stage, cpu, Model::read);
}

/// As a device does that DMAs to the page.
fn pin_and_write(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    pin_and(stage, cpu, Model::reuse);
}

fn clear(stage: &Stage) {
    let slot = stage.mm(1).entry(&stage.world.machine, VA, 1).expect("it exists");
    slot.swap(0, Ordering::Relaxed);
}

/// The mapping's reference goes; the CPU that drops the last one frees the page.
fn unmap_and_put(stage: &Stage, _: &mut Cpu<'_, Model>) {
    clear(stage);
    stage.world.put_page(stage.table);
}

/// The page gets a new owner: a walker that finds it by the old entry must not use it.
fn unmap_and_map_elsewhere(stage: &Stage, _: &mut Cpu<'_, Model>) {
    let machine = &stage.world.machine;
    clear(stage);
    if machine.page(stage.table).put() {
        machine.page(stage.table).map();
        machine.reuse(stage.table);
    }
}

/// The table is taken out, and put back.
fn collapse_to_mthps(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let page = stage.world.machine.alloc(FrameSize::Small).expect("enough frames");
    finish::<Pending, _>(stage, cpu, Mthp::new(VA, 8, 1, [page].into()));
}

/// No flush interrupts the walker.
const GLOBAL_PAGE: Setting = Setting {
    config: BY_INVLPGB,
    table: |world| {
        give_asids(world);
        (ONE_PAGE.table)(world)
    },
    ..ONE_PAGE
};

#[test]
fn a_page_that_is_freed() {
    explore(ONE_PAGE, &[(running, pin_and_read), (elsewhere, unmap_and_put)]);
}

#[test]
fn a_page_that_has_a_new_owner() {
    explore(ONE_PAGE, &[(running, pin_and_read), (elsewhere, unmap_and_map_elsewhere)]);
}

#[test]
fn a_page_that_is_copied_away() {
    explore(ONE_PAGE, &[(running, pin_and_write), (elsewhere, collapse::<Pending>)]);
}

#[test]
fn a_page_that_is_copied_into_an_mthp() {
    explore(GLOBAL_PAGE, &[(running, pin_and_write), (elsewhere, collapse_to_mthps)]);
}
