//! What the models run on: one of two machines, each with an explorer of its own, and the settings they have in common.

#[cfg(loom)]
mod loom;
mod paging;
#[cfg(tso)]
mod tso;

use gupsync::atomic::{AtomicU64, Figure, Ordering};
use gupsync::config::{FlushConfig, FlushMethod, FreedTables, MmConfig};
use gupsync::flush;
use gupsync::machine::Machine;
use gupsync::mm::Mm;
use gupsync::mm::page_table::{self, Entry};
use gupsync::types::{CpuId, Frame, FrameSize, MmId, Range, VirtAddr};
use gupsync::world::{Cpu, World};

#[cfg(loom)]
pub use loom::{Model, explore, explore_moving};
pub use paging::Paging;
#[cfg(tso)]
pub use tso::{Model, explore, explore_moving, explore_with_nmis};

/// The address that all models walk: every index on the way to it is 0, so tables of one entry do where one page does.
pub const VA: VirtAddr = VirtAddr(0);

const FRAMES: usize = 12;

/// Where a model's tasks may change places ([`explore_moving`]): the task of the first CPU is one that moves, and goes,
/// where it may be preempted, to the CPU of another that yields there; each other task yields.
struct Places {
    /// How many tasks there are; none moves if there is nothing.
    tasks: Option<usize>,
    /// By task: whether it yields, and the CPU that the one that moves comes from, if it has come.
    offers: Vec<AtomicU64>,
    /// How often the one that moves has moved.
    turns: Figure,
}

const YIELDS: u64 = 1;

impl Places {
    fn new(tasks: usize, moves: bool) -> Self {
        Places {
            tasks: moves.then_some(tasks),
            offers: (0..tasks).map(|_| AtomicU64::new(0)).collect(),
            turns: Figure::new(0),
        }
    }

    /// The one that moves, on `cpu`: asks the next of the other tasks for its place. Which, if it yields.
    fn ask(&self, cpu: CpuId, tasks: usize) -> Option<usize> {
        let task = 1 + self.turns.load(Ordering::Relaxed) as usize % (tasks - 1);
        let take = |offer| (offer == YIELDS).then_some(YIELDS + 1 + cpu.0 as u64);
        // As by the lock of a run queue: what was done on either CPU is visible on it.
        let is_taken = self.offers[task].fetch_update(Ordering::AcqRel, Ordering::Relaxed, take).is_ok();
        self.turns.fetch_add(u64::from(is_taken), Ordering::Relaxed);
        is_taken.then_some(task)
    }

    /// Another yields, and does `meanwhile`. The CPU that it is to go to, if the one that moves has come.
    fn yield_to(&self, task: usize, meanwhile: impl FnOnce()) -> Option<CpuId> {
        self.offers[task].store(YIELDS, Ordering::Release);
        meanwhile();
        let offer = self.offers[task].swap(0, Ordering::AcqRel);
        offer.checked_sub(YIELDS + 1).map(|cpu| CpuId(cpu as usize))
    }
}

/// A world, and what its CPUs act on: by default a table or page of mm 1, at [`VA`].
pub struct Stage<T = Frame> {
    pub world: World<Model>,
    pub table: T,
}

impl<T> Stage<T> {
    /// The mm of that number, from 1 up.
    pub fn mm(&self, number: usize) -> &Mm {
        self.world.mm(MmId::new(number))
    }
}

/// What a CPU does.
pub type Act<T = Frame> = fn(&Stage<T>, &mut Cpu<'_, Model>);

/// What a CPU does before the exploration begins, and what it does in it.
pub type Part<T = Frame> = (Act<T>, Act<T>);

/// The world that a model needs.
#[derive(Clone, Copy)]
pub struct Setting<T = Frame> {
    pub config: FlushConfig,
    pub mms: &'static [MmConfig],
    pub paging: Paging,
    pub table: fn(&World<Model>) -> T,
}

/// One mm, on a machine that flushes by interrupts.
pub const ONE_MM: Setting = Setting { config: BY_IPI, mms: &[MM], paging: Paging::ONE, table: pte_table };

/// One mm with a page at [`VA`].
pub const ONE_PAGE: Setting = Setting { table: page, ..ONE_MM };

/// Two mms.
pub const TWO_MMS: Setting = Setting { mms: &[MM, MM], ..ONE_MM };

/// A machine that flushes by interrupts.
pub const BY_IPI: FlushConfig = FlushConfig {
    invlpgb: false,
    threshold: 1,
    pcids: 1,
    asids: 0,
    methods_interrupt: true,
    unshare_flush: FreedTables::No,
    unlazy_fence: true,
};

/// A machine with INVLPGB, on which an mm gets an ASID with its first flush; the next ends the transition.
pub const BY_INVLPGB: FlushConfig = FlushConfig { invlpgb: true, threshold: 0, asids: 3, ..BY_IPI };

/// Has both done for every mm, before any CPU runs it.
pub fn give_asids(world: &World<Model>) {
    let mut cpu = world.enter(CpuId(0));
    for mm in world.mms() {
        for _ in 0..2 {
            let _ = flush::flush(&mut cpu, mm, Range::All, FreedTables::No, None);
        }
    }
}

/// One mm that has a global ASID.
pub const ONE_GLOBAL_MM: Setting = Setting {
    config: BY_INVLPGB,
    table: |world| {
        give_asids(world);
        pte_table(world)
    },
    ..ONE_MM
};

/// An mm that is flushed by interrupts, unless it has a global ASID.
pub const MM: MmConfig =
    MmConfig { flush: FlushMethod::Ipi, wants_asid: true, trim_every: None, asid_every: 1 };

/// Gives mm 1 an empty PTE table at [`VA`].
fn pte_table(world: &World<Model>) -> Frame {
    let machine = &world.machine;
    let slot = world.mm(MmId::new(1)).entry(machine, VA, 2).expect("enough frames");
    let table = machine.alloc(FrameSize::Small).expect("enough frames");
    page_table::link(slot, Entry::to(table, VA));
    table
}

/// Gives mm 1 a page at [`VA`].
fn page(world: &World<Model>) -> Frame {
    map(world, 0)
}

/// Maps page number `page` of mm 1.
pub fn map(world: &World<Model>, page: usize) -> Frame {
    let (machine, slot) = (&world.machine, slot_of(world, page));
    let frame = machine.alloc(FrameSize::Small).expect("enough frames");
    machine.page(frame).map();
    let Paging { size, .. } = machine.paging;
    let to = if size == FrameSize::Huge { Entry::huge } else { Entry::to };
    page_table::link(slot, to(frame, machine.paging.va(page)));
    frame
}

/// The entry that maps page number `page` of mm 1.
pub fn slot_of(world: &World<Model>, page: usize) -> &AtomicU64 {
    let paging = world.machine.paging;
    let level = if paging.size == FrameSize::Huge { 2 } else { 1 };
    world.mm(MmId::new(1)).entry(&world.machine, paging.va(page), level).expect("enough frames")
}
