//! Property: a CPU that a hypervisor has flushed uses no translation from before, and may be inside a walk still.

use gupsync::config::{FlushConfig, FlushMethod, MmConfig};
use gupsync::policy::{Gather, GatherMask, Pending, Policy, Property, Targeted};
use gupsync::world::Cpu;

use crate::acts::{
    access, access_go_come_and_access, access_twice, away, come_back_and_access, elsewhere, flush, flush_freed,
    join_and_access, running, switch_to_2, unlink_flush_and_reuse, unmap, unmap_and_reuse, using_it,
    using_it_lazily, walk_to_and,
};
use crate::machine::{BY_IPI, MM, Model, ONE_MM, ONE_PAGE, Setting, Stage, explore};

/// What such a machine knows at boot.
const GUESTS: FlushConfig = FlushConfig { methods_interrupt: FlushMethod::HypercallAll.interrupts(), ..BY_IPI };
const GUEST: MmConfig = MmConfig { flush: FlushMethod::HypercallAll, ..MM };

const GUEST_TABLE: Setting = Setting { config: GUESTS, mms: &[GUEST], ..ONE_MM };
const GUEST_PAGE: Setting = Setting { config: GUESTS, mms: &[GUEST], ..ONE_PAGE };
/// Each CPU keeps the translations of two mms.
const KEPT: Setting = Setting { config: FlushConfig { pcids: 2, ..GUESTS }, mms: &[GUEST, GUEST], ..ONE_PAGE };

/// The TLB may be flushed between the entry and the table.
fn walk<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let machine = &stage.world.machine;
    walk_to_and::<P, _>(1, stage, cpu, 1, |off, table| {
        machine.broadcast_window(off.id());
        machine.read(table);
    });
}

/// Unmaps the page, flushes as if a table were freed, reuses it.
fn unmap_flush_freed_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap(stage);
    flush_freed(stage, cpu);
    stage.world.machine.reuse(stage.table);
}

/// Uses the mm, which it has loaded, after its own flush as well.
fn unmap_access_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap_and_reuse(stage, cpu);
    access(stage, cpu);
}

fn access_go_away_and_come_back(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    switch_to_2(stage, cpu);
    join_and_access(stage, cpu);
}

#[test]
fn a_cpu() {
    explore(GUEST_PAGE, &[(using_it, access_twice), (elsewhere, unmap_and_reuse)]);
}

/// Neither takes interrupts while it waits for the other's TLB.
#[test]
fn two_senders() {
    explore(GUEST_PAGE, &[(using_it, flush), (using_it, unmap_access_and_reuse)]);
}

/// No CPU is named: the sender's own TLB is flushed, and its own alone.
#[test]
fn a_sender_by_itself_and_one_that_joins() {
    explore(GUEST_PAGE, &[(elsewhere, join_and_access), (using_it, unmap_access_and_reuse)]);
}

#[test]
#[cfg_attr(loom, ignore = "deep")]
fn one_that_joins() {
    explore(GUEST_PAGE, &[(elsewhere, join_and_access), (running, elsewhere), (elsewhere, unmap_and_reuse)]);
}

/// It is left out, and catches up.
#[test]
fn a_cpu_that_was_lazy() {
    explore(GUEST_PAGE, &[(using_it_lazily, come_back_and_access), (elsewhere, unmap_and_reuse)]);
}

/// It looks up and uses translations although it runs a kernel thread, as hardware may at any time.
#[test]
fn a_lazy_cpu_that_speculates() {
    explore(GUEST_PAGE, &[(using_it_lazily, access_twice), (elsewhere, unmap_flush_freed_and_reuse)]);
}

/// The flush may be over before the CPU comes back, or find it SWITCHING: an ASID that it has found up to date is then
/// loaded after the flush.
#[test]
fn a_cpu_that_was_elsewhere() {
    explore(KEPT, &[(away, join_and_access), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_cpu_that_goes_elsewhere_and_comes_back() {
    explore(KEPT, &[(using_it, access_go_away_and_come_back), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_cpu_that_goes_offline_and_comes_back() {
    explore(KEPT, &[(using_it, access_go_come_and_access), (elsewhere, unmap_and_reuse)]);
}

#[test]
fn a_walker() {
    explore(GUEST_TABLE, &[(running, walk::<Pending>), (elsewhere, unlink_flush_and_reuse::<Pending>)]);
}

#[test]
fn a_walker_and_a_gather() {
    explore(GUEST_TABLE, &[(running, walk::<Gather>), (elsewhere, unlink_flush_and_reuse::<Gather>)]);
}

#[test]
fn a_walker_and_a_gather_with_the_mask() {
    explore(GUEST_TABLE, &[(running, walk::<GatherMask>), (elsewhere, unlink_flush_and_reuse::<GatherMask>)]);
}

/// At boot it is known that not every flush interrupts.
#[test]
fn a_walker_and_the_property() {
    explore(GUEST_TABLE, &[(running, walk::<Property>), (elsewhere, unlink_flush_and_reuse::<Property>)]);
}

#[test]
fn a_tracked_walker() {
    explore(GUEST_TABLE, &[(running, walk::<Targeted>), (elsewhere, unlink_flush_and_reuse::<Targeted>)]);
}
