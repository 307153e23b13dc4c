//! What an operation is: a chain of steps, each of which may run on another CPU than the one before, because tasks migrate.
//!
//! No step waits for a step of another operation; it says [`Step::Wait`] and is tried again. So two operations may be
//! interleaved in any way, by one CPU or by two. (A step may wait for an mm's PTE lock, which no step keeps at its end.)

use crate::machine::Machine;
use crate::mm::Mm;
use crate::policy::Policy;
use crate::world::Cpu;

/// What a step has led to.
pub enum Step<O: Operation> {
    /// There is more to do.
    Next(O),
    /// Nothing was done: another operation has to get on first.
    Wait(O),
    /// It is over.
    Done(O::Outcome),
}

/// An operation between two of its steps.
pub trait Operation: Sized {
    /// How it ended.
    type Outcome;

    /// Does one step. The tables of the range belong to the caller, which holds what Linux calls `mmap_lock`; reclaim holds less
    /// ([`crate::ops::reclaim`]).
    fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self>;
}
