//! Where a flow of code is left, and why.

use gupsync::types::CpuId;

/// Why a flow pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It waits, and looks again after so long.
    Look(u64),
    /// It sleeps until an interrupt comes.
    Park,
    /// Interrupts are on again, and some have come.
    Interrupts,
    /// It goes on on another CPU.
    Move(CpuId),
    /// Its CPU takes an NMI.
    Nmi,
    /// It is over.
    Ended,
}

/// Pauses the flow that runs.
#[expect(deprecated, reason = "a scope cannot be handed to code that knows nothing of this crate")]
pub(crate) fn suspend(pause: Pause) {
    generator::yield_with(pause);
}

/// When a flow that waits looks again: the longer it has waited, the later, so that a long wait does not take many looks.
pub(crate) struct Patience {
    waited: u64,
}

impl Patience {
    /// How long one look takes.
    pub(crate) const LEAST: u64 = 50;
    const MOST: u64 = 20_000;

    fn new() -> Self {
        Patience { waited: 0 }
    }

    /// How long until the next look.
    fn next(&mut self) -> u64 {
        let next = (self.waited / 4).clamp(Self::LEAST, Self::MOST);
        self.waited += next;
        next
    }
}

/// Looks, now and then, until `until` holds.
pub(crate) fn look_until(mut until: impl FnMut() -> bool) {
    let mut patience = Patience::new();
    while !until() {
        suspend(Pause::Look(patience.next()));
    }
}
