//! Types of settings: how each is read, written, and kept in a row.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use gupsync::policy;

use crate::choice::{
    Backend, Between, Fail, Flush, Kind, Mutator, Sample, Sender, Toggle, UnlazyFence, UnshareFlush, Workload,
};
use crate::text::{Every, List, Maybe, OrMixed, OrNone, PolicyName, Subject};

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

    /// The names of its values, or of those in a list of them; none if they are numbers.
    fn names() -> Vec<&'static str>;

    /// Reads it.
    ///
    /// # Errors
    ///
    /// One line that names the input and the remedy.
    fn read(text: &str) -> Result<Self, String>;

    /// What the row keeps of it.
    fn in_row(&self, about: &About<'_>) -> Self::InRow;
}

/// A type a line: its form, its names, its join, how it is read, and what a row keeps.
macro_rules! values {
    ($([$($generics:tt)*] $type:ty: $form:expr, $names:expr, $join:expr, $read:path, $in_row:ty = $keep:expr;)+) => {$(
        impl<$($generics)*> Value for $type {
            type InRow = $in_row;
            const JOIN: &'static str = $join;

            fn form() -> String {
                $form
            }

            fn names() -> Vec<&'static str> {
                $names
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
    [] u64: "N".to_owned(), Vec::new(), " ", number, Self = |value, _| *value;
    [] usize: "N".to_owned(), Vec::new(), " ", number, Self = |value, _| *value;
    [] Workload: Workload::NAMES.join("|"), Workload::NAMES.to_vec(), "=", str::parse, Self = |value, _| *value;
    [] Toggle: Toggle::NAMES.join("|"), Toggle::NAMES.to_vec(), "=", str::parse, Self = |value, _| *value;
    [] Mutator: Mutator::NAMES.join("|"), Mutator::NAMES.to_vec(), "=", str::parse, Self = |value, _| *value;
    [] UnlazyFence: UnlazyFence::NAMES.join("|"), UnlazyFence::NAMES.to_vec(), "=", str::parse, Self = |value, _| *value;
    [] UnshareFlush: UnshareFlush::NAMES.join("|"), UnshareFlush::NAMES.to_vec(), "=", str::parse, Self = |value, _| *value;
    [] Between: Between::NAMES.join("|"), Between::NAMES.to_vec(), "=", str::parse, Self = |value, _| *value;
    [] Sample: Sample::NAMES.join("|"), Sample::NAMES.to_vec(), "=", str::parse, Self = |value, _| *value;
    [] Sender: Sender::NAMES.join("|"), Sender::NAMES.to_vec(), "=", str::parse, Self = |value, _| *value;
    [] Fail: Fail::NAMES.join("|"), Fail::NAMES.to_vec(), "=", str::parse, Self = |value, _| *value;
    [] Every: "every:N".to_owned(), Vec::new(), " ", str::parse, Self = |value, _| *value;
    [T: Value + Copy + FromStr<Err = String>] Maybe<T>:
        format!("off|{}", T::form()), or_off(T::names()), T::JOIN, str::parse, Self = |value, _| *value;
    // A row without INVLPGB has no backend.
    [] Backend: Backend::NAMES.join("|"), Backend::NAMES.to_vec(), "=", str::parse, OrNone<Backend> =
        |value, about| OrNone(about.invlpgb.is_on().then_some(*value));
    // The mms of `mixed` are flushed in different ways, whatever was given.
    [] Flush: Flush::NAMES.join("|"), Flush::NAMES.to_vec(), "=", str::parse, OrMixed<Flush> =
        |value, about| OrMixed((about.workload != Workload::Mixed).then_some(*value));
    // A row is about one policy, or about none.
    [] List<PolicyName>: "p,p,...".to_owned(), policy::NAMES.to_vec(), "=", str::parse, Subject =
        |_, about| Subject::Policy(about.policy);
    // A row has the operations that its workload does.
    [] List<Kind>: "op,op,...".to_owned(), Kind::NAMES.to_vec(), "=", str::parse, Self = |_, about| List(about.kinds.to_vec());
}

/// `off`, and other names if there are some.
fn or_off(mut names: Vec<&'static str>) -> Vec<&'static str> {
    if !names.is_empty() {
        names.insert(0, "off");
    }
    names
}

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number that fits"))
}
