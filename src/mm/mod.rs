//! Address spaces: who has them loaded ([`membership`]), their page tables ([`tables`]) and ASIDs ([`asid`]).

pub mod asid;
pub mod membership;
pub mod page;
pub mod shared;
pub mod tables;

pub use asid::Asid;
pub use page::Page;

use crate::atomic::{AtomicU64, Figure, Ordering, fence};
use crate::cpumask::CpuMask;
use crate::machine::{FrameSize, Machine};
use crate::mm::asid::MmAsid;
use crate::pending_gup_sync::PendingGupSync;

/// The number of an mm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmId(u64);

impl MmId {
    /// What a CPU has loaded when it has no mm: the kernel's own tables.
    pub const KERNEL: MmId = MmId(0);
    /// What `loaded_mm` holds while a CPU is between two mms. No mm has this number.
    pub const SWITCHING: MmId = MmId(u64::MAX);

    /// Number `id`, from 1 up.
    pub fn new(id: usize) -> Self {
        MmId(id as u64)
    }

    /// Its place in [`World::mms`](crate::world::World::mms).
    ///
    /// # Panics
    ///
    /// For the kernel, which is no mm.
    pub fn index(self) -> usize {
        assert!(self != MmId::KERNEL, "the kernel's tables are no mm");
        self.0 as usize - 1
    }

    /// Its number, as a word.
    pub fn word(self) -> u64 {
        self.0
    }

    /// Out of a word.
    pub fn from_word(word: u64) -> Self {
        MmId(word)
    }
}

/// A virtual address in the lower half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VirtAddr(pub u64);

/// The physical address of a 4 KiB frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame(pub u64);

/// What an address space is given, whatever the machine has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmConfig {
    /// Whether preempted vCPUs are left to the hypervisor when it is flushed by interrupts.
    pub hypercall: bool,
    /// Whether it takes a global ASID when it could have one.
    pub wants_asid: bool,
    /// In one plain flush of so many, CPUs that have another mm loaded are interrupted too, to leave.
    pub trim_every: Option<u64>,
}

impl Default for MmConfig {
    fn default() -> Self {
        MmConfig { hypercall: false, wants_asid: true, trim_every: None }
    }
}

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
    /// The CPUs that may have it loaded: see [`membership`].
    pub(crate) cpumask: CpuMask,
    /// Counts flushes; a CPU whose own copy is behind has a flush to catch up with.
    pub(crate) tlb_gen: AtomicU64,
    pub(crate) asid: MmAsid,
    /// How many walkers are held inside a walk of it: a scenario's figure.
    pub held: Figure,
    /// Plain flushes by interrupts: every so many, the cpumask is trimmed.
    plain_flushes: Figure,
}

impl Mm {
    pub(crate) fn new<M: Machine>(machine: &M, id: MmId, config: MmConfig) -> Option<Self> {
        let root = machine.alloc(FrameSize::Small)?;
        tables::copy_kernel_half(machine, root);
        Some(Mm {
            id,
            config,
            pending: PendingGupSync::new(id),
            root,
            cpumask: CpuMask::new(machine.cpus()),
            tlb_gen: AtomicU64::new(1),
            asid: MmAsid::new(),
            held: Figure::new(0),
            plain_flushes: Figure::new(0),
        })
    }

    /// Counts one more flush and returns its number. What was changed in the tables before is visible to whoever
    /// flushes up to it, and to whoever joins without having been seen by the reads that follow.
    pub(crate) fn next_tlb_gen(&self) -> u64 {
        // Release: pairs with the Acquire in `tlb_gen`; a CPU that flushes up to this number flushes after the change.
        let tlb_gen = self.tlb_gen.fetch_add(1, Ordering::Release) + 1;
        // F2: the change is visible before the cpumask and `loaded_mm` are read. Pairs with F3 in
        // `Cpu::switch_to` and F4 in `Cpu::unlazy`: a CPU that this flush misses loads translations after the
        // change. (F1 does not serve: a plain flush takes no ticket.)
        fence(Ordering::SeqCst);
        tlb_gen
    }

    /// Counts one more plain flush; says whether it is to trim the cpumask.
    pub(crate) fn is_time_to_trim(&self) -> bool {
        // Relaxed: whose turn it is decides how long stale bits stay, nothing else.
        let flushes = self.plain_flushes.fetch_add(1, Ordering::Relaxed) + 1;
        self.config.trim_every.is_some_and(|every| flushes.is_multiple_of(every))
    }

    pub(crate) fn tlb_gen(&self) -> u64 {
        // Acquire: pairs with the Release in `next_tlb_gen`.
        self.tlb_gen.load(Ordering::Acquire)
    }
}
