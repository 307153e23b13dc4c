//! Loading an mm, leaving it, being lazy: how a CPU changes what it says of itself.
//!
//! # Guarantee
//!
//! A CPU that may be inside a walk of an mm is in the mm's cpumask, and its state says neither that another mm is
//! loaded nor that it is lazy, for a sender that reads them after an unlink (F1) or a change (F2) that the walk did not
//! see.
//!
//! # Mechanism
//!
//! A CPU enters the cpumask when it loads the mm and *stays* in it after it has switched away or gone lazy, until
//! a flush interrupt finds another mm loaded there. Entering is therefore rare, and a round that reads a
//! set bit looks at `loaded_mm` and `is_lazy` for who needs no interrupt.
//!
//! ```text
//!             switch_mm(mm)                   enter_lazy_tlb          flush after freeing tables
//!  elsewhere ---SWITCHING---> running ------------------------> lazy -------------------------> elsewhere
//!   |     ^                     | ^                               |                             (bit stays)
//!   |     +---switch_mm(other)--+ +------exit_lazy_tlb (F4)-------+
//!   v
//!  flush interrupt: bit cleared
//! ```
//!
//! What the task that runs calls its mm (`current`) follows what is loaded, interrupts off, as in Linux's
//! `context_switch()`. An NMI that comes in between finds a task whose mm is loaded no longer, or lazily: see
//! [`crate::nmi_walk`].

use crate::atomic::{Ordering, fence};
use crate::cpu_state::CpuState;
use crate::event::Event;
use crate::local_asids::Found;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::types::{Asid, Cached, Frame, MmId, Range};
use crate::world::{Cpu, IrqsOff};

impl<'w, M: Machine> Cpu<'w, M> {
    /// Goes on with a task of `next`, or with the kernel's own tables.
    pub fn switch_mm(&mut self, next: Option<&Mm>) {
        self.switch_mm_and(next, |_| ());
    }

