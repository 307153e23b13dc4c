//! What is done to page tables: one file for each operation.
//!
//! A new operation is a new file here, a `mod` line and a line in `operations!`, below.

pub mod operation;

pub mod deferred;

pub mod collapse;
pub mod collapse_several;
pub mod exit;
pub mod mthp;
pub mod protect;
pub mod reclaim;
pub mod unmap;
pub mod unshare;

pub use operation::{Operation, Step};

use crate::machine::Machine;
use crate::policy::Policy;
use crate::types::MmId;
use crate::world::Cpu;

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
    /// Several PTE tables give way, with one sync.
    CollapseSeveral = collapse_several::CollapseSeveral,
    /// The candidates of a PTE table become mTHPs.
    Mthp = mthp::Mthp,
    /// Pages lose the right to be written.
    Protect = protect::Protect,
    /// Pages of several mms go, with one flush.
    Reclaim = reclaim::Reclaim,
    /// Pages and tables go.
    Unmap = unmap::Unmap,
    /// A sharer leaves shared tables.
    Leave = unshare::Leave,
    /// The last sharer takes shared tables for itself.
    Survive = unshare::Survive,
    /// An mm begins to share tables.
    Join = unshare::Join,
    /// The upper tables of a part of an mm go.
    Exit = exit::Exit,
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
