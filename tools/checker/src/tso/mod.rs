//! An exhaustive explorer of x86-TSO, in which the library runs as it is.
//!
//! # Guarantee
//!
//! [`explore`] looks at every execution that its CPUs can have on x86: every interleaving, every moment at which a
//! store may leave its store buffer, every instruction boundary at which an interrupt may be taken that is on and was
//! sent, and an NMI whether interrupts are on or not. If one of them is [`broken`], a shortest one is printed.
//!
//! # Mechanism
//!
//! A CPU is a coroutine. It stops before every operation on a word that it shares with another CPU, or with its own
//! interrupt handler; the explorer decides what happens next: that operation, the oldest store of some buffer reaching
//! memory, an interrupt. What x86 orders anyway is ordered: a load does not pass a load, nor a store a store. A locked
//! instruction, a full fence and the sending of an interrupt empty the store buffer first. Entering a handler, and a
//! locked instruction on a word of the CPU's own, do so on hardware and do not here: the weaker machine.
//!
//! The search goes breadth first over *states*: the memory, the store buffers, the interrupts under way, and of each
//! CPU what it has read so far, on which all that it will do depends. States are known by 128 bits of hash. To go on
//! from a state is to repeat the decisions that led to it.
//!
//! A store leaves its buffer where that can make a difference: when another CPU is about to use the word, or has a
//! store to it in its own buffer. Anything else that happens meanwhile could as well happen before, and is looked at
//! there.
//!
//! Which words are shared is not told but found: every word begins as private to the CPU that uses it; when another
//! CPU, or a handler, is seen to use it, and one of them writes, the search begins anew with that word shared. When it
//! ends without such a find, no execution has one.
//!
//! A coroutine is a task, which stays on its CPU but where it changes places with another ([`exchange`]): the store
//! buffer is empty then, and interrupts stay with the CPU.
//!
//! Three things are asked of the code: no word is made while it runs; a handler leaves nothing behind but in words; and
//! what is waited for ([`wait`]) looks at words, and leaves nothing behind when it looks in vain.

mod cpu;
mod execution;
mod search;
mod trace;
mod words;

use std::panic::Location;
pub use std::sync::atomic::Ordering;

use crate::weaken::weakened;
use cpu::{Access, access, point};
pub use cpu::{
    broken, exchange, interrupt, irqs_off, is_exploring, lose_interrupts, note, own_cpu, own_task, wait,
};
use execution::Want;
pub use search::{Bounds, Outcome, Role, explore};
pub use words::Interrupt;

/// A word that CPUs share.
#[derive(Debug)]
pub struct AtomicU64 {
    word: usize,
}

/// A word that orders nothing and decides nothing: put back for every execution, and otherwise left alone.
#[derive(Debug)]
pub struct Figure {
    word: usize,
}

macro_rules! updates {
    ($($name:ident, $old:ident, $value:ident: $new:expr;)+) => {$(
        /// As the standard library's, and a full fence, as on x86.
        #[track_caller]
        pub fn $name(&self, $value: u64, _: Ordering) -> u64 {
            access(self.word, Location::caller(), Access::Update(&mut |$old| Some($new)))
        }
    )+};
}

impl AtomicU64 {
    /// Before anything runs.
    #[must_use]
    pub fn new(value: u64) -> Self {
        AtomicU64 { word: cpu::new_word(value) }
    }

    /// As the standard library's.
    #[track_caller]
    pub fn load(&self, _: Ordering) -> u64 {
        access(self.word, Location::caller(), Access::Load)
    }

    /// As the standard library's: into the store buffer.
    #[track_caller]
    pub fn store(&self, value: u64, _: Ordering) {
        access(self.word, Location::caller(), Access::Store(value));
    }

    /// What this CPU would load now, in one step with what it has done last: for detectors.
    #[must_use]
    pub fn peek(&self) -> u64 {
        cpu::peek(self.word)
    }

    updates! {
        swap, _old, value: value;
        fetch_add, old, value: old.wrapping_add(value);
        fetch_sub, old, value: old.wrapping_sub(value);
        fetch_or, old, value: old | value;
        fetch_and, old, value: old & value;
        fetch_max, old, value: old.max(value);
    }

    /// As the standard library's, and a full fence, as on x86.
    ///
    /// # Errors
    ///
    /// What it holds, if that is not `current`.
    #[track_caller]
    pub fn compare_exchange(&self, current: u64, new: u64, _: Ordering, _: Ordering) -> Result<u64, u64> {
        let mut update = |old| (old == current).then_some(new);
        let old = access(self.word, Location::caller(), Access::Update(&mut update));
        if old == current { Ok(old) } else { Err(old) }
    }

    /// As the standard library's, in one step.
    ///
    /// # Errors
    ///
    /// What it holds, if `update` refused that.
    #[track_caller]
    pub fn fetch_update(
        &self,
        _: Ordering,
        _: Ordering,
        mut update: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        let mut refused = false;
        let mut update = |old| {
            let new = update(old);
            refused = new.is_none();
            new
        };
        let old = access(self.word, Location::caller(), Access::Update(&mut update));
        if refused { Err(old) } else { Ok(old) }
    }
}

macro_rules! changes {
    ($($name:ident, $old:ident, $value:ident: $new:expr;)+) => {$(
        /// As the standard library's.
        pub fn $name(&self, $value: u64, _: Ordering) -> u64 {
            cpu::figure(self.word, |$old| $new)
        }
    )+};
}

impl Figure {
    /// Before anything runs.
    #[must_use]
    pub fn new(value: u64) -> Self {
        Figure { word: cpu::new_figure(value) }
    }

    /// As the standard library's.
    pub fn load(&self, _: Ordering) -> u64 {
        cpu::figure(self.word, |old| old)
    }

    /// As the standard library's.
    pub fn store(&self, value: u64, _: Ordering) {
        cpu::figure(self.word, |_| value);
    }

    changes! {
        swap, _old, value: value;
        fetch_add, old, value: old.wrapping_add(value);
        fetch_sub, old, value: old.wrapping_sub(value);
        fetch_max, old, value: old.max(value);
    }

    /// As the standard library's.
    ///
    /// # Errors
    ///
    /// What it holds, if that is not `current`.
    pub fn compare_exchange(&self, current: u64, new: u64, _: Ordering, _: Ordering) -> Result<u64, u64> {
        let old = cpu::figure(self.word, |old| if old == current { new } else { old });
        if old == current { Ok(old) } else { Err(old) }
    }
}

/// A full fence, if it is `SeqCst`; any weaker one is none on x86.
#[track_caller]
pub fn fence(order: Ordering) {
    let site = Location::caller();
    if weakened(site, 0, order) == Ordering::SeqCst {
        point(Want::Fence, site);
    }
}