    /// [`Cpu::switch_mm`], with `window` between the loading and `current`.
    pub fn switch_mm_and(&mut self, next: Option<&Mm>, window: impl FnOnce(&IrqsOff<'w, M>)) {
        self.irqs_off(|off| {
            off.switch_mm(next);
            window(off);
            off.set_current(next);
        });
    }

    /// Goes on with a kernel thread, the mm staying loaded: until [`Cpu::exit_lazy_tlb`] this CPU walks nothing.
    pub fn enter_lazy_tlb(&mut self) {
        self.enter_lazy_tlb_and(|_| ());
    }

    /// [`Cpu::enter_lazy_tlb`], with `window` between the laziness and `current`.
    pub fn enter_lazy_tlb_and(&mut self, window: impl FnOnce(&IrqsOff<'w, M>)) {
        self.irqs_off(|off| {
            off.enter_lazy_tlb();
            window(off);
            off.set_current(None);
        });
    }

    /// Comes back from a kernel thread to `mm`: catches up with its flushes if it is still loaded, loads it if not.
    pub fn exit_lazy_tlb(&mut self, mm: &Mm) {
        self.irqs_off(|off| {
            let state = off.state();
            if state.own_loaded_mm() != mm.id {
                off.switch_mm(Some(mm));
                return off.set_current(Some(mm));
            }
            come_back(state);
            if !off.world().config.unlazy_fence && state.own_loaded_asid().is_global() {
                // As in Linux: INVLPGB has kept this TLB up to date, and no round has left this CPU out.
                return off.set_current(Some(mm));
            }
            // F4: "not lazy" is visible before anything is read of the tables. Pairs with F1: a round that still
            // finds this CPU lazy began its unlink before, and the walk that follows sees the cleared entries.
            // With F2: the same for a plain flush that left this CPU out.
            fence(Ordering::SeqCst);
            // Also where the mm has a global ASID by now: the flush before that one was given may have left this CPU out.
            off.bring_up(mm, mm.tlb_gen(), Range::All);
            off.set_current(Some(mm));
        });
    }
}

/// Ends the laziness, if any. F3 or F4 follows.
fn come_back(state: &CpuState) {
    if state.own_is_lazy() {
        state.quiescent.at_work();
        // Relaxed: published by the fence that follows.
        state.is_lazy.store(0, Ordering::Relaxed);
    }
}

impl<M: Machine> IrqsOff<'_, M> {
    fn switch_mm(&self, next: Option<&Mm>) {
        let state = self.state();
        self.depart(next);
        // Before F3: a round for `next` that finds it loaded here must not find the laziness of the mm before it.
        come_back(state);
        // Relaxed: no round skips a CPU found SWITCHING, so nothing needs to be visible with it.
        state.loaded_mm.store(MmId::SWITCHING.word(), Ordering::Relaxed);
        let Some(mm) = next else {
            self.load_kernel();
            // Release: pairs with the Acquire of `loaded_mm` in `standing`; walks of the old mm are over.
            state.loaded_mm.store(MmId::KERNEL.word(), Ordering::Release);
            return;
        };
        // Relaxed: only this CPU removes or adds its bit; F3 publishes it.
        if !mm.cpumask.contains(self.id(), Ordering::Relaxed) {
            mm.cpumask.insert(self.id(), Ordering::Relaxed);
        }
        // F3: the bit and SWITCHING are visible before anything of the tables is read, also when the bit was set
        // already. Pairs with F1 (and F2): a round that misses this CPU began its unlink before, and the walks
        // that follow see the cleared entries. And before `tlb_gen` is read, in `load`: a flush that misses this CPU was
        // counted before, so a kept ASID is found behind. (Linux lacked that until CVE-2025-40174: the write of CR3, which
        // is a fence, comes after that read.)
        fence(Ordering::SeqCst);
        self.load(mm);
        // Relaxed: F3 is the release that `standing` pairs with; walks of the old mm came before it.
        state.loaded_mm.store(mm.id.word(), Ordering::Relaxed);
    }

    fn enter_lazy_tlb(&self) {
        let state = self.state();
        if !state.own_is_lazy() {
            // Release: pairs with the Acquire of `is_lazy` in `standing`; walks so far are over.
            state.is_lazy.store(1, Ordering::Release);
            state.quiescent.idle();
        }
    }

    /// The task that runs is one of `mm`. After F3 or F4: from here on an NMI handler walks it.
    fn set_current(&self, mm: Option<&Mm>) {
        // Relaxed: its own.
        self.state().current.store(mm.map_or(MmId::KERNEL, |mm| mm.id).word(), Ordering::Relaxed);
    }

    /// Counts that the mm that was loaded is so no longer: one flush may find this CPU in its cpumask for nothing.
    fn depart(&self, next: Option<&Mm>) {
        let loaded = self.state().own_loaded_mm();
        if loaded != MmId::KERNEL && next.is_none_or(|next| next.id != loaded) {
            self.note(loaded, Event::Departed, 1);
        }
    }

    /// Loads the root and the ASID that `mm` has now: no translation from before its last flush can be used, or INVLPGB
    /// reaches it.
    fn load(&self, mm: &Mm) {
        // First: what is looked up from here on may be newer than this flush, and is then dropped for nothing once more.
        let tlb_gen = mm.tlb_gen();
        let asid = mm.asid.now();
        if asid.is_global() {
            // F8: the ASID is read before anything of the tables is. Pairs with F2: a flush that does not see this ASID,
            // and so leaves this CPU to an INVLPGB that it does not execute, came before, and what is looked up from
            // here on is as it was changed. On x86 loading the root is the fence.
            fence(Ordering::SeqCst);
            return self.load_root(mm.root, asid, Cached::Kept);
        }
        let world = self.world();
        let (asid, found) = self.state().local_asids.choose(mm.id, tlb_gen, world.config.pcids);
        match found {
            Found::UpToDate => self.note(mm.id, Event::AsidKept, 1),
            Found::Behind => self.note(mm.id, Event::AsidBehind, 1),
            Found::NoPlace => {}
        }
        self.load_root(mm.root, asid, found.cached());
    }

    /// Loads the root that maps the kernel only.
    fn load_kernel(&self) {
        let world = self.world();
        let (asid, found) = self.state().local_asids.choose(MmId::KERNEL, 0, world.config.pcids);
        self.load_root(world.machine.kernel_root(), asid, found.cached());
    }

    fn load_root(&self, root: Frame, asid: Asid, cached: Cached) {
        // Relaxed: F8 is the release that `end_transition` pairs with; translations of the local ASID were used before it.
        self.state().loaded_asid.store(asid.word(), Ordering::Relaxed);
        self.world().machine.load_root(self.id(), root, asid, cached);
    }

    /// Makes this CPU, which has `mm` loaded, forget what flushes until now were about: loads the mm under the ASID
    /// that it has now; or, if it has that loaded, leaves it to INVLPGB or catches up.
    pub(crate) fn bring_up(&self, mm: &Mm, upto: u64, range: Range) {
        let asid = mm.asid.now();
        if !asid.is_global() {
            self.catch_up(mm, upto, range);
        } else if self.state().own_loaded_asid() != asid {
            self.load(mm);
        }
    }

    /// Brings this CPU's TLB up to the mm's last flush, dropping no more than `range` if flush number `upto`,
    /// which is about that range, is the only one due.
    fn catch_up(&self, mm: &Mm, upto: u64, range: Range) {
        let state = self.state();
        let own = state.local_asids.tlb_gen(state.own_loaded_asid());
        // Relaxed: its own.
        let behind = own.load(Ordering::Relaxed);
        let tlb_gen = mm.tlb_gen();
        if behind == tlb_gen {
            return;
        }
        let only_one_due = behind + 1 == tlb_gen && upto == tlb_gen;
        self.world().machine.flush_local(self.id(), if only_one_due { range } else { Range::All });
        // Relaxed: its own.
        own.store(tlb_gen, Ordering::Relaxed);
    }

    /// Gives up an mm that is loaded lazily. The bit stays; the next flush that finds it takes it.
    pub(crate) fn drop_lazy(&self) {
        self.depart(None);
        self.load_kernel();
        // Release: pairs with the Acquire of `loaded_mm` in `standing`; walks before lazy mode are over.
        self.state().loaded_mm.store(MmId::KERNEL.word(), Ordering::Release);
    }

    /// Has the kernel's tables loaded: drops all that the TLB holds, of every ASID, and forgets of which mms that was.
    pub(crate) fn begin_tlb_anew(&self) {
        self.state().local_asids.forget();
        self.load_kernel();
        self.world().machine.flush_all(self.id());
    }

    /// In a flush handler: another mm is loaded here, so this CPU need not stay in the cpumask of `mm`.
    pub(crate) fn leave(&self, mm: &Mm) {
        // Relaxed: its own bit.
        if mm.cpumask.contains(self.id(), Ordering::Relaxed) {
            // Release: pairs with the Acquire with which `scan` reads the mask; walks of `mm` are over.
            mm.cpumask.remove(self.id(), Ordering::Release);
            self.note(mm.id, Event::Left, 1);
        }
    }
}
