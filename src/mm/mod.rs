//! Address spaces, as data: the root of their page tables, their cpumask, flush count, ASID and pending
//! synchronisation.

pub(crate) mod asid;
pub mod page_table;
pub(crate) mod pte_lock;
pub mod shared_table;

use crate::atomic::{AtomicU64, Figure, Ordering, fence};
use crate::config::MmConfig;
use crate::cpumask::CpuMask;
use crate::machine::Machine;
use crate::mm::asid::MmAsid;
use crate::mm::pte_lock::PteLock;
use crate::pending_gup_sync::PendingGupSync;
use crate::stats::HeldWalkers;
use crate::types::{Frame, FrameSize, MmId, VirtAddr};

/// An address space.
pub struct Mm {
    /// Its number.
    pub id: MmId,
    /// What it is given.
    pub config: MmConfig,
    /// Which unlinked tables may still be walked.
    pub pending: PendingGupSync,
    /// The top-level table.
    pub root: Frame,
    /// The CPUs that may have it loaded: see [`crate::switch_mm`].
    pub(crate) cpumask: CpuMask,
    /// Counts flushes; a CPU whose own copy is behind has a flush to catch up with.
    pub(crate) tlb_gen: AtomicU64,
    pub(crate) asid: MmAsid,
    /// Held by those that change or skip page entries of a range that may not be theirs alone.
    pub(crate) pte_lock: PteLock,
    pub(crate) batched: Batched,
    /// Walkers that are held inside a walk of it.
    pub held: HeldWalkers,
    /// Plain flushes by interrupts: every so many, the cpumask is trimmed.
    plain_flushes: Figure,
    /// Flushes while it had no global ASID: every so many, one is considered.
    without_asid: Figure,
}

impl Mm {
    pub(crate) fn new<M: Machine>(machine: &M, id: MmId, config: MmConfig) -> Option<Self> {
        let root = machine.alloc(FrameSize::Small)?;
        page_table::copy_kernel_half(machine, root);
        Some(Mm {
            id,
            config,
            pending: PendingGupSync::new(id),
            root,
            cpumask: CpuMask::new(machine.cpus()),
            tlb_gen: AtomicU64::new(1),
            asid: MmAsid::new(),
            pte_lock: PteLock::new(),
            batched: Batched::new(),
            held: HeldWalkers::new(),
            plain_flushes: Figure::new(0),
            without_asid: Figure::new(0),
        })
    }

    /// The entry of `va` at `level`, with every table above it made if need be. `None` if there is no memory.
    ///
    /// For the owner of this part of the mm. Its upper tables are taken away by [`crate::ops::exit`] alone, which is the owner
    /// then of all that they lead to.
    pub fn entry<'m, M: Machine>(&self, machine: &'m M, va: VirtAddr, level: u32) -> Option<&'m AtomicU64> {
        page_table::entry(machine, self.root, va, level)
    }

    /// Counts one more flush and returns its number. What was changed in the tables before is visible to a CPU that
    /// flushes up to it, and to a CPU that joins without having been seen by the reads that follow.
    pub(crate) fn next_tlb_gen(&self) -> u64 {
        // Release: pairs with the Acquire in `tlb_gen`; a CPU that flushes up to this number flushes after the change.
        let tlb_gen = self.tlb_gen.fetch_add(1, Ordering::Release) + 1;
        // F2: the change is visible before the cpumask and `loaded_mm` are read. Pairs with F3 in
        // `switch_mm` and F4 in `exit_lazy_tlb`: a CPU that this flush misses loads translations after the change. (F1
        // does not serve: a plain flush takes no ticket.)
        fence(Ordering::SeqCst);
        tlb_gen
    }

    /// Every CPU that remembers the mm in its local ASIDs is behind: what it has cached was another's of this number.
    pub(crate) fn outdate_local_asids(&self) {
        // Relaxed: the next CPU that loads the mm has been told so by the caller.
        self.tlb_gen.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one more plain flush; says whether it is to trim the cpumask.
    pub(crate) fn is_time_to_trim(&self) -> bool {
        // Relaxed: whose turn it is decides how long stale bits stay, nothing else.
        let flushes = self.plain_flushes.fetch_add(1, Ordering::Relaxed) + 1;
        self.config.trim_every.is_some_and(|every| flushes.is_multiple_of(every))
    }

    /// Counts one more flush without a global ASID; says whether one is to be considered.
    pub(crate) fn is_time_to_consider_asid(&self) -> bool {
        // Relaxed: whose turn it is decides when the mm gets one, nothing else.
        let flushes = self.without_asid.fetch_add(1, Ordering::Relaxed) + 1;
        flushes.is_multiple_of(self.config.asid_every)
    }

    /// The number of the last flush.
    pub(crate) fn tlb_gen(&self) -> u64 {
        // Acquire: pairs with the Release in `next_tlb_gen`; what that flush was about is changed.
        self.tlb_gen.load(Ordering::Acquire)
    }
}

/// How often pages of an mm were added to a batch, and how many of these times a flush of the mm has come after (Linux:
/// `mm->tlb_flush_batched`, its two halves). Both are looked at and changed under the PTE lock.
pub(crate) struct Batched {
    added: AtomicU64,
    flushed: AtomicU64,
}

impl Batched {
    fn new() -> Self {
        Batched { added: AtomicU64::new(0), flushed: AtomicU64::new(0) }
    }

    /// Once more.
    pub(crate) fn add(&self) {
        // Relaxed: the PTE lock orders it.
        self.added.fetch_add(1, Ordering::Relaxed);
    }

    /// How often by now, if no flush has come after the last time.
    pub(crate) fn due(&self) -> Option<u64> {
        // Relaxed, both: likewise.
        let added = self.added.load(Ordering::Relaxed);
        (self.flushed.load(Ordering::Relaxed) != added).then_some(added)
    }

    /// A flush has come after the first `due` times.
    pub(crate) fn flushed(&self, due: u64) {
        // Relaxed: likewise.
        self.flushed.store(due, Ordering::Relaxed);
    }
}
