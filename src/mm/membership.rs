//! Who is of the mm: loading it, leaving it, being lazy.
//!
//! # Guarantee
//!
//! A CPU that may be inside a walk of an mm is in the mm's cpumask, and its state says neither that another
//! mm is loaded nor that it is lazy, for whoever reads them after an unlink (F1) or a change (F2) that the walk
//! did not see.
//!
//! # Mechanism
//!
//! A CPU enters the cpumask when it loads the mm and *stays* in it after it has switched away or gone lazy, until
//! a flush interrupt finds another mm loaded there. Entering is therefore rare, and a round that reads a
//! set bit looks at `loaded_mm` and `is_lazy` for who needs no interrupt.
//!
//! ```text
//!             switch_to(mm)                    go_lazy                flush after freeing tables
//!  elsewhere ---SWITCHING---> running ------------------------> lazy -------------------------> elsewhere
//!   |     ^                     | ^                               |                             (bit stays)
//!   |     +---switch_to(other)--+ +------------unlazy (F4)--------+
//!   v
//!  flush interrupt: bit cleared
//! ```

use crate::atomic::{AtomicU64, Figure, Ordering, fence};
use crate::cpumask::CpuId;
use crate::machine::{Event, Machine, Range};
use crate::mm::{Asid, Mm, MmId};
use crate::rcu::Quiescent;
use crate::world::{Cpu, IrqsOff, World};

/// What one CPU says of itself. Only that CPU writes it.
pub(crate) struct CpuState {
    /// The mm whose tables are loaded, the kernel's, or SWITCHING.
    loaded_mm: AtomicU64,
    /// Whether it runs a kernel thread on a borrowed mm, which it does not walk.
    is_lazy: AtomicU64,
    /// The ASID that the loaded mm was loaded with.
    pub(crate) loaded_asid: AtomicU64,
    /// The flush that it is up to, of the loaded mm.
    tlb_gen: AtomicU64,
    /// The mm it is walking, for the figures beside a sync.
    pub(crate) walking: Figure,
    /// `World::unlink_clock` when that walk began.
    pub(crate) walk_began: Figure,
    /// The mm it is walking, for policies that look who walks ([`crate::policy`]); the kernel's number if none.
    pub(crate) tracker: AtomicU64,
    /// Whether the vCPU is preempted, and whether it is to flush before it goes on ([`crate::flush::hypercall`]).
    pub(crate) preempted: AtomicU64,
    /// For grace periods ([`crate::rcu`]).
    pub(crate) quiescent: Quiescent,
    /// Whether a `Cpu` exists.
    pub(crate) entered: Figure,
}

/// What another CPU is found doing, as far as one mm is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It has the mm loaded and may be walking it.
    Running,
    /// It has the mm loaded, lazily.
    Lazy,
    /// It is between two mms; this one may be the next.
    Switching,
    /// It has another one loaded.
    Elsewhere,
}

impl Found {
    /// Whether a round needs its ack. Not if another mm is loaded: its walks of this one are over. Not if it is
    /// lazy: it walks nothing, and every un-lazy path has F4. Either ground suffices.
    pub(crate) fn must_ack(self) -> bool {
        matches!(self, Found::Running | Found::Switching)
    }

    /// Whether a plain flush interrupts it. The others catch up by `tlb_gen` before they use the mm again.
    pub(crate) fn must_flush(self) -> bool {
        matches!(self, Found::Running | Found::Switching)
    }
}

