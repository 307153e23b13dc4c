//! What one CPU says of itself to the others: the mm that it has loaded, whether it is lazy, whether it is idle.
//!
//! Only that CPU writes it, but for [`CpuState::preempted`]. How it writes it is [`crate::switch_mm`]'s affair; what
//! others conclude from it, [`crate::sync_round`]'s.

use crate::atomic::{AtomicU64, Figure, Ordering, Own, fence};
use crate::local_asids::LocalAsids;
use crate::online::Sends;
use crate::stats::WalkFigures;
use crate::types::{Asid, MmId};

/// The state of one CPU.
pub(crate) struct CpuState {
    /// The mm whose tables are loaded, the kernel's, or SWITCHING.
    pub(crate) loaded_mm: AtomicU64,
    /// Whether it runs a kernel thread on a borrowed mm, which it does not walk.
    pub(crate) is_lazy: AtomicU64,
    /// The mm of the task that runs (`current->mm`), which its own NMI handlers walk; the kernel's number if it has
    /// none. It follows what is loaded ([`crate::switch_mm`]).
    pub(crate) current: Own,
    /// The ASID under which `loaded_mm` was loaded.
    pub(crate) loaded_asid: AtomicU64,
    /// Its local ASIDs.
    pub(crate) local_asids: LocalAsids,
    /// The mm it is walking, for policies that look who walks ([`crate::policy::Targeted`]); the kernel's number if
    /// none.
    pub(crate) tracker: AtomicU64,
    /// Whether the vCPU is preempted, and whether it is to flush before it goes on ([`crate::flush::hypercall`]).
    pub(crate) preempted: AtomicU64,
    /// For grace periods.
    pub(crate) quiescent: Quiescent,
    /// Whether its task is at its sends.
    pub(crate) sends: Sends,
    /// The walk it is in.
    pub(crate) walk: WalkFigures,
    /// Whether a `Cpu` exists.
    pub(crate) entered: Figure,
}

impl CpuState {
    /// Of a CPU that has no mm loaded and is idle.
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        CpuState {
            loaded_mm: AtomicU64::new(MmId::KERNEL.word()),
            is_lazy: zero(),
            current: Own::new(MmId::KERNEL.word()),
            loaded_asid: zero(),
            local_asids: LocalAsids::new(),
            tracker: AtomicU64::new(MmId::KERNEL.word()),
            preempted: zero(),
            quiescent: Quiescent::new(),
            sends: Sends::new(),
            walk: WalkFigures::new(),
            entered: Figure::new(0),
        }
    }

    /// The mm loaded, as the CPU itself sees it.
    pub(crate) fn own_loaded_mm(&self) -> MmId {
        // Relaxed: its own writes.
        MmId::from_word(self.loaded_mm.load(Ordering::Relaxed))
    }

    /// The mm of the task that runs.
    pub(crate) fn own_current(&self) -> MmId {
        // Relaxed: its own.
        MmId::from_word(self.current.load(Ordering::Relaxed))
    }

    /// The mm that its tracker names, as the CPU itself sees it.
    pub(crate) fn own_tracker(&self) -> MmId {
        // Relaxed: its own writes.
        MmId::from_word(self.tracker.load(Ordering::Relaxed))
    }

    /// The ASID that it has the mm loaded with.
    pub(crate) fn own_loaded_asid(&self) -> Asid {
        // Relaxed: its own writes.
        Asid::from_word(self.loaded_asid.load(Ordering::Relaxed))
    }

    /// Whether it is lazy, as the CPU itself sees it.
    pub(crate) fn own_is_lazy(&self) -> bool {
        // Relaxed: its own writes.
        self.is_lazy.load(Ordering::Relaxed) != 0
    }
}

/// The quiescent states of one CPU: the count is even while it is idle, and walks nothing.
pub(crate) struct Quiescent {
    count: AtomicU64,
    /// Reasons to be idle: a CPU that is lazy may halt as well. Its own.
    reasons: Figure,
}

impl Quiescent {
    /// Of a CPU that is idle.
    fn new() -> Self {
        Quiescent { count: AtomicU64::new(0), reasons: Figure::new(1) }
    }

    /// The CPU has a reason (more) to be idle.
    pub(crate) fn idle(&self) {
        // Relaxed: its own.
        if self.reasons.fetch_add(1, Ordering::Relaxed) == 0 {
            // Release: pairs with the Acquire in `look`; walks so far are over.
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    /// A reason is gone; with the last one the CPU is at work.
    pub(crate) fn at_work(&self) {
        // Relaxed: its own.
        if self.reasons.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Relaxed: F6 follows.
            self.count.fetch_add(1, Ordering::Relaxed);
            // F6: "at work" is visible before anything is read of the tables. Pairs with F1: an unlinker that finds this
            // CPU idle has unlinked before, and the walks that follow see the cleared entries.
            fence(Ordering::SeqCst);
        }
    }

    /// An NMI handler is about to walk, whatever it has interrupted: a grace period waits for it as for any walk
    /// (Linux: `ct_nmi_enter()`). Says whether the CPU was idle, for [`Quiescent::nmi_exit`].
    pub(crate) fn nmi_enter(&self) -> bool {
        // Relaxed, both: its own; F6 follows.
        let was_idle = self.count.load(Ordering::Relaxed).is_multiple_of(2);
        if was_idle {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        // F6: as in `at_work`. Pairs with F1. Also where the CPU was at work: the NMI may have come before the fence there.
        fence(Ordering::SeqCst);
        was_idle
    }

    /// Its walk is over.
    pub(crate) fn nmi_exit(&self, was_idle: bool) {
        if was_idle {
            // Release: pairs with the Acquire in `look`; the walk is over.
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    /// The count. Even: idle. Changed since an earlier look: idle in between.
    pub(crate) fn look(&self) -> u64 {
        // Acquire: pairs with the Release in `idle`.
        self.count.load(Ordering::Acquire)
    }
}
