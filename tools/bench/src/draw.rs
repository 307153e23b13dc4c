//! How `stress` draws settings: rules, as data. The random numbers are the host's.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// How a setting is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule<T> {
    /// One of these, each as likely.
    OneOf(Vec<T>),
    /// One of these in a third of the draws, else the default: a scenario in which every setting is unusual hides
    /// what matters.
    Sometimes(Vec<T>),
    /// The default, until the host has drawn the other settings and gives it a value that goes with them.
    Beside,
}

/// What draws.
pub trait Draws {
    /// A value that `rule` allows. `usual` is the default.
    fn draw<T: Clone>(&mut self, rule: Rule<T>, usual: T) -> T;
}

/// [`Rule::OneOf`].
pub(crate) fn one_of<T: Clone>(values: impl AsRef<[T]>) -> Rule<T> {
    Rule::OneOf(values.as_ref().to_vec())
}

/// [`Rule::OneOf`] the numbers of a range.
pub(crate) fn among<T>(range: RangeInclusive<T>) -> Rule<T>
where
    RangeInclusive<T>: Iterator<Item = T>,
{
    Rule::OneOf(range.collect())
}

/// [`Rule::Sometimes`].
pub(crate) fn sometimes<T: Clone>(values: impl AsRef<[T]>) -> Rule<T> {
    Rule::Sometimes(values.as_ref().to_vec())
}

/// [`Rule::Beside`].
pub(crate) fn beside<T>() -> Rule<T> {
    Rule::Beside
}
