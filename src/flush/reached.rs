//! What a flush proved about walkers.

use crate::pending_gup_sync::Covered;

/// Whether a flush proved something about walkers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "who was reached decides whether a sync is due"]
pub enum Reached {
    /// Every CPU that may have been walking the mm; these tickets were covered by it.
    Mm(Covered),
    /// Not all of them, or not by an interrupt.
    Short,
}

impl Reached {
    /// What two flushes have proved, the second after the first.
    pub fn and(self, later: Reached) -> Self {
        match (self, later) {
            (Reached::Mm(_), Reached::Mm(_)) => later,
            _ => Reached::Short,
        }
    }

    /// Whether it was every CPU that may have been walking the mm.
    pub fn is_mm(self) -> bool {
        matches!(self, Reached::Mm(_))
    }
}
