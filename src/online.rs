//! Which CPUs are online, and whether a CPU is about to send to those that it has found so.
//!
//! # Guarantee
//!
//! A CPU that a sender does not find online is in no walk, and what it walked before is over. One that a sender finds
//! online gets its request, and answers it: it goes offline only when no sends are under way that were begun with it in
//! the mask ([`crate::hotplug`]).
//!
//! # Mechanism
//!
//! One mask, which a sender reads once, between the moment at which it has its targets and its first send (Linux:
//! `smp_call_function_many_cond()`, which takes the CPUs of `cpu_online_mask`). From that look to its last send the
//! task stays on its CPU, and says so there, in a word of that CPU's own. Interrupts are on, and a handler may find it
//! so: then that word has the task say when its sends are over.

use crate::atomic::{AtomicU64, Ordering, Own, barrier};
use crate::cpumask::CpuMask;
use crate::types::CpuId;

/// The CPUs that are online.
pub(crate) struct Online {
    mask: CpuMask,
    /// Whether some CPU is on its way: one goes or comes at a time (Linux: `cpu_hotplug_lock`).
    is_locked: AtomicU64,
    /// How many CPUs a CPU that goes has found at their sends, and that have not come to the end of them.
    sending: AtomicU64,
}

/// Of one CPU, and its own: whether the task there is at its sends.
pub(crate) struct Sends {
    are_under_way: Own,
    /// Whether it is to be said when they are over.
    are_awaited: Own,
}

impl Sends {
    pub(crate) fn new() -> Self {
        Sends { are_under_way: Own::new(0), are_awaited: Own::new(0) }
    }
}

impl Online {
    /// All of `cpus`.
    pub(crate) fn new(cpus: usize) -> Self {
        let mask = CpuMask::new(cpus);
        // Relaxed: there is one CPU yet.
        (0..cpus).for_each(|cpu| mask.insert(CpuId(cpu), Ordering::Relaxed));
        Online { mask, is_locked: AtomicU64::new(0), sending: AtomicU64::new(0) }
    }

    /// Sender: begins its sends, on the CPU of `sends`, by a look at the CPUs that are online: it visits each, once.
    pub(crate) fn begin_sends(&self, sends: &Sends, visit: impl FnMut(CpuId)) {
        // Relaxed: its own. A handler on this CPU sees it in the order of the program, here and below.
        sends.are_under_way.store(1, Ordering::Relaxed);
        barrier();
        // Acquire: pairs with the Release in `remove`; the walks of a CPU that is not found are over.
        self.mask.for_each(Ordering::Acquire, visit);
    }

    /// Sender: has sent to all of those that it wanted.
    pub(crate) fn end_sends(&self, sends: &Sends) {
        barrier();
        // Relaxed: its own. Before the look: a handler that comes after it finds no sends.
        sends.are_under_way.store(0, Ordering::Relaxed);
        barrier();
        // Relaxed, both: its own.
        if sends.are_awaited.load(Ordering::Relaxed) != 0 {
            sends.are_awaited.store(0, Ordering::Relaxed);
            // Release: pairs with the Acquire in `are_sends_over`; the requests were posted before.
            self.sending.fetch_sub(1, Ordering::Release);
        }
    }

    /// Target, in its handler: is to say when the sends are over that it has interrupted, if any.
    pub(crate) fn await_sends(&self, sends: &Sends) {
        // Relaxed, all: its own words; and the acknowledgement that follows publishes the count.
        if sends.are_under_way.load(Ordering::Relaxed) != 0 {
            sends.are_awaited.store(1, Ordering::Relaxed);
            self.sending.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// CPU that goes, when all others have answered: whether the sends that they were at are over.
    pub(crate) fn are_sends_over(&self) -> bool {
        // Acquire: pairs with the Release in `end_sends`; what was posted here is seen.
        self.sending.load(Ordering::Acquire) == 0
    }

    /// Makes way for one CPU to go or come, if none is on its way.
    pub(crate) fn try_lock(&self) -> bool {
        // Acquire: pairs with the Release in `unlock`; a CPU that was on its way before is seen to have gone, or come.
        // Relaxed on failure: it looks again.
        self.is_locked.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn unlock(&self) {
        // Release: pairs with the Acquire in `try_lock`.
        self.is_locked.store(0, Ordering::Release);
    }

    /// `cpu` goes. Called there.
    pub(crate) fn remove(&self, cpu: CpuId) {
        // Release: pairs with the Acquire in `begin_sends`; all walks of this CPU are over.
        self.mask.remove(cpu, Ordering::Release);
    }

    /// `cpu` comes. Called there.
    pub(crate) fn insert(&self, cpu: CpuId) {
        // Relaxed: F9 publishes it, and F3 once more.
        self.mask.insert(cpu, Ordering::Relaxed);
    }
}
