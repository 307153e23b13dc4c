//! Property: no CPU uses a translation that has been flushed.

use gupsync::ops::protect::Protect;
use gupsync::ops::{Operation, Step};
use gupsync::policy::Pending;
use gupsync::types::FrameSize;
use gupsync::world::Cpu;

use crate::acts::{
    access, access_and_go_away, access_twice, come_back_and_access, elsewhere, join_and_access,
    unmap_and_reuse, using_it, using_it_lazily,
};
use crate::machine::{Model, ONE_PAGE, Stage, VA, explore};

fn access_and_go_lazy(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    cpu.enter_lazy_tlb();
    stage.world.machine.window(cpu.id());
    come_back_and_access(stage, cpu);
}

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
    fn write_twice(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        stage.world.machine.write_access(cpu.id(), 0);
        stage.world.machine.window(cpu.id());
        stage.world.machine.write_access(cpu.id(), 0);
    }
    fn protect_and_read(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
        let mut protect = Protect::Ready { start: VA, pages: 1, size: FrameSize::Small };
        while let Step::Next(next) = protect.step::<Pending, _>(cpu, stage.mm(1)) {
            protect = next;
        }
        stage.world.machine.read(stage.table);
    }
    explore(ONE_PAGE, &[(using_it, write_twice), (elsewhere, protect_and_read)]);
}
