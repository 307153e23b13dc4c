//! Under which models each ordering of `src/` is needed: what `tests/orderings.txt` says of litmus tests.
//!
//! Behind the model that fails without an ordering, a line of that list names the twin that lacks it, or says why no litmus
//! test can show it:
//!
//! ```text
//! src/a.rs look load Acquire -> Relaxed: loom reuse::a | litmus switch-joins/look-relaxed
//! src/b.rs record store Release -> Relaxed: equivalent, figures | no litmus: figures are no protocol
//! ```

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail, ensure};

use super::file::{File, Variant};
use super::model::Model;
use crate::artifacts::Tree;
use crate::prove::orderings;

/// What is known of a weakening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By this twin, which fails under these models.
    By(String, Vec<Model>),
    /// No test can show it, for this reason.
    Not(String),
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
    ensure!(
        variant.is_negative || is_equivalent,
        "{twin} fails under no model, and so shows nothing"
    );
    Ok((name.to_owned(), Shown::By(twin.to_owned(), variant.fails_under)))
}
