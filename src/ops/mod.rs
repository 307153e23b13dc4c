//! What is done to page tables: one file for each operation.
//!
//! An operation is a chain of steps, each of which may run on another CPU than the one before: tasks migrate. No step
//! waits for a step of another operation; it says [`Step::Wait`] and is tried again. So two operations may be
//! interleaved in any way, by one CPU or by two.
//!
//! A new operation is a new file here and a line in `operations!`, below.

pub mod collapse;
pub mod deferred;
pub mod protect;
pub mod unmap;
pub mod unshare;

use crate::machine::Machine;
use crate::mm::{Mm, MmId};
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

    /// Does one step. The tables of the range belong to the caller, who holds what Linux calls `mmap_lock`.
    fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>, mm: &Mm) -> Step<Self>;
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $type:ty),+ $(,)?) => {
        /// Any operation, with the mm that it works on.
        pub struct Job {
            /// The mm.
            pub mm: MmId,
            /// The operation.
            pub op: Any,
        }

        /// Any operation.
        pub enum Any { $($(#[$doc])* $name($type)),+ }

        /// How it ended.
        pub enum Ended { $($(#[$doc])* $name(<$type as Operation>::Outcome)),+ }

        impl Job {
            /// Does one step.
            pub fn step<P: Policy, M: Machine>(self, cpu: &mut Cpu<'_, M>) -> Stepped {
                let mm = self.mm;
                match self.op {
                    $(Any::$name(op) => match op.step::<P, M>(cpu, cpu.world().mm(mm)) {
                        Step::Next(op) => Stepped::Next(Job { mm, op: Any::$name(op) }),
                        Step::Wait(op) => Stepped::Wait(Job { mm, op: Any::$name(op) }),
                        Step::Done(outcome) => Stepped::Done(Ended::$name(outcome)),
                    }),+
                }
            }
        }

        $(impl From<$type> for Any {
            fn from(op: $type) -> Self {
                Any::$name(op)
            }
        })+
    };
}

operations! {
    /// A PTE table gives way to a huge entry.
    Collapse = collapse::Collapse,
    /// Pages lose the right to be written.
    Protect = protect::Protect,
    /// Pages and tables go.
    Unmap = unmap::Unmap,
    /// A sharer leaves shared tables.
    Leave = unshare::Leave,
    /// The last sharer takes shared tables for itself.
    Survive = unshare::Survive,
    /// An mm begins to share tables.
    Join = unshare::Join,
}

/// What a step of any operation has led to: as [`Step`].
pub enum Stepped {
    /// There is more to do.
    Next(Job),
    /// Nothing was done.
    Wait(Job),
    /// It is over.
    Done(Ended),
}