impl CpuState {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        CpuState {
            loaded_mm: AtomicU64::new(MmId::KERNEL.word()),
            is_lazy: zero(),
            loaded_asid: zero(),
            tlb_gen: zero(),
            walking: Figure::new(MmId::KERNEL.word()),
            walk_began: Figure::new(0),
            tracker: AtomicU64::new(MmId::KERNEL.word()),
            preempted: zero(),
            quiescent: Quiescent::new(),
            entered: Figure::new(0),
        }
    }

    /// The mm loaded, as the CPU itself sees it.
    pub(crate) fn own_loaded_mm(&self) -> MmId {
        // Relaxed: its own writes.
        MmId::from_word(self.loaded_mm.load(Ordering::Relaxed))
    }

    /// Ends the laziness, if any. F3 or F4 follows.
    fn come_back(&self) {
        if self.own_is_lazy() {
            self.quiescent.at_work();
            // Relaxed: published by the fence that follows.
            self.is_lazy.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn own_is_lazy(&self) -> bool {
        // Relaxed: its own writes.
        self.is_lazy.load(Ordering::Relaxed) != 0
    }
}

impl<M: Machine> World<M> {
    /// What `cpu` is doing, as seen from another CPU.
    pub(crate) fn found(&self, cpu: CpuId, mm: MmId) -> Found {
        let state = &self.cpus[cpu.0];
        // Acquire: pairs with F3 in `switch_to` and with the Release in `drop_lazy`. Who is seen elsewhere has
        // ended its walks of this mm before.
        match MmId::from_word(state.loaded_mm.load(Ordering::Acquire)) {
            MmId::SWITCHING => Found::Switching,
            // Acquire: pairs with the Release in `go_lazy`; walks before it have ended.
            loaded if loaded == mm && state.is_lazy.load(Ordering::Acquire) != 0 => Found::Lazy,
            loaded if loaded == mm => Found::Running,
            _ => Found::Elsewhere,
        }
    }
}

impl<M: Machine> Cpu<'_, M> {
    /// Loads `next`, or the kernel's own tables.
    pub fn switch_to(&mut self, next: Option<&Mm>) {
        self.irqs_off(|off| off.switch_to(next));
    }

    /// Goes on with a kernel thread, the mm staying loaded: until [`Cpu::unlazy`] this CPU walks nothing.
    pub fn go_lazy(&mut self) {
        if !self.state().own_is_lazy() {
            // Release: pairs with the Acquire of `is_lazy` in `found`. Walks so far happened before.
            self.state().is_lazy.store(1, Ordering::Release);
            self.state().quiescent.idle();
        }
    }

    /// Comes back from a kernel thread to `mm`: catches up with its flushes if it is still loaded, loads it if not.
    pub fn unlazy(&mut self, mm: &Mm) {
        self.irqs_off(|off| {
            let state = off.state();
            if state.own_loaded_mm() != mm.id {
                return off.switch_to(Some(mm));
            }
            state.come_back();
            // F4: "not lazy" is visible before anything is read of the tables. Pairs with F1: a round that still
            // finds this CPU lazy began its unlink before, and the walk that follows sees the cleared entries.
            // With F2: the same for a plain flush that left this CPU out. Linux has no fence here for an mm with
            // a global ASID; a sync there must not skip lazy CPUs.
            fence(Ordering::SeqCst);
            // Also where the mm has a global ASID by now: the flush before that one was given may have left this CPU out.
            off.bring_up(mm, mm.tlb_gen(), Range::All);
        });
    }
}

