//! `prove --litmus`: the protocol in litmus tests, under five memory models, by herd7.
//!
//! `tests/litmus` holds the tests, in Linux's C, each with its twins ([`file`]). The same source is translated for C11,
//! Armv8, RISC-V and x86 ([`model`]). A test holds if what must not come out does not, and there is no data race; a twin
//! fails under the models that the head of its test names, and under no other.

mod asm;
mod c11;
mod code;
mod file;
mod herd;
mod klitmus;
mod model;
mod needed;
mod report;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use crate::args::ProveArgs;
use crate::artifacts::Tree;
use crate::ending::Ending;
use crate::say;
use file::{File, Variant};
use herd::{Herd, Outcome};
use model::Model;

/// Where the tests are.
const FOLDER: &str = "tests/litmus";
/// So many tests are given to herd7 at once: few enough that two runs of it end at about the same time.
const AT_ONCE: usize = 16;
/// So many runs of herd7 at once.
const WORKERS: usize = 2;

/// All tests, by name.
fn files() -> Result<Vec<File>> {
    let folder = Tree::own().root.join(FOLDER);
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "litmus"));
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).context("has no name")?;
        File::read(name, &fs::read_to_string(path)?)
    };
    paths.iter().map(read).collect()
}

/// A test under a model, and what came out.
struct Verdict {
    variant: String,
    model: Model,
    is_expected_to_fail: bool,
    outcome: Outcome,
}

impl Verdict {
    /// Whether it fails.
    fn fails(&self) -> bool {
        self.outcome.is_found || self.outcome.is_race
    }

    /// Whether it is as the head of the test says.
    fn is_good(&self) -> bool {
        self.fails() == self.is_expected_to_fail
    }
}

/// Runs all tests that the arguments ask for, or writes them as sources of kernel modules.
///
/// # Errors
///
/// If a test is not right, or could not be run.
pub fn run(args: &ProveArgs) -> Result<Ending> {
    let files = files()?;
    let filter = args.filter.as_deref().unwrap_or_default();
    let variants: Vec<_> =
        files.iter().flat_map(|file| &file.variants).filter(|variant| variant.name.contains(filter)).collect();
    ensure!(!variants.is_empty(), "no litmus test has `{filter}` in its name");
    if let Some(folder) = &args.modules {
        return klitmus::write(&variants, folder).map(|()| Ending::AsPromised);
    }
    let herd = match Herd::find() {
        Ok(herd) => herd,
        Err(missing) => {
            say::out(format_args!("litmus tests: skipped, {missing}"));
            return Ok(Ending::NotRun);
        }
    };
    let since = Instant::now();
    let verdicts = all(&herd, &variants)?;
    if args.models {
        say::out(report::tests(&verdicts));
    } else {
        say::out(report::orderings(&needed::rows(&files)?));
    }
    say::out(format_args!("{}; {}, {:.0} s", report::summary(&variants, &verdicts), herd.version()?, since.elapsed().as_secs_f64()));
    let bad: Vec<_> = verdicts.iter().filter(|verdict| !verdict.is_good()).collect();
    bad.iter().for_each(|verdict| say::out(report::fault(verdict)));
    Ok(Ending::of(bad.is_empty()))
}

/// Writes every variant in the language of each model, a folder for each: the files.
fn write(variants: &[&Variant], folder: &Path) -> Result<Vec<(Model, Vec<PathBuf>)>> {
    let of_model = |model: Model| {
        let folder = folder.join(model.name());
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let of_variant = |variant: &&Variant| {
            let text = model.translate(&variant.name, &variant.text, &variant.program);
            let path = folder.join(format!("{}.litmus", in_file(&variant.name)));
            fs::write(&path, text.with_context(|| format!("{} under {}", variant.name, model.name()))?)?;
            Ok(path)
        };
        Ok((model, variants.iter().map(of_variant).collect::<Result<_>>()?))
    };
    Model::ALL.into_iter().map(of_model).collect()
}

/// Every variant under every model.
fn all(herd: &Herd, variants: &[&Variant]) -> Result<Vec<Verdict>> {
    let work = tempfile::tempdir()?;
    let written = write(variants, work.path())?;
    let in_batches = |(model, paths): &(Model, Vec<PathBuf>)| {
        paths.chunks(AT_ONCE).map(|paths| (*model, paths.to_vec())).collect::<Vec<_>>()
    };
    let batches: Vec<_> = written.iter().flat_map(in_batches).collect();
    let next = AtomicUsize::new(0);
    let found: Mutex<HashMap<(Model, String), Outcome>> = Mutex::default();
    thread::scope(|scope| {
        let worker = || -> Result<()> {
            while let Some((model, paths)) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcomes = herd.run(*model, paths)?;
                let mut found = found.lock().map_err(|_| anyhow!("a worker has panicked"))?;
                found.extend(outcomes.into_iter().map(|(name, outcome)| ((*model, name), outcome)));
            }
            Ok(())
        };
        let workers = [(); WORKERS].map(|()| scope.spawn(worker));
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker has panicked"))?)
    })?;
    let found = found.into_inner().map_err(|_| anyhow!("a worker has panicked"))?;
    let verdict = |variant: &Variant, model: Model| {
        let outcome = found.get(&(model, in_file(&variant.name)));
        let outcome = *outcome.with_context(|| format!("herd7 says nothing of {}", variant.name))?;
        let is_expected_to_fail = variant.fails_under.contains(&model);
        Ok(Verdict { variant: variant.name.clone(), model, is_expected_to_fail, outcome })
    };
    variants.iter().flat_map(|variant| Model::ALL.map(|model| verdict(variant, model))).collect()
}

/// The name of a variant, as a file and as herd7 have it.
fn in_file(name: &str) -> String {
    name.replace('/', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn litmus_tests_name_what_is_there_and_can_be_said_under_every_model() {
        let root = Tree::own().root;
        for file in files().unwrap_or_else(|error| panic!("{error:#}")) {
            for (path, function) in &file.places {
                let text = fs::read_to_string(root.join(path)).unwrap_or_default();
                let is_there = text.contains(&format!("fn {function}("))
                    || text.contains(&format!("fn {function}<"));
                assert!(is_there, "{}: {path} has no function `{function}`", file.name);
            }
            for variant in &file.variants {
                for model in Model::ALL {
                    let text = model.translate(&variant.name, &variant.text, &variant.program);
                    assert!(text.is_ok(), "{} under {}: {text:?}", variant.name, model.name());
                }
            }
        }
    }

    #[test]
    fn each_ordering_names_the_litmus_test_that_shows_it_or_why_none_can() {
        let rows = needed::rows(&files().unwrap()).unwrap_or_else(|error| panic!("{error:#}"));
        let weakenings = super::super::sites::weakenings().unwrap();
        for weakening in weakenings {
            assert!(rows.contains_key(&weakening.name), "tests/orderings.txt lacks `{}`", weakening.name);
        }
    }
}
