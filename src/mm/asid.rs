//! Global ASIDs: an mm that has one is flushed by INVLPGB.
//!
//! # Guarantee
//!
//! While an mm is *in transition*, some CPU may still run it under its old, local ASID, which INVLPGB does not
//! reach; both methods are used then. Once settled, every CPU that has the mm loaded has it under
//! the global ASID.

use alloc::boxed::Box;

use crate::atomic::{AtomicU64, Ordering, fence};
use crate::flush::invlpgb;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mm::membership::Found;
use crate::world::Cpu;

/// A tag of translations in the TLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asid(u64);

impl Asid {
    /// The ASID of every mm that has no global one. It means something on one CPU at a time.
    pub const LOCAL: Asid = Asid(0);

    /// Whether INVLPGB can name it.
    pub fn is_global(self) -> bool {
        self != Asid::LOCAL
    }

    /// Where its bit is.
    fn place(self) -> (usize, u64) {
        let index = self.0 as usize - 1;
        (index / 64, 1 << (index % 64))
    }

    /// Its number, 0 for the local one.
    pub fn word(self) -> u64 {
        self.0
    }
}

/// The global ASIDs of the machine.
pub(crate) struct Asids {
    /// A bit for each, set while some TLB may hold translations of it.
    used: Box<[AtomicU64]>,
    /// A bit for each that no mm has any more, and that some TLB may remember.
    freed: Box<[AtomicU64]>,
    count: usize,
}

impl Asids {
    /// `count` global ASIDs, numbered from 1.
    pub(crate) fn new(count: usize) -> Self {
        let none = || (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Asids { used: none(), freed: none(), count }
    }

    /// Takes one, if any is left.
    fn take(&self) -> Option<Asid> {
        (0..self.count).find_map(|index| {
            let bit = 1 << (index % 64);
            // Acquire: pairs with the Release in `put_back`; the flush that made it clean came before.
            let before = self.used[index / 64].fetch_or(bit, Ordering::Acquire);
            (before & bit == 0).then_some(Asid(index as u64 + 1))
        })
    }

    /// Gives back ones that no TLB remembers: a word of bits.
    fn put_back(&self, word: usize, bits: u64) {
        // Release: pairs with the Acquire in `take`.
        self.used[word].fetch_and(!bits, Ordering::Release);
    }

    /// Gives up one that TLBs may remember.
    fn free(&self, asid: Asid) {
        let (word, bit) = asid.place();
        // Release: pairs with the Acquire in `Cpu::take_asid`; whoever cleans it does so after its last use.
        self.freed[word].fetch_or(bit, Ordering::Release);
    }

    /// Whether one could be had.
    fn any_left(&self) -> bool {
        // Relaxed: a hint.
        let words = self.used.iter().zip(&self.freed);
        let taken = words.map(|(used, freed)| {
            (used.load(Ordering::Relaxed) & !freed.load(Ordering::Relaxed)).count_ones() as usize
        });
        taken.sum::<usize>() < self.count
    }
}

/// The ASID of an mm: local, a global one in transition, or a global one.
pub(crate) struct MmAsid(AtomicU64);

const IN_TRANSITION: u64 = 1 << 63;

impl MmAsid {
    pub(crate) fn new() -> Self {
        MmAsid(AtomicU64::new(Asid::LOCAL.0))
    }

    /// The ASID to load the mm with, and to flush it by.
    pub(crate) fn now(&self) -> Asid {
        // Relaxed: what is done on the strength of it comes after F8 in `load` or F5 in the scan, which pair with the
        // Release in `give`; or after another look, in `is_in_transition`.
        Asid(self.0.load(Ordering::Relaxed) & !IN_TRANSITION)
    }

    /// Whether some CPU may still run the mm under another ASID than [`MmAsid::now`].
    pub(crate) fn is_in_transition(&self) -> bool {
        // Acquire: pairs with the Release in `settle`, and in `give`.
        self.0.load(Ordering::Acquire) & IN_TRANSITION != 0
    }

