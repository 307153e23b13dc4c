//! Exit: the upper tables of a part of an mm go, when nothing below them is in use any more, with one more flush.
//!
//! # Guarantee
//!
//! A PUD table that an exit has taken out is handed out for reuse only when no walker of the mm is inside, and no CPU keeps an
//! entry that led to it: a lazy CPU neither, whose hardware may look up addresses that no task uses.
//!
//! # Mechanism
//!
//! The end of Linux's `exit_mmap()`. `unmap_vmas()` has come before: shared PMD tables are left with a plain flush and, if one
//! sharer remains, a sync ([`crate::ops::unshare`]). `free_pgtables()` clears the root's entries and gives PUD tables to the
//! gather (`free_pud_range()`, `pud_free_tlb()`), and `tlb_finish_mmu()` flushes once more: the whole mm, because the gather is
//! of all of it (`tlb_gather_mmu_fullmm()`), and as after freeing tables, because `pud_free_tlb()` says so; so it interrupts
//! every CPU of the cpumask, lazy ones too, which drop the mm. No sync follows: the tables go by `tlb_remove_table()`, and are
//! *deferred* here.
//!
//! There no task of the mm runs by then, and only lazy CPUs are left. Here tasks may walk it still, as while an `munmap()`
//! frees the same tables (`unmap_region()`, through a gather of its range).

use alloc::vec::Vec;

use crate::atomic::{AtomicU64, Ordering};
use crate::config::FreedTables;
use crate::flush;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::page_table::Entry;
use crate::ops::deferred::Deferred;
use crate::ops::operation::{Operation, Step};
use crate::policy::{self, Policy, Unlinked};
use crate::types::{ENTRIES, Frame, HUGE_SIZE, Range, VirtAddr};
use crate::world::Cpu;

/// What one PUD table maps, and one entry of a root, in bytes.
pub const PUD_TABLE_SIZE: u64 = HUGE_SIZE * (ENTRIES * ENTRIES) as u64;

/// An exit between two of its steps. From its first on no other operation works where its tables lead.
pub enum Exit {
    /// Nothing done yet.
    Ready {
        /// An address that the first of the PUD tables leads to.
        start: VirtAddr,
        /// How many go.
        tables: u64,
    },
    /// The tables are out of reach for walks that begin now.
    Unlinked(Unlinked<Vec<Frame>>),
}

impl Exit {
    /// Whether nothing has been done yet.
    pub fn is_ready(&self) -> bool {
        matches!(self, Exit::Ready { .. })
    }
}

/// How an exit ended: with tables that are to be freed.
pub type Exited = Deferred<Vec<Frame>>;

impl Operation for Exit {
    type Outcome = Exited;

    /// # Panics
    ///
    /// If a table is not there, or leads to another still.
    fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self> {
        match self {
            Exit::Ready { start, tables } => Step::Next(Exit::Unlinked(unlink(cpu, mm, start, tables))),
            Exit::Unlinked(unlinked) => {
                // Whom it reached says nothing here: no sync follows.
                let _ = flush::flush(cpu, mm, Range::All, FreedTables::Yes, Some(unlinked.ticket()));
                Step::Done(Deferred::new(cpu, mm.id, unlinked.into_ticket()))
            }
        }
    }
}

fn unlink<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, start: VirtAddr, tables: u64) -> Unlinked<Vec<Frame>> {
    let machine = &cpu.world().machine;
    let slots = || {
        let slot = |table| mm.entry(machine, VirtAddr(start.0 + table * PUD_TABLE_SIZE), 4);
        (0..tables).map(slot).map(|slot| slot.expect("a root is there"))
    };
    // Relaxed: written by this owner.
    let entry = |slot: &AtomicU64| Entry(slot.load(Ordering::Relaxed));
    let frames: Vec<_> =
        slots().map(entry).inspect(|entry| assert!(entry.is_present())).map(Entry::frame).collect();
    let leads_on = |table: &Frame| machine.words(*table).iter().any(|slot| entry(slot).is_present());
    assert!(!frames.iter().any(leads_on), "an upper table of {:?} is in use at {start:?}", mm.id);
    let unlinked = policy::unlink(cpu, mm, frames.clone(), |batch| {
        slots().for_each(|slot| {
            batch.clear(slot);
        });
    });
    frames.iter().for_each(|&table| unlinked.note_at(machine, table));
    unlinked
}
