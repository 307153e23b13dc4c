//! Not flushing: a caller of sync that comes without the flush that is expected to precede it.
//!
//! # Guarantee
//!
//! None: translations stay where they are, and no CPU is interrupted. What a policy makes of that is the question. One that
//! concludes from the *kind* of the machine's flushes that a flush has interrupted every walker is wrong here.

use crate::config::FreedTables;
use crate::flush::reached::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::types::Range;
use crate::world::Cpu;

/// Does nothing.
pub(crate) fn flush<M: Machine>(_: &mut Cpu<'_, M>, _: &Mm, _: Range, _: FreedTables, _: u64) -> Reached {
    Reached::Short
}
