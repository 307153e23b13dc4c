//! Types of settings: how each is read, written, and kept in a row.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::choice::{Backend, Fail, Flush, Kind, Mutator, Toggle, UnshareFlush, Workload};
use crate::text::{Every, List, Maybe, OrMixed, OrNone, PolicyName};

/// What a row is about: it decides what the row keeps of some settings.
#[derive(Clone, Copy, Debug)]
pub struct About<'s> {
    /// What is done.
    pub workload: Workload,
    /// The operations that the workload does.
    pub kinds: &'s [Kind],
    /// Whether INVLPGB is used.
    pub invlpgb: Toggle,
    /// The policy.
    pub policy: PolicyName,
}

/// The type of a setting. What `Display` writes, [`read`](Value::read) reads.
pub trait Value: fmt::Display + Sized {
    /// What a row keeps of it.
    type InRow: fmt::Display;
    /// What stands between a setting of this type and its value in the title of a table.
    const JOIN: &'static str;

    /// What can be given, in the form that help uses: `off|on`, `N`.
    fn form() -> String;

    /// Reads it.
    ///
    /// # Errors
    ///
    /// One line that names the input and the remedy.
    fn read(text: &str) -> Result<Self, String>;

    /// What the row keeps of it.
    fn in_row(&self, about: &About<'_>) -> Self::InRow;
}

/// A type a line: its form, its join, how it is read, and what a row keeps.
macro_rules! values {
    ($([$($generics:tt)*] $type:ty: $form:expr, $join:expr, $read:path, $in_row:ty = $keep:expr;)+) => {$(
        impl<$($generics)*> Value for $type {
            type InRow = $in_row;
            const JOIN: &'static str = $join;

            fn form() -> String {
                $form
            }

            fn read(text: &str) -> Result<Self, String> {
                $read(text)
            }

            fn in_row(&self, about: &About<'_>) -> Self::InRow {
                let keep: fn(&Self, &About<'_>) -> Self::InRow = $keep;
                keep(self, about)
            }
        }
    )+};
}

values! {
    [] u64: "N".to_owned(), " ", number, Self = |value, _| *value;
    [] usize: "N".to_owned(), " ", number, Self = |value, _| *value;
    [] Workload: Workload::NAMES.join("|"), "=", str::parse, Self = |value, _| *value;
    [] Toggle: Toggle::NAMES.join("|"), "=", str::parse, Self = |value, _| *value;
    [] Mutator: Mutator::NAMES.join("|"), "=", str::parse, Self = |value, _| *value;
    [] UnshareFlush: UnshareFlush::NAMES.join("|"), "=", str::parse, Self = |value, _| *value;
    [] Fail: Fail::NAMES.join("|"), "=", str::parse, Self = |value, _| *value;
    [] Every: "every:N".to_owned(), " ", str::parse, Self = |value, _| *value;
    [T: Value + Copy + FromStr<Err = String>] Maybe<T>:
        format!("off|{}", T::form()), T::JOIN, str::parse, Self = |value, _| *value;
    // A row without INVLPGB has no backend.
    [] Backend: Backend::NAMES.join("|"), "=", str::parse, OrNone<Backend> =
        |value, about| OrNone(about.invlpgb.is_on().then_some(*value));
    // The mms of `mixed` are flushed in different ways, whatever was given.
    [] Flush: Flush::NAMES.join("|"), "=", str::parse, OrMixed<Flush> =
        |value, about| OrMixed((about.workload != Workload::Mixed).then_some(*value));
    // A row is about one policy.
    [] List<PolicyName>: "p,p,...".to_owned(), "=", str::parse, PolicyName = |_, about| about.policy;
    // A row has the operations that its workload does.
    [] List<Kind>: "op,op,...".to_owned(), "=", str::parse, Self = |_, about| List(about.kinds.to_vec());
}

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number that fits"))
}
