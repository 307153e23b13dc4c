//! Counters: how often each event happened, per mm and per CPU.
//!
//! # Guarantee
//!
//! A CPU adds to cells of its own, and no other CPU writes them: an add needs no lock, and must not have one, because a
//! locked instruction would order what it counts. To begin anew, the counts so far are remembered and taken off.

use alloc::boxed::Box;
use crossbeam_utils::CachePadded;

use gupsync::atomic::{Figure, Ordering};
use gupsync::event::Event;
use gupsync::types::{CpuId, MmId};

/// The counters of all CPUs, for the kernel and each mm.
pub struct Counters {
    cpus: usize,
    cells: Box<[CachePadded<[Figure; Event::COUNT]>]>,
    /// What they were when counting began.
    before: Box<[[Figure; Event::COUNT]]>,
}

impl Counters {
    /// All zero, for `cpus` CPUs and `mms` mms.
    pub fn new(cpus: usize, mms: usize) -> Self {
        let zero = || core::array::from_fn(|_| Figure::new(0));
        let count = cpus * (mms + 1);
        Counters {
            cpus,
            cells: (0..count).map(|_| CachePadded::new(zero())).collect(),
            before: (0..count).map(|_| zero()).collect(),
        }
    }

    fn index(&self, cpu: CpuId, mm: MmId) -> usize {
        mm.word() as usize * self.cpus + cpu.0
    }

    /// The cell that `cpu`, and no other CPU, adds to.
    pub fn cell(&self, cpu: CpuId, mm: MmId, event: Event) -> &Figure {
        &self.cells[self.index(cpu, mm)][event as usize]
    }

    /// The count on one CPU.
    pub fn on(&self, cpu: CpuId, mm: MmId, event: Event) -> u64 {
        // Relaxed, both: counts, read when all CPUs have stopped, or answered.
        let before = self.before[self.index(cpu, mm)][event as usize].load(Ordering::Relaxed);
        self.cell(cpu, mm, event).load(Ordering::Relaxed) - before
    }

    /// The count on all CPUs.
    pub fn sum(&self, mm: MmId, event: Event) -> u64 {
        (0..self.cpus).map(|cpu| self.on(CpuId(cpu), mm, event)).sum()
    }

    /// Counts from zero.
    pub fn begin(&self) {
        for (before, cell) in self.before.iter().zip(&self.cells) {
            for (before, count) in before.iter().zip(cell.iter()) {
                // Relaxed, both: as in `on`.
                before.store(count.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }
}
