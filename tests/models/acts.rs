//! What the CPUs of the models do.

use gupsync::atomic::Ordering;
use gupsync::config::FreedTables;
use gupsync::flush::{self, Reached};
use gupsync::gup_fast;
use gupsync::hotplug;
use gupsync::machine::Machine;
use gupsync::ops::collapse::Collapse;
use gupsync::ops::protect::Protect;
use gupsync::ops::{Operation, Step};
use gupsync::policy::{self, Pending, Policy};
use gupsync::smp_call::{Call, FlushCall};
use gupsync::sync_round;
use gupsync::types::{CpuId, Frame, FrameSize, Range};
use gupsync::world::{Cpu, IrqsOff};

use crate::machine::{Model, Stage, VA};

/// Beforehand: nothing. The CPU has no mm loaded and never had.
pub fn elsewhere<T>(_: &Stage<T>, _: &mut Cpu<'_, Model>) {}

/// Beforehand: loads the mm.
pub fn running<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
}

/// Beforehand: loads the mm and leaves it again. The CPU stays in its cpumask.
pub fn gone(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    cpu.switch_mm(None);
}

/// Beforehand: loads the mm, and goes on with a kernel thread.
pub fn lazy(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    cpu.enter_lazy_tlb();
}

/// Beforehand: loads the mm, and its TLB has the page.
pub fn using_it<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    running(stage, cpu);
    access(stage, cpu);
}

/// Beforehand: as [`using_it`], and another mm is loaded.
pub fn away(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    using_it(stage, cpu);
    switch_to_2(stage, cpu);
}

/// Loads another mm.
pub fn switch_to_2(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(2)));
}

/// Beforehand: as [`using_it`], and goes on with a kernel thread.
pub fn using_it_lazily<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    using_it(stage, cpu);
    cpu.enter_lazy_tlb();
}

/// Reads the memory that is mapped.
pub fn access<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.access(cpu.id(), 0);
}

/// An interrupt may be taken in between.
pub fn access_twice<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    stage.world.machine.window(cpu.id());
    access(stage, cpu);
}

/// Writes the memory that is mapped. An interrupt may be taken in between.
pub fn write_twice<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    stage.world.machine.write_access(cpu.id(), 0);
    stage.world.machine.window(cpu.id());
    stage.world.machine.write_access(cpu.id(), 0);
}

/// Loads the mm and uses it.
pub fn join_and_access<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    access_twice(stage, cpu);
}

/// Comes back from a kernel thread and uses the mm.
pub fn come_back_and_access<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    cpu.exit_lazy_tlb(stage.mm(1));
    access_twice(stage, cpu);
}

/// Uses the mm and loads the kernel's tables.
pub fn access_and_go_away<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    cpu.switch_mm(None);
}

/// Uses the mm, goes on with a kernel thread, and comes back. An interrupt may be taken in between.
pub fn access_and_go_lazy<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    cpu.enter_lazy_tlb();
    stage.world.machine.window(cpu.id());
    come_back_and_access(stage, cpu);
}

/// Uses the mm, goes offline, comes back and uses it.
pub fn access_go_come_and_access(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    access(stage, cpu);
    go_and_come(cpu);
    join_and_access(stage, cpu);
}

/// Goes offline and comes back.
pub fn go_and_come(cpu: &mut Cpu<'_, Model>) {
    hotplug::go_offline(cpu).come_online();
}

/// Unmaps the page. The flush is to follow.
pub fn unmap(stage: &Stage) {
    let slot = stage.mm(1).entry(&stage.world.machine, VA, 1).expect("it exists");
    slot.swap(0, Ordering::Relaxed);
}

/// Unmaps the page, flushes, reuses it.
pub fn unmap_and_reuse(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    unmap(stage);
    flush(stage, cpu);
    stage.world.machine.reuse(stage.table);
}

/// Carries an operation on mm 1 to its end.
pub fn finish<P: Policy, T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>, mut operation: impl Operation) {
    while let Step::Next(next) = operation.step::<P, _>(cpu, stage.mm(1)) {
        operation = next;
    }
}

/// Takes the right to write from so many pages.
pub fn protect<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>, pages: u64) {
    finish::<Pending, _>(stage, cpu, Protect::Ready { start: VA, pages, size: FrameSize::Small });
}

/// Collapses the range of the page.
pub fn collapse<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let huge = stage.world.machine.alloc(FrameSize::Huge).expect("enough frames");
    finish::<P, _>(stage, cpu, Collapse::Ready { va: VA, huge });
}

/// Walks to the PTE table and reads it.
pub fn walk<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk_to::<P, _>(1, stage, cpu, 1);
}

/// Walks mm number `mm` to its table of `level` and reads it.
pub fn walk_to<P: Policy, T>(level: u32, stage: &Stage<T>, cpu: &mut Cpu<'_, Model>, mm: usize) {
    walk_to_and::<P, _>(level, stage, cpu, mm, |_, table| stage.world.machine.read(table));
}

/// Walks mm number `mm` to its table of `level` and does `then` there.
pub fn walk_to_and<'w, P: Policy, T>(
    level: u32,
    stage: &Stage<T>,
    cpu: &mut Cpu<'w, Model>,
    mm: usize,
    mut then: impl FnMut(&IrqsOff<'w, Model>, Frame),
) {
    gup_fast::gup_fast::<P, _>(cpu, stage.mm(mm), VA, |off, at, table| {
        if at == level {
            then(off, table);
        }
    });
}

/// Loads the mm and walks it.
pub fn join_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.switch_mm(Some(stage.mm(1)));
    walk::<Pending>(stage, cpu);
}

/// A round that another unlinker asked for.
pub fn round(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    sync_round::round(cpu, stage.mm(1));
}

/// Unlinks the table, syncs, reuses it. No flush of its own: as under INVLPGB.
pub fn unlink_and_reuse<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let (mm, machine) = (stage.mm(1), &stage.world.machine);
    let slot = mm.entry(machine, VA, 2).expect("it exists");
    let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
        batch.clear(slot);
    });
    let table = policy::sync::<P, _, _>(cpu, mm, unlinked, Reached::Short);
    machine.reuse(table);
}

/// Unlinks the table, flushes as collapse does, reuses it.
pub fn unlink_flush_and_reuse<P: Policy>(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let (mm, machine) = (stage.mm(1), &stage.world.machine);
    let slot = mm.entry(machine, VA, 2).expect("it exists");
    let unlinked = policy::unlink(cpu, mm, stage.table, |batch| {
        batch.clear(slot);
    });
    let reached = flush::flush(cpu, mm, Range::All, FreedTables::Yes, Some(unlinked.ticket()));
    let table = policy::sync::<P, _, _>(cpu, mm, unlinked, reached);
    machine.reuse(table);
}

/// What a flush after freeing tables does to CPU 0. The sender does not wait.
pub fn flush_the_walker<T>(stage: &Stage<T>, cpu: &mut Cpu<'_, Model>) {
    let mut targets = cpu.sets().take();
    targets.insert(CpuId(0));
    let flush = FlushCall { mm: stage.mm(1).id, range: Range::All, tlb_gen: 2 };
    let _in_flight = sync_round::issue(cpu, Call::Flush(flush), targets, ());
}

/// A flush as after a change of last-level entries.
pub fn flush(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let _ = flush::flush(cpu, stage.mm(1), Range::All, FreedTables::No, None);
}

/// A flush as after freeing a table: it interrupts all of the cpumask.
pub fn flush_freed(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    let _ = flush::flush(cpu, stage.mm(1), Range::All, FreedTables::Yes, None);
}
