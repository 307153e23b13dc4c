//! Collapse of several ranges under one lock: each is unlinked and flushed in turn, and their tickets are redeemed together.
//!
//! One sync serves all of them; none is due where another sender's interrupts have covered the last of them. A flag that is
//! carried to the sync can do the same, if it is true of every flush: so every policy is asked once, for all.

use alloc::vec::Vec;

use crate::flush::Reached;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::ops::collapse::{Collapse, Outcome, Range2M};
use crate::ops::operation::{Operation, Step};
use crate::policy::{self, Policy, Unlinked};
use crate::types::{Frame, VirtAddr};
use crate::world::Cpu;

/// A collapse of several ranges between two of its steps.
pub enum CollapseSeveral {
    /// Ranges are being unlinked and flushed: those to come, the one at hand, and those that are.
    Unlinking(Vec<Collapse>, Option<Collapse>, Vec<Flushed>),
    /// All are synced, and are copied one by one: those to come, the one at hand, and how the others ended.
    Copying(Vec<Collapse>, Option<Collapse>, Vec<Outcome>),
}

/// A range that no CPU uses a translation of.
pub struct Flushed {
    at: Range2M,
    unlinked: Unlinked<Frame>,
    reached: Reached,
}

impl CollapseSeveral {
    /// Collapses each of `ranges`, an address and the huge frame that it will live in, in this order.
    pub fn new(ranges: impl DoubleEndedIterator<Item = (VirtAddr, Frame)>) -> Self {
        let ready = ranges.rev().map(|(va, huge)| Collapse::Ready { va, huge }).collect();
        CollapseSeveral::Unlinking(ready, None, Vec::new())
    }

    /// Whether nothing has been done yet.
    pub fn is_ready(&self) -> bool {
        matches!(self, CollapseSeveral::Unlinking(_, None, flushed) if flushed.is_empty())
    }
}

impl Operation for CollapseSeveral {
    /// How each ended, in order.
    type Outcome = Vec<Outcome>;

    fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self> {
        Step::Next(match self {
            CollapseSeveral::Unlinking(mut ready, at_hand, mut flushed) => {
                let Some(collapse) = at_hand.or_else(|| ready.pop()) else {
                    return Step::Next(sync::<P, M>(cpu, mm, flushed));
                };
                let at_hand = match collapse.step::<P, M>(cpu, mm) {
                    Step::Next(Collapse::Flushed(at, unlinked, reached)) => {
                        flushed.push(Flushed { at, unlinked, reached });
                        None
                    }
                    Step::Next(next) => Some(next),
                    Step::Wait(_) | Step::Done(_) => unreachable!("a collapse flushes before it ends"),
                };
                CollapseSeveral::Unlinking(ready, at_hand, flushed)
            }
            CollapseSeveral::Copying(mut synced, at_hand, mut ended) => {
                let Some(collapse) = at_hand.or_else(|| synced.pop()) else { return Step::Done(ended) };
                let at_hand = match collapse.step::<P, M>(cpu, mm) {
                    Step::Next(next) => Some(next),
                    Step::Done(outcome) => {
                        ended.push(outcome);
                        None
                    }
                    Step::Wait(_) => unreachable!("a collapse does not wait"),
                };
                CollapseSeveral::Copying(synced, at_hand, ended)
            }
        })
    }
}

/// One sync for all.
fn sync<P: Policy, M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, flushed: Vec<Flushed>) -> CollapseSeveral {
    let reached = flushed.iter().map(|range| range.reached).reduce(Reached::and).expect("there is one");
    let ranges: Vec<_> = flushed.iter().map(|range| range.at).collect();
    let unlinked = Unlinked::join(flushed.into_iter().map(|range| range.unlinked));
    let tables = policy::sync::<P, M, _>(cpu, mm, unlinked, reached);
    let synced = ranges.into_iter().zip(tables).rev().map(|(at, table)| Collapse::Synced(at, table));
    CollapseSeveral::Copying(synced.collect(), None, Vec::new())
}
