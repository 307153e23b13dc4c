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