    /// Gives the mm a global ASID, in transition; says whether it had none.
    fn give(&self, asid: Asid) -> bool {
        // Release: pairs with F8 in `load`; the ASID is clean. Relaxed on failure: another CPU was faster.
        self.0.compare_exchange(0, asid.0 | IN_TRANSITION, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Ends the transition.
    fn settle(&self, asid: Asid) {
        // Release: pairs with the Acquire in `is_in_transition`; the scan that found no straggler came before.
        // Relaxed on failure: another CPU has settled it.
        let _ = self.0.compare_exchange(asid.0 | IN_TRANSITION, asid.0, Ordering::Release, Ordering::Relaxed);
    }
}

impl<M: Machine> Cpu<'_, M> {
    /// After a flush by IPI: gives `mm` a global ASID if enough CPUs run it and one is left.
    pub(crate) fn consider_global_asid(&mut self, mm: &Mm) {
        let config = &self.world().config;
        if !config.invlpgb
            || !mm.config.wants_asid
            || mm.asid.now().is_global()
            || self.running(mm) < config.threshold
        {
            return;
        }
        if let Some(asid) = self.take_asid()
            && !mm.asid.give(asid)
        {
            let (word, bit) = asid.place();
            self.world().asids.put_back(word, bit);
        }
    }

    /// Takes a global ASID that no TLB remembers. When none is left, those that were given up are made so, all at once,
    /// by a flush of everything.
    fn take_asid(&mut self) -> Option<Asid> {
        let asids = &self.world().asids;
        if let Some(asid) = asids.take() {
            return Some(asid);
        }
        for (word, freed) in asids.freed.iter().enumerate() {
            // Acquire: pairs with the Release in `free`.
            let bits = freed.swap(0, Ordering::Acquire);
            if bits != 0 {
                invlpgb::flush_everything(self);
                asids.put_back(word, bits);
            }
        }
        asids.take()
    }

    /// `mm` has come to its end, and begins anew: no CPU is of it, and its global ASID, if any, is given up. No CPU has it
    /// loaded.
    pub fn renew(&mut self, mm: &Mm) {
        // Relaxed, here and below: whoever loads the mm next has been told so by the caller.
        mm.cpumask.drain(Ordering::Relaxed, |_| ());
        let asid = mm.asid.now();
        if asid.is_global() {
            mm.asid.0.store(Asid::LOCAL.0, Ordering::Relaxed);
            self.world().asids.free(asid);
        }
    }

    /// How many CPUs run `mm` now.
    fn running(&self, mm: &Mm) -> usize {
        let mut running = 0;
        // Relaxed: a decision about speed.
        mm.cpumask.for_each(Ordering::Relaxed, |cpu| {
            running += usize::from(self.world().found(cpu, mm.id) == Found::Running);
        });
        running
    }

    /// Whether `mm` has come to rest: `cpus` CPUs run it, and it has the ASID that it will keep.
    pub fn is_settled(&self, mm: &Mm, cpus: usize) -> bool {
        let world = self.world();
        let config = &world.config;
        let has_one = mm.asid.now().is_global();
        let gets_one = config.invlpgb
            && mm.config.wants_asid
            && cpus >= config.threshold
            && (has_one || world.asids.any_left());
        self.running(mm) == cpus && !mm.asid.is_in_transition() && gets_one == has_one
    }

    /// Whether every CPU that has `mm` loaded has it under its global ASID; if so, the transition is over.
    ///
    /// Waits for CPUs found SWITCHING: they may have read the ASID before it was given.
    pub(crate) fn try_settle(&mut self, mm: &Mm) -> bool {
        let asid = mm.asid.now();
        // F5: the ASID is visible before the CPUs are looked at. Pairs with F3: a CPU that this scan misses
        // reads the ASID after it was given.
        fence(Ordering::SeqCst);
        let world = self.world();
        let mut members = self.sets().take();
        // Acquire: as for every scan of the mask.
        mm.cpumask.for_each(Ordering::Acquire, |cpu| members.insert(cpu));
        let mut stragglers = false;
        members.for_each(|cpu| {
            let mut found = Found::Switching;
            self.wait(|| {
                found = world.found(cpu, mm.id);
                found != Found::Switching
            });
            // Acquire: pairs with F8 in `load`. Who has the global ASID uses the local one no longer. An old value,
            // as after the CPU has gone elsewhere, makes it a straggler: a wasted interrupt.
            let asid_there = world.cpus[cpu.0].loaded_asid.load(Ordering::Acquire);
            stragglers |= found != Found::Elsewhere && asid_there != asid.word();
        });
        self.sets().give(members);
        if !stragglers {
            mm.asid.settle(asid);
        }
        !stragglers
    }
}
