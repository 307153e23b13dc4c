//! Waiting for something, by looking now and then.

use crate::fiber::suspend;
use crate::pause::Pause;

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
