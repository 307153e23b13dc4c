//! Property: a walker sees a table as it was when it was linked, or later.

use gupsync::mm::page_table::{self, Entry};
use gupsync::policy::Pending;
use gupsync::world::Cpu;

use crate::acts::{running, walk};
use crate::machine::{Model, ONE_MM, Stage, VA, explore};

/// Beforehand: takes the table out.
fn unlink(stage: &Stage, _: &mut Cpu<'_, Model>) {
    let slot = stage.mm(1).entry(&stage.world.machine, VA, 2).expect("it exists");
    page_table::link(slot, Entry(0));
}

/// Fills the table anew, and links it.
fn fill_and_link(stage: &Stage, _: &mut Cpu<'_, Model>) {
    let machine = &stage.world.machine;
    machine.reuse(stage.table);
    let slot = stage.mm(1).entry(machine, VA, 2).expect("it exists");
    page_table::link(slot, Entry::to(stage.table, VA));
}

#[test]
fn a_new_table() {
    explore(ONE_MM, &[(running, walk::<Pending>), (unlink, fill_and_link)]);
}
