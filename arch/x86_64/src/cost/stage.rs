//! Where a piece is done: a world with two mms, and the one CPU that does everything in it.

use alloc::boxed::Box;

use gupsync::atomic::{AtomicU64, Ordering};
use gupsync::config::{FlushConfig, FreedTables, MmConfig};
use gupsync::flush::{self, Reached};
use gupsync::machine::Machine;
use gupsync::mm::Mm;
use gupsync::mm::page_table::{self, Entry};
use gupsync::pending_gup_sync::Ticket;
use gupsync::policy;
use gupsync::types::{CpuId, Frame, FrameSize, MmId, PAGE_SIZE, Range, VirtAddr};
use gupsync::world::{Cpu, World};
use gupsync_bench::cost::Scene;

use super::bare::{Bare, PLAYED};

/// Where pages are mapped, a table full.
pub const SMALL: VirtAddr = VirtAddr(0x80_0000_0000);
/// Where a huge page is.
pub const HUGE: VirtAddr = VirtAddr(0x80_4000_0000);
/// Where nothing is.
pub const NOTHING: VirtAddr = VirtAddr(0x80_8000_0000);
/// Where a shared table is.
pub const SHARED: VirtAddr = VirtAddr(0x100_0000_0000);

/// So many pages are mapped.
pub const PAGES: usize = 64;
/// An mm that so many CPUs run gets a global ASID, where there is INVLPGB.
const THRESHOLD: usize = 4;
/// After so many flushes it has it, and every CPU has loaded it.
const FLUSHES: usize = 4;

/// The world, the CPU, and the mm that it has loaded.
pub struct Stage {
    pub world: &'static World<Bare>,
    pub cpu: Cpu<'static, Bare>,
    pub mm: &'static Mm,
    /// The mm that other things are about.
    pub other: &'static Mm,
}

impl Stage {
    /// A new world, for good.
    pub fn new(scene: Scene) -> Self {
        let config = FlushConfig {
            invlpgb: scene.invlpgb,
            threshold: THRESHOLD,
            pcids: gupsync::types::LOCAL_ASIDS,
            asids: 1,
            methods_interrupt: true,
            unshare_flush: FreedTables::No,
            unlazy_fence: true,
        };
        let world = World::new(Bare { cpus: scene.cpus }, config, [MmConfig::default(); 2]);
        let world: &'static World<Bare> = Box::leak(Box::new(world.expect("memory for two mms")));
        *PLAYED.lock() = Some(world);
        let (mm, other) = (world.mm(MmId::new(1)), world.mm(MmId::new(2)));
        for cpu in (1..scene.mm_cpus).map(CpuId) {
            world.enter(cpu).switch_mm(Some(mm));
        }
        let mut cpu = world.enter(CpuId(0));
        cpu.switch_mm(Some(mm));
        let mut stage = Stage { world, cpu, mm, other };
        for _ in 0..FLUSHES {
            let _ = flush::flush(&mut stage.cpu, mm, Range::All, FreedTables::Yes, None);
        }
        stage
    }

    /// A frame of memory, for good.
    pub fn alloc(&self, size: FrameSize) -> Frame {
        self.world.machine.alloc(size).expect("memory for a piece")
    }

    fn entry(&self, va: VirtAddr, level: u32) -> &'static AtomicU64 {
        self.mm.entry(&self.world.machine, va, level).expect("memory for a table")
    }

    /// The entry that leads to the table of the pages.
    pub fn table(&self) -> &'static AtomicU64 {
        self.entry(SMALL, 2)
    }

    /// Maps all pages.
    pub fn map_pages(&self) {
        for index in 0..PAGES as u64 {
            let (va, page) = (VirtAddr(SMALL.0 + index * PAGE_SIZE), self.alloc(FrameSize::Small));
            self.world.machine.page(page).map();
            page_table::link(self.entry(va, 1), Entry::to(page, va));
        }
    }

    /// Maps the huge page.
    pub fn map_huge(&self) {
        let huge = self.alloc(FrameSize::Huge);
        self.world.machine.page(huge).map();
        page_table::link(self.entry(HUGE, 2), Entry::huge(huge, HUGE));
    }

    /// Puts `table` back, which was unlinked.
    pub fn put_back(&self, table: Frame) {
        page_table::link(self.table(), Entry::to(table, SMALL));
    }

    /// The table of the pages, unlinked.
    pub fn unlink(&mut self) -> Ticket<Frame> {
        let slot = self.table();
        let table = Entry(slot.load(Ordering::Relaxed)).frame();
        let unlinked = policy::unlink(&mut self.cpu, self.mm, table, |batch| {
            batch.clear(slot);
        });
        unlinked.into_ticket()
    }

    /// The same, and flushed.
    pub fn unlink_and_flush(&mut self) -> (Ticket<Frame>, Reached) {
        let ticket = self.unlink();
        let number = ticket.number();
        let reached = flush::flush(&mut self.cpu, self.mm, Range::All, FreedTables::Yes, Some(number));
        (ticket, reached)
    }

    /// Another CPU flushes the mm.
    pub fn flush_elsewhere(&mut self, range: Range, freed_tables: FreedTables) {
        let mut elsewhere = self.world.enter(CpuId(1));
        let _ = flush::flush(&mut elsewhere, self.mm, range, freed_tables, None);
    }
}
