//! Property: no CPU uses a translation that has been flushed.

use gupsync::world::Cpu;

use crate::acts::{
    access_and_go_away, access_and_go_lazy, access_twice, come_back_and_access, elsewhere, join_and_access,
    protect, unmap_and_reuse, using_it, using_it_lazily, write_twice,
};
use crate::machine::{Model, ONE_PAGE, Stage, explore};

#[test]
fn a_cpu_of_the_mm() {
    explore(ONE_PAGE, &[(using_it, access_twice), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_cpu_that_joins() {
    explore(ONE_PAGE, &[(elsewhere, join_and_access), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_cpu_that_was_lazy() {
    explore(ONE_PAGE, &[(using_it_lazily, come_back_and_access), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_cpu_that_goes_lazy() {
    explore(ONE_PAGE, &[(using_it, access_and_go_lazy), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_cpu_that_goes_away() {
    explore(ONE_PAGE, &[(using_it, access_and_go_away), (elsewhere, unmap_and_reuse)]);
}

/// After the flush no CPU writes a page that has lost the right to be written.
#[test]
fn a_page_that_is_protected() {
    fn protect_and_read(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        protect(stage, cpu, 1);
        stage.world.machine.read(stage.table);
    }
    explore(ONE_PAGE, &[(using_it, write_twice), (elsewhere, protect_and_read)]);
}
