//! The result: one row, the same whatever machine produced it. Its fields are in the tables of
//! [`settings`](crate::settings) and [`counts`](crate::counts).

pub use crate::choice::{MmName, Status};
pub use crate::counts::Counts;
pub use crate::settings::Row;
use crate::spec::Spec;
use crate::text::PolicyName;

impl Row {
    /// A row that says what was run and how it ended, and nothing more.
    pub fn new(spec: &Spec, policy: PolicyName, mm: MmName, cpus: usize, status: Status) -> Self {
        Row::of(spec, &spec.about(policy), mm, cpus, status)
    }

    /// A row of all mms that says what was run and how it ended, and nothing more.
    pub fn without_counts(spec: &Spec, policy: PolicyName, cpus: usize, status: Status) -> Self {
        Row::new(spec, policy, MmName::Total, cpus, status)
    }

    /// Whether all that was asked is the same as for `other`, whatever came out.
    pub fn asks_the_same(&self, other: &Row) -> bool {
        (self.mm, self.cpus) == (other.mm, other.cpus) && self.settings() == other.settings()
    }
}
