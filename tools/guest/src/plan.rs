//! What is to be done.

use serde::{Deserialize, Serialize};

/// The file, at the root of the initramfs, with what an init is to do: a list of [`Experiment`]s as JSON.
pub const FILE: &str = "/experiments.json";

/// One operation, done so many times by a thread on CPU 0 of a process of its own, and what the other CPUs do meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// The operation.
    pub operation: Operation,
    /// How many times.
    pub ops: u64,
    /// What each of the CPUs from 1 on does; those beyond have never run the process.
    pub siblings: Vec<Sibling>,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// 512 pages become a huge page, by `MADV_COLLAPSE`.
    Collapse,
    /// They become folios of this order, by khugepaged, which has a CPU of its own: the first after the siblings'.
    Khugepaged {
        /// 9 is a huge page; below, mTHPs.
        order: u64,
    },
    /// So many shared PMD tables of hugetlbfs are unmapped; one other process has them.
    Unshare {
        /// How many.
        tables: usize,
    },
    /// So many ranges of 2 MiB are unmapped.
    Unmap {
        /// How many.
        tables: usize,
        /// How many pages each of them has.
        pages: usize,
    },
    /// So many pages lose the right to be written.
    Protect {
        /// How many.
        pages: usize,
    },
    /// So many pages are given back, and stay mapped: `MADV_DONTNEED`.
    Discard {
        /// How many.
        pages: usize,
    },
}

/// What a CPU does that has run a thread of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sibling {
    /// Runs it all the time, in user mode.
    Spinning,
    /// Runs it all the time; it calls what walks by GUP-fast.
    Walking,
    /// Has run it, and then nothing: it keeps the mm lazily.
    Sleeping,
    /// Runs it before each operation, and then nothing.
    Napping,
    /// Has run it, and then another process.
    Stale,
    /// Runs it before each operation, and then another process.
    Visiting,
}

impl Sibling {
    /// Whether it runs before each operation.
    #[must_use]
    pub fn is_woken(self) -> bool {
        matches!(self, Sibling::Napping | Sibling::Visiting)
    }

    /// Whether another process has the CPU at each operation.
    #[must_use]
    pub fn gives_way(self) -> bool {
        matches!(self, Sibling::Stale | Sibling::Visiting)
    }
}
