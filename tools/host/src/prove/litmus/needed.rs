//! Under which models each ordering of `src/` is needed: what `tests/orderings.txt` says of litmus tests.
//!
//! Behind the model that fails without an ordering, a line of that list names the twin that lacks it, or says why no litmus
//! test can show it:
//!
//! ```text
//! src/a.rs look load Acquire -> Relaxed: loom reuse::a | litmus switch-joins/look-relaxed
//! src/b.rs record store Release -> Relaxed: equivalent, figures | no litmus: figures are no protocol
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fs;

use anyhow::{Context, Result, bail, ensure};

use super::file::{File, Variant};
use super::folder;
use super::model::Model;
use crate::artifacts::Tree;
use crate::prove::orderings;
use crate::prove::sites::{self, Site};

/// What is known of a weakening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By this twin, which fails under these models.
    By(String, Vec<Model>),
    /// No test can show it, for this reason.
    Not(String),
}

/// What is known of weakenings, by what a checker is told of each.
pub type Needed = HashMap<String, Shown>;

/// All that is known, for the table.
///
/// # Errors
///
/// As [`rows`].
pub fn by_site() -> Result<Needed> {
    let mut rows = rows(&folder::files()?)?;
    let weakenings = sites::weakenings()?.into_iter();
    Ok(weakenings.filter_map(|one| Some((one.site, rows.remove(&one.name)?))).collect())
}

/// For the columns: under which models the ordering, or the half of it that is called `name`, is needed (`x`); `~` is a fence
/// that could be weaker, `-` what no litmus test can show.
pub fn cells(site: &Site, name: &str, needed: &Needed) -> [&'static str; Model::ALL.len()] {
    let shown = |to: &str| match needed.get(&site.weakened_to(to)) {
        Some(Shown::By(_, models)) => Some(models.clone()),
        _ => None,
    };
    // What fails, and what fails only if more is taken away.
    let (fails, fails_without) = match (site.is_fence(), site.ordering.as_str(), name) {
        (true, ..) => (shown("AcqRel"), shown("Relaxed")),
        (false, "AcqRel", "Acquire") => (shown("Release"), None),
        (false, "AcqRel", "Release") => (shown("Acquire"), None),
        (false, "AcqRel", _) => {
            let halves = [shown("Acquire"), shown("Release")];
            (halves.iter().any(Option::is_some).then(|| halves.into_iter().flatten().flatten().collect()), None)
        }
        _ => (shown("Relaxed"), None),
    };
    let Some(fails) = fails else { return ["-"; Model::ALL.len()] };
    Model::ALL.map(|model| match (fails.contains(&model), &fails_without) {
        (true, _) => "x",
        (false, Some(models)) if models.contains(&model) => "~",
        (false, _) => " ",
    })
}

/// Each weakening by its name.
///
/// # Errors
///
/// A line that names neither, or a twin that is not there or is about something else.
pub fn rows(files: &[File]) -> Result<BTreeMap<String, Shown>> {
    let text = fs::read_to_string(Tree::own().root.join(orderings::LIST))?;
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| row(line, files).with_context(|| format!("{}: `{line}`", orderings::LIST)))
        .collect()
}

fn row(line: &str, files: &[File]) -> Result<(String, Shown)> {
    let (name, rest) = line.split_once(": ").context("has no `: `")?;
    let (model, litmus) = rest.split_once(" | ").context("says nothing of a litmus test")?;
    if let Some(why) = litmus.strip_prefix("no litmus: ") {
        return Ok((name.to_owned(), Shown::Not(why.to_owned())));
    }
    let Some(twin) = litmus.strip_prefix("litmus ") else {
        bail!("is neither `| litmus TEST/TWIN` nor `| no litmus: REASON`")
    };
    let of_twin = |file: &File| {
        let variant = file.variants.iter().skip(1).find(|variant| variant.name == twin)?;
        Some((file.clone(), variant.clone()))
    };
    let (file, variant): (File, Variant) =
        files.iter().find_map(of_twin).with_context(|| format!("no twin is called {twin}"))?;
    let mut words = name.split(' ');
    let place = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_about = file.places.iter().any(|(file, function)| (file.as_str(), function.as_str()) == place);
    ensure!(is_about, "{} does not say that it stands for {} {}", file.name, place.0, place.1);
    let is_equivalent = model.starts_with("equivalent,");
    ensure!(variant.is_negative || is_equivalent, "{twin} fails under no model, and so shows nothing");
    Ok((name.to_owned(), Shown::By(twin.to_owned(), variant.fails_under)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_names_no_litmus_test_and_no_reason_is_a_fault() {
        let files = folder::files().expect("they are right");
        let said = |line: &str| {
            row(line, &files).map_or_else(|error| error.to_string(), |(_, shown)| format!("{shown:?}"))
        };
        let name = "src/policy/targeted.rs walks load Acquire -> Relaxed: loom targeted::a_tracked_walker";
        let of = |litmus: &str| said(&format!("{name}{litmus}"));
        assert_eq!(
            of(" | litmus tracker-ends/look-relaxed"),
            "By(\"tracker-ends/look-relaxed\", [Lkmm, Rc11])"
        );
        assert_eq!(of(" | no litmus: as a test"), "Not(\"as a test\")");
        assert_eq!(of(""), "says nothing of a litmus test");
        assert_eq!(of(" | later"), "is neither `| litmus TEST/TWIN` nor `| no litmus: REASON`");
        assert_eq!(of(" | litmus tracker-ends/gone"), "no twin is called tracker-ends/gone");
        assert_eq!(of(" | litmus tracker-ends"), "no twin is called tracker-ends");
        let other = " does not say that it stands for src/policy/targeted.rs walks";
        assert_eq!(of(" | litmus switch-joins/f3-gone"), format!("switch-joins{other}"));
        let none = "round-that-misses/ticket-relaxed fails under no model, and so shows nothing";
        let ticket = "src/pending_gup_sync.rs unlink fetch_add Release -> Relaxed: loom reuse::two_walkers";
        assert_eq!(said(&format!("{ticket} | litmus round-that-misses/ticket-relaxed")), none);
    }
}
