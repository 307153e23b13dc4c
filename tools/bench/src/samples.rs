//! What is asked of the next NMI, by CPU.

use alloc::boxed::Box;

use gupsync::atomic::{AtomicU64, Ordering};
use gupsync::types::CpuId;

/// What an NMI is to do on its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To walk.
    Walk = 1,
    /// To walk, and to be held.
    Stay = 2,
}

/// Written and read by each CPU for itself, its NMI handler included.
pub(crate) struct Samples(Box<[AtomicU64]>);

const NOTHING: u64 = 0;

impl Samples {
    pub(crate) fn new(cpus: usize) -> Self {
        Samples((0..cpus).map(|_| AtomicU64::new(NOTHING)).collect())
    }

    // Relaxed, all three: one CPU's own.

    /// The next NMI is to do that.
    pub(crate) fn ask(&self, cpu: CpuId, what: Asked) {
        self.0[cpu.0].store(what as u64, Ordering::Relaxed);
    }

    /// What is asked of it.
    pub(crate) fn asked(&self, cpu: CpuId) -> Option<Asked> {
        let asked = self.0[cpu.0].load(Ordering::Relaxed);
        [Asked::Walk, Asked::Stay].into_iter().find(|what| *what as u64 == asked)
    }

    /// It has done it.
    pub(crate) fn done(&self, cpu: CpuId) {
        self.0[cpu.0].store(NOTHING, Ordering::Relaxed);
    }
}
