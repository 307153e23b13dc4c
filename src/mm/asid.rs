//! Which ASIDs there are, and which one an mm has: local, a global one in transition, or a global one.
//!
//! When an mm gets one, and what happens in the transition, is said in [`crate::flush::transition`].

use alloc::boxed::Box;

use crate::atomic::{AtomicU64, Ordering};
use crate::types::Asid;

/// Where the bit of a global ASID is.
fn place(asid: Asid) -> (usize, u64) {
    let index = asid.global_index();
    (index / 64, 1 << (index % 64))
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
    /// `count` global ASIDs.
    pub(crate) fn new(count: usize) -> Self {
        let none = || (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Asids { used: none(), freed: none(), count }
    }

    /// Takes one, if any is left.
    pub(crate) fn take(&self) -> Option<Asid> {
        (0..self.count).find_map(|index| {
            let bit = 1 << (index % 64);
            // Acquire: pairs with the Release in `put_back`; the flush that made it clean came before.
            let before = self.used[index / 64].fetch_or(bit, Ordering::Acquire);
            (before & bit == 0).then_some(Asid::global(index))
        })
    }

    /// Gives back one that was taken and not used.
    pub(crate) fn give_back(&self, asid: Asid) {
        let (word, bit) = place(asid);
        self.put_back(word, bit);
    }

    /// Makes those that were given up ones that can be taken: `clean` makes all TLBs forget them.
    pub(crate) fn recycle(&self, mut clean: impl FnMut()) {
        for (word, freed) in self.freed.iter().enumerate() {
            // Acquire: pairs with the Release in `free`; their last use came before they are made clean.
            let bits = freed.swap(0, Ordering::Acquire);
            if bits != 0 {
                clean();
                self.put_back(word, bits);
            }
        }
    }

    /// Gives back ones that no TLB remembers: a word of bits.
    fn put_back(&self, word: usize, bits: u64) {
        // Release: pairs with the Acquire in `take`.
        self.used[word].fetch_and(!bits, Ordering::Release);
    }

    /// Gives up one that TLBs may remember.
    pub(crate) fn free(&self, asid: Asid) {
        let (word, bit) = place(asid);
        // Release: pairs with the Acquire in `recycle`; it is made clean after its last use.
        self.freed[word].fetch_or(bit, Ordering::Release);
    }

    /// Whether one could be had.
    pub(crate) fn any_left(&self) -> bool {
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
        MmAsid(AtomicU64::new(Asid::LOCAL.word()))
    }

    /// The ASID to load the mm with, and to flush it by.
    pub(crate) fn now(&self) -> Asid {
        // Relaxed: what is done on the strength of it comes after F8 in `load` or F5 in the scan, which pair with the
        // Release in `give`; or after another look, in `is_in_transition`.
        Asid::from_word(self.0.load(Ordering::Relaxed) & !IN_TRANSITION)
    }

    /// Whether some CPU may still run the mm under another ASID than [`MmAsid::now`].
    pub(crate) fn is_in_transition(&self) -> bool {
        // Acquire: pairs with the Release in `end_transition`, and in `give`; what the scan found, by whichever CPU.
        self.0.load(Ordering::Acquire) & IN_TRANSITION != 0
    }

    /// Gives the mm a global ASID, in transition; says whether it had none.
    pub(crate) fn give(&self, asid: Asid) -> bool {
        // Release: pairs with F8 in `load`; the ASID is clean. Relaxed on failure: another CPU was faster.
        self.0.compare_exchange(0, asid.word() | IN_TRANSITION, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Ends the transition to `asid`.
    pub(crate) fn end_transition(&self, asid: Asid) {
        // Release: pairs with the Acquire in `is_in_transition`; the scan that found no straggler came before.
        // Relaxed on failure: another CPU has ended it.
        let _ = self.0.compare_exchange(
            asid.word() | IN_TRANSITION,
            asid.word(),
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    /// The mm has come to its end, and no CPU has it loaded: it has the local ASID again. The global one, if it had
    /// any.
    pub(crate) fn reset(&self) -> Option<Asid> {
        let asid = self.now();
        asid.is_global().then(|| {
            // Relaxed: the next CPU that loads the mm has been told so by the caller.
            self.0.store(Asid::LOCAL.word(), Ordering::Relaxed);
            asid
        })
    }
}