impl<M: Machine> IrqsOff<'_, M> {
    pub(crate) fn switch_to(&self, next: Option<&Mm>) {
        let (state, machine) = (self.state(), &self.world().machine);
        self.depart(next);
        // Before F3: a round for `next` that finds it loaded here must not find the laziness of the mm before it.
        state.come_back();
        // Relaxed: SWITCHING lets nobody skip this CPU, so nothing needs to be visible with it.
        state.loaded_mm.store(MmId::SWITCHING.word(), Ordering::Relaxed);
        let Some(mm) = next else {
            machine.load_root(self.id(), machine.kernel_root(), Asid::LOCAL);
            // Release: pairs with the Acquire in `found`; walks of the old mm happened before.
            state.loaded_mm.store(MmId::KERNEL.word(), Ordering::Release);
            return;
        };
        // Relaxed: only this CPU removes or adds its bit; F3 publishes it.
        if !mm.cpumask.contains(self.id(), Ordering::Relaxed) {
            mm.cpumask.insert(self.id(), Ordering::Relaxed);
        }
        // F3: the bit and SWITCHING are visible before anything of the tables is read, also when the bit was set
        // already. Pairs with F1 (and F2): a round that misses this CPU began its unlink before, and the walks
        // that follow see the cleared entries.
        fence(Ordering::SeqCst);
        self.load(mm);
        // Relaxed: F3 is the release that `found` pairs with; walks of the old mm came before it.
        state.loaded_mm.store(mm.id.word(), Ordering::Relaxed);
    }

    /// Counts that the mm that was loaded is so no longer: one flush may find this CPU in its cpumask for nothing.
    fn depart(&self, next: Option<&Mm>) {
        let loaded = self.state().own_loaded_mm();
        if loaded != MmId::KERNEL && next.is_none_or(|next| next.id != loaded) {
            self.note(loaded, Event::Departed, 1);
        }
    }

    /// Loads the root and the ASID that `mm` has now: no translation from before can be used, or INVLPGB reaches it.
    fn load(&self, mm: &Mm) {
        let state = self.state();
        let tlb_gen = mm.tlb_gen();
        let asid = mm.asid.now();
        if asid.is_global() {
            // F8: the ASID is read before anything of the tables is. Pairs with F2: a flush that does not see this ASID,
            // and so leaves this CPU to an INVLPGB that it does not execute, came before, and what is looked up from
            // here on is as it was changed. On x86 loading the root is the fence.
            fence(Ordering::SeqCst);
        }
        // Relaxed: its own.
        state.tlb_gen.store(tlb_gen, Ordering::Relaxed);
        // Relaxed: F8 is the release that `try_settle` pairs with; translations of the local ASID were used before it.
        state.loaded_asid.store(asid.word(), Ordering::Relaxed);
        self.world().machine.load_root(self.id(), mm.root, asid);
    }

    /// Makes this CPU, which has `mm` loaded, forget what flushes until now were about: goes over to the ASID that the mm
    /// has, leaves it to INVLPGB if it has that already, or catches up.
    pub(crate) fn bring_up(&self, mm: &Mm, upto: u64, range: Range) {
        let asid = mm.asid.now();
        // Relaxed: its own.
        if self.state().loaded_asid.load(Ordering::Relaxed) != asid.word() {
            self.load(mm);
        } else if !asid.is_global() {
            self.catch_up(mm, upto, range);
        }
    }

    /// Brings this CPU's TLB up to the mm's last flush, dropping no more than `range` if flush number `upto`,
    /// which is about that range, is the only one due.
    fn catch_up(&self, mm: &Mm, upto: u64, range: Range) {
        let state = self.state();
        // Relaxed: its own.
        let behind = state.tlb_gen.load(Ordering::Relaxed);
        let tlb_gen = mm.tlb_gen();
        if behind == tlb_gen {
            return;
        }
        let only_one_due = behind + 1 == tlb_gen && upto == tlb_gen;
        self.world().machine.flush_local(self.id(), if only_one_due { range } else { Range::All });
        // Relaxed: its own.
        state.tlb_gen.store(tlb_gen, Ordering::Relaxed);
    }

    /// Gives up an mm that is loaded lazily. The bit stays; the next flush that finds it takes it.
    pub(crate) fn drop_lazy(&self) {
        let machine = &self.world().machine;
        self.depart(None);
        machine.load_root(self.id(), machine.kernel_root(), Asid::LOCAL);
        // Release: pairs with the Acquire in `found`.
        self.state().loaded_mm.store(MmId::KERNEL.word(), Ordering::Release);
    }

    /// In a flush handler: another mm is loaded here, so this CPU is of `mm` no longer.
    pub(crate) fn leave(&self, mm: &Mm) {
        // Relaxed: its own bit.
        if mm.cpumask.contains(self.id(), Ordering::Relaxed) {
            // Release: pairs with the Acquire with which a round reads the mask; walks of `mm` happened before.
            mm.cpumask.remove(self.id(), Ordering::Release);
            self.note(mm.id, Event::Left, 1);
        }
    }
}
