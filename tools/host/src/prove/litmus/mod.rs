//! `prove --litmus`: the protocol in litmus tests, under five memory models, by herd7.
//!
//! `tests/litmus` holds the tests, in Linux's C, each with its twins (`file.rs`). The same source is translated for C11,
//! Armv8, RISC-V and x86 (`model.rs`). A test holds if what must not come out does not, and there is no data race; a twin
//! fails under the models that the head of its test names, and under no other.

mod asm;
mod c11;
mod code;
mod file;
mod folder;
mod herd;
mod klitmus;
pub(super) mod model;
pub(super) mod needed;
mod report;
mod tokens;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use crate::args::ProveArgs;
use crate::ending::Ending;
use crate::say;
use file::Variant;
use folder::{files, in_file, write};
use herd::{Herd, Outcome};
use model::Model;
use report::Verdict;

/// So many tests are given to herd7 at once: few enough that two runs of it end at about the same time.
const AT_ONCE: usize = 16;
/// So many runs of herd7 at once.
const WORKERS: usize = 2;

/// What is needed for it: where it is, or how to get it.
pub fn tools() -> String {
    Herd::find().and_then(|herd| herd.version()).unwrap_or_else(|missing| missing.to_string())
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
    let (version, since) = (herd.version()?, Instant::now());
    let verdicts = match all(&herd, &variants) {
        Ok(verdicts) => verdicts,
        Err(error) => {
            say::err(format_args!("error: {error:#}"));
            return Ok(Ending::Broken);
        }
    };
    if args.models || args.filter.is_some() {
        say::out(report::tests(&verdicts));
    } else {
        say::out(report::orderings(&needed::rows(&files)?));
    }
    let seconds = since.elapsed().as_secs_f64();
    say::out(format_args!("{}; {version}, {seconds:.0} s", report::summary(&variants, &verdicts)));
    let bad: Vec<_> = verdicts.iter().filter(|verdict| !verdict.is_good()).collect();
    bad.iter().for_each(|verdict| say::out(report::fault(verdict)));
    Ok(Ending::of(bad.is_empty()))
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
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker has panicked"))?)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::artifacts::Tree;

    #[test]
    fn litmus_tests_name_what_is_there_and_can_be_said_under_every_model() {
        let root = Tree::own().root;
        for file in files().unwrap_or_else(|error| panic!("{error:#}")) {
            for (path, function) in &file.places {
                let text = fs::read_to_string(root.join(path)).unwrap_or_default();
                let is_there =
                    text.contains(&format!("fn {function}(")) || text.contains(&format!("fn {function}<"));
                assert!(is_there, "{}: {path} has no function `{function}`", file.name);
            }
            for model in Model::ALL {
                let fails = |variant: &&Variant| variant.fails_under.contains(&model);
                let is_real =
                    fails(&&file.variants[0]) || file.variants.iter().skip(1).any(|twin| fails(&twin));
                assert!(
                    is_real,
                    "{}: no twin fails under {}, so what it says may be empty",
                    file.name,
                    model.name()
                );
                for variant in &file.variants {
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

    #[test]
    fn the_proof_names_twins_that_are_there() {
        let files = files().unwrap_or_else(|error| panic!("{error:#}"));
        let twins: Vec<_> = files.iter().flat_map(|file| &file.variants).map(|variant| &variant.name).collect();
        let text = fs::read_to_string(Tree::own().root.join("src/proof.rs")).expect("it is there");
        let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let is_twin = |word: &&str| {
            word.contains('/') && !word.contains(' ') && !word.starts_with("tests/") && !word.ends_with('/')
        };
        let named: Vec<_> = quoted.filter(is_twin).collect();
        assert!(named.len() > 5, "{named:?}");
        for name in named {
            assert!(twins.iter().any(|twin| *twin == name), "src/proof.rs: no twin is called {name}");
        }
    }
}
