//! Values that have names: help lists them, and completion offers them, also after a comma.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command, Error};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

/// What reads a value, and the names that it knows.
#[derive(Clone)]
pub struct Named<F> {
    /// The names.
    pub names: Vec<&'static str>,
    /// Reads a text.
    pub read: F,
}

impl<F, T> TypedValueParser for Named<F>
where
    F: Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        self.read.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let names = self.names.iter().map(|name| PossibleValue::new(*name));
        (!self.names.is_empty()).then(|| Box::new(names) as _)
    }
}

/// Completes the last name of a list.
pub fn in_list(names: Vec<&'static str>) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| continued(&names, &current.to_string_lossy()))
}

fn continued(names: &[&str], current: &str) -> Vec<CompletionCandidate> {
    let (before, begun) = current.split_at(current.rfind(',').map_or(0, |comma| comma + 1));
    let is_new = |name: &&&str| !before.split(',').any(|named| named == **name);
    let fits = names.iter().filter(|name| name.starts_with(begun)).filter(is_new);
    fits.map(|name| CompletionCandidate::new(format!("{before}{name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_name_of_a_list_is_completed_and_none_is_offered_twice() {
        let offers = |current| -> Vec<_> {
            let candidates = continued(&["broadcast", "pending", "property"], current);
            candidates.iter().map(|candidate| candidate.get_value().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(offers("p"), ["pending", "property"]);
        assert_eq!(offers("pending,"), ["pending,broadcast", "pending,property"]);
        assert_eq!(offers("broadcast,pe"), ["broadcast,pending"]);
    }
}
