//! Counters: how often each event happened, per mm and per CPU.

use alloc::boxed::Box;
use crossbeam_utils::CachePadded;

use gupsync::atomic::{Figure, Ordering};
use gupsync::event::Event;
use gupsync::types::{CpuId, MmId};

/// A row of counters for each CPU, for the kernel and each mm.
pub struct Counters {
    cpus: usize,
    cells: Box<[CachePadded<[Figure; Event::COUNT]>]>,
}

impl Counters {
    /// All zero, for `cpus` CPUs and `mms` mms.
    pub fn new(cpus: usize, mms: usize) -> Self {
        let cell = || CachePadded::new(core::array::from_fn(|_| Figure::new(0)));
        Counters { cpus, cells: (0..cpus * (mms + 1)).map(|_| cell()).collect() }
    }

    fn row(&self, mm: MmId) -> usize {
        mm.word() as usize * self.cpus
    }

    /// Adds `n`.
    pub fn add(&self, cpu: CpuId, mm: MmId, event: Event, n: u64) {
        // Relaxed: counts, read when all CPUs have stopped.
        self.cells[self.row(mm) + cpu.0][event as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// The count on one CPU.
    pub fn on(&self, cpu: CpuId, mm: MmId, event: Event) -> u64 {
        // Relaxed: as in `add`.
        self.cells[self.row(mm) + cpu.0][event as usize].load(Ordering::Relaxed)
    }

    /// The count on all CPUs.
    pub fn sum(&self, mm: MmId, event: Event) -> u64 {
        (0..self.cpus).map(|cpu| self.on(CpuId(cpu), mm, event)).sum()
    }

    /// Sets all to zero.
    pub fn clear(&self) {
        // Relaxed: as in `add`.
        self.cells.iter().flat_map(|cell| cell.iter()).for_each(|count| count.store(0, Ordering::Relaxed));
    }
}
