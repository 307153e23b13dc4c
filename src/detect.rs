//! What a detector can find, and what was found: how often, and the first finding in full.

use alloc::format;
use alloc::string::String;

use crate::atomic::{Figure, Ordering};
use crate::types::{CpuId, Frame, MmId, VirtAddr};

/// What a detector can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// A walker read a page table that had been taken out of use, or into other use, under its feet.
    InsideReusedTable,
    /// A walker holds a page that collapse has copied away.
    PinnedAfterCopy,
    /// A walker does not find a page where a collapse, which had found one pinned, was to leave it.
    NotPutBack,
    /// A sender has called a CPU that was offline.
    CalledOffline,
    /// An access used a translation after its flush had completed.
    StaleTranslation,
    /// An access has come to a page after it was freed: its translation should have been gone before.
    UsedAfterFree,
    /// A CPU has read the page that a kernel address led to before a flush of the kernel's range that is over.
    StaleKernelMapping,
}

/// A finding: who, where and which ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub kind: Caught,
    /// By which CPU.
    pub cpu: CpuId,
    /// Of which mm.
    pub mm: MmId,
    /// At which address.
    pub va: VirtAddr,
    /// In which table; for a page, which page.
    pub table: Frame,
    /// The ticket with which the table was unlinked; 0 if it was not.
    pub ticket: u64,
}

/// All findings in one world.
pub struct Findings {
    sync_violations: Figure,
    stale_translations: Figure,
    /// Who, where and which ticket, of the first; [`Findings::CLAIMED`] is set by the CPU that writes the rest.
    first: [Figure; 7],
}

impl Findings {
    const EMPTY: u64 = 0;
    const CLAIMED: u64 = 1;
    const WRITTEN: u64 = 2;

    /// Nothing found.
    pub fn new() -> Self {
        let zero = || Figure::new(0);
        Findings {
            sync_violations: zero(),
            stale_translations: zero(),
            first: core::array::from_fn(|_| zero()),
        }
    }

    pub(crate) fn record(&self, violation: &Violation) {
        let count = match violation.kind {
            Caught::InsideReusedTable
            | Caught::PinnedAfterCopy
            | Caught::NotPutBack
            | Caught::CalledOffline => &self.sync_violations,
            Caught::StaleTranslation | Caught::UsedAfterFree | Caught::StaleKernelMapping => {
                &self.stale_translations
            }
        };
        let [state, fields @ ..] = &self.first;
        // Relaxed: the claim orders nothing, WRITTEN does.
        if state.compare_exchange(Self::EMPTY, Self::CLAIMED, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let values = [
                violation.kind as u64,
                violation.cpu.0 as u64,
                violation.mm.word(),
                violation.va.0,
                violation.table.0,
                violation.ticket,
            ];
            for (field, value) in fields.iter().zip(values) {
                // Relaxed: published by WRITTEN.
                field.store(value, Ordering::Relaxed);
            }
            // Release: pairs with the Acquire in `first`.
            state.store(Self::WRITTEN, Ordering::Release);
        }
        // Release: pairs with the Acquire in `sync_violations` and `stale_translations`; read once the CPUs have stopped.
        count.fetch_add(1, Ordering::Release);
    }

    /// How often a walker or a pin was where it must not be, or a page not where it must be.
    pub fn sync_violations(&self) -> u64 {
        // Acquire: pairs with the Release in `record`.
        self.sync_violations.load(Ordering::Acquire)
    }

    /// How often an old translation was used.
    pub fn stale_translations(&self) -> u64 {
        // Acquire: pairs with the Release in `record`.
        self.stale_translations.load(Ordering::Acquire)
    }

    /// Whether anything was found.
    pub fn has_caught(&self) -> bool {
        self.sync_violations() + self.stale_translations() != 0
    }

    /// The first finding, in words.
    pub fn first(&self) -> Option<String> {
        let [state, fields @ ..] = &self.first;
        // Acquire: pairs with the Release in `record`.
        if state.load(Ordering::Acquire) != Self::WRITTEN {
            return None;
        }
        // Relaxed: after the Acquire.
        let [kind, cpu, mm, va, table, ticket] = fields.each_ref().map(|field| field.load(Ordering::Relaxed));
        let what = match kind {
            kind if kind == Caught::InsideReusedTable as u64 => "a walker was inside a table taken out of use",
            kind if kind == Caught::PinnedAfterCopy as u64 => "a page was pinned after it had been copied away",
            kind if kind == Caught::NotPutBack as u64 => "a page was not where it had been found pinned",
            kind if kind == Caught::CalledOffline as u64 => "a CPU was called while it was offline",
            kind if kind == Caught::UsedAfterFree as u64 => "a page was used after it had been freed",
            kind if kind == Caught::StaleKernelMapping as u64 => {
                "a kernel mapping was used after the flush of the kernel's range"
            }
            _ => "a translation was used after its flush had completed",
        };
        Some(format!("{what}: CPU {cpu}, mm {mm}, address {va:#x}, table {table:#x}, ticket {ticket}"))
    }
}

impl Default for Findings {
    fn default() -> Self {
        Self::new()
    }
}
