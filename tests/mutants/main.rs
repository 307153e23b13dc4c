//! Every mistake that the kernel's own detectors must catch, in 20 of 20 runs; every one whose rows the verdict must refuse,
//! or `diff` tell from those without it; and every one that a test on the host must catch.
//!
//! What a mutant is, and how it is made, is said in [`gupsync_host::mutants`]; those for the model checkers are run by
//! `tools/gupsync prove`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use gupsync_bench::row::Status;
use gupsync_bench::{Row, Spec};
use gupsync_host::artifacts::Tree;
use gupsync_host::diff;
use gupsync_host::mutants::{self, Mutant};
use gupsync_host::qemu::Accel;
use gupsync_host::schema::booted::Kernel;
use libtest_mimic::{Arguments, Failed, Trial};

/// So many mutants are made and run at a time. Each place has a tree and a target folder of its own, which its next mutant
/// takes over: cargo tells what has changed by time stamps, so a tree is never built beside one that is being changed.
const PLACES: usize = 2;

/// Detectors must catch a mutant in every one of so many runs.
const RUNS: u64 = 20;
/// The verdict must refuse every one of so many rows: it goes by counts, which a race does not change.
const ROWS: u64 = 2;

fn main() {
    let arguments = Arguments { test_threads: Some(PLACES), ..Arguments::from_args() };
    let mutants = mutants::all().expect("tests/mutants can be read");
    let mut trials = vec![trial("none-is-chosen", none_is_chosen)];
    for mutant in mutants {
        if mutant.is_booted() {
            let mutant = mutant.clone();
            trials.push(trial(&mutant.name.clone(), move || is_caught(&mutant)));
        }
        if let Some(words) = mutant.test.clone() {
            trials.push(trial(&mutant.name.clone(), move || is_caught_on_the_host(&mutant, &words)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, body: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || body().map_err(|error| Failed::from(format!("{error:#}"))))
}

static FREE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Where one mutant at a time is made.
struct Place(PathBuf);

impl Place {
    fn take() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let free = FREE.lock().expect("no thread panics while holding it").pop();
        let new =
            || Tree::own().root.join("target/mutants").join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        Place(free.unwrap_or_else(new))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        FREE.lock().expect("no thread panics while holding it").push(self.0.clone());
    }
}

fn is_caught(mutant: &Mutant) -> Result<()> {
    if let Some(kernel) = Kernel::holding(&mutant.name)? {
        return is_caught_in(mutant, &kernel);
    }
    let place = Place::take();
    let root = place.0.join("tree");
    mutant.make(&root)?;
    is_caught_in(mutant, &Kernel::of(Tree::at(&root, place.0.join("boot")).quick()))
}

fn is_caught_in(mutant: &Mutant, kernel: &Kernel) -> Result<()> {
    if let Some(words) = &mutant.kernel {
        is_detected(kernel, words)?;
    }
    if let Some((words, fault)) = &mutant.judge {
        is_refused(kernel, words, fault)?;
    }
    if let Some((words, line)) = &mutant.diff {
        differs(kernel, words, line)?;
    }
    Ok(())
}

/// The kernel that holds the mutants is not the fault itself: with none of them chosen, the rows in which they are caught
/// are good.
fn none_is_chosen() -> Result<()> {
    let kernel = Kernel::without_mistake()?;
    let mut words = BTreeSet::new();
    for mutant in mutants::all()? {
        if Kernel::holding(&mutant.name)?.is_some() {
            words.extend(mutant.kernel.or_else(|| Some(mutant.judge.or(mutant.diff)?.0)));
        }
    }
    for words in words {
        for row in rows(&kernel, &words, 1)? {
            row.judge().map_err(|fault| anyhow!("{words}: {}: {fault}", row.status))?;
        }
    }
    Ok(())
}

/// The rows of so many runs of `words`.
fn rows(kernel: &Kernel, words: &str, runs: u64) -> Result<Vec<Row>> {
    let spec = |seed| format!("{words} seed={seed}").parse::<Spec>().map_err(anyhow::Error::msg);
    kernel.rows(&(1..=runs).map(spec).collect::<Result<Vec<_>>>()?)
}

fn is_refused(kernel: &Kernel, words: &str, fault: &str) -> Result<()> {
    for row in rows(kernel, words, ROWS)? {
        let said = row.judge().err().unwrap_or_else(|| "nothing".to_owned());
        ensure!(
            said.contains(fault),
            "the verdict on seed {} was to say `{fault}`, and said: {said}",
            row.seed
        );
    }
    Ok(())
}

/// `diff` names what the mistake has changed, and nothing where there is none.
fn differs(kernel: &Kernel, words: &str, line: &str) -> Result<()> {
    let plain = || rows(&Kernel::without_mistake()?, words, 1);
    let base = plain()?;
    let changes = |new: &[Row]| diff::exact(&base, new, Accel::TcgSingle);
    let (alone, with) = (changes(&plain()?), changes(&rows(kernel, words, 1)?));
    ensure!(alone.is_empty(), "two boots without a mistake differ: {alone:?}");
    ensure!(with.iter().any(|said| said == line), "diff was to say `{line}`, and said: {with:?}");
    Ok(())
}

fn is_detected(kernel: &Kernel, words: &str) -> Result<()> {
    let rows = rows(kernel, words, RUNS)?;
    let survivors: Vec<_> = rows.iter().filter(|row| row.status != Status::Violation).collect();
    if let Some(row) = survivors.first() {
        let said = row.detail.as_deref().unwrap_or("nothing");
        bail!(
            "{} of {} runs caught nothing; the first of them, seed {}, was {}: {said}",
            survivors.len(),
            rows.len(),
            row.seed,
            row.status
        );
    }
    Ok(())
}

/// One at a time: they share a tree and a target folder, in which little is built anew.
fn is_caught_on_the_host(mutant: &Mutant, words: &str) -> Result<()> {
    static ONE: Mutex<()> = Mutex::new(());
    // The tree is made anew each time, so one that a failed trial has left does no harm.
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let work = Tree::own().root.join("target/mutants/host");
    let root = work.join("tree");
    mutant.make(&root)?;
    let cargo = |more: &[&str]| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&root).args(["test", "--locked", "--quiet", "--profile", "checked"]);
        // The tests run for seconds: what they depend on is built quickly.
        cargo.args(["--config", "profile.checked.package.\"*\".opt-level=1"]);
        cargo.args(words.split_whitespace()).args(more).arg("--target-dir").arg(work.join("target"));
        cargo.output().context("cannot run cargo")
    };
    let built = cargo(&["--no-run"])?;
    ensure!(built.status.success(), "does not build:\n{}", String::from_utf8_lossy(&built.stderr));
    ensure!(!cargo(&[])?.status.success(), "`cargo test {words}` passes");
    Ok(())
}
