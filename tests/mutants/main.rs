//! Every mistake worth making is made, and must be caught.
//!
//! A mutant is a patch beside this file. It is applied to a copy of the tree, so that what fails is the shipped code
//! with one mistake in it. Above the patch stand a few lines of `Key: value`:
//!
//! - `Mistake`: what is wrong, in a sentence;
//! - `Stands for`: the proposal or review remark that it comes from;
//! - `Loom`: the model that must fail;
//! - `Kernel`: the comparison in which the kernel's own detectors must catch it, in 20 of 20 runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gupsync::scenario::Spec;
use gupsync::scenario::cast::Cast;
use gupsync::scenario::row::Status;
use gupsync_host::artifacts::Tree;
use gupsync_host::boot;
use gupsync_host::image::Bootloader;
use gupsync_host::qemu::{Accel, Firmware, Machine};
use libtest_mimic::{Arguments, Failed, Trial};

/// So many mutants are made and run at a time. Each place has a tree and target folders of its own, which its next mutant
/// takes over: cargo tells what has changed by time stamps, so a tree is never built beside one that is being changed.
const PLACES: usize = 2;

/// Each mutant must be caught in every one of so many runs.
const RUNS: u64 = 20;

/// What of the tree is copied.
const PARTS: &[&str] = &[
    ".cargo",
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "limine.conf",
    "src",
    "arch",
    "tests",
    "tools",
];

struct Mutant {
    name: String,
    loom: Option<String>,
    kernel: Option<String>,
    patches: String,
}

fn main() {
    let arguments = Arguments { test_threads: Some(PLACES), ..Arguments::from_args() };
    let trials = mutants().expect("tests/mutants can be read").into_iter().map(|mutant| {
        Trial::test(mutant.name.clone(), move || {
            let place = Place::take();
            mutant.is_caught(&place.0).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

static FREE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Where one mutant at a time is made.
struct Place(PathBuf);

impl Place {
    fn take() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let free = FREE.lock().expect("nobody panics while holding it").pop();
        let new =
            || Tree::own().root.join("target/mutants").join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        Place(free.unwrap_or_else(new))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        FREE.lock().expect("nobody panics while holding it").push(self.0.clone());
    }
}

fn mutants() -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(Tree::own().root.join("tests/mutants"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            mutants.push(Mutant::read(&path).with_context(|| path.display().to_string())?);
        }
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}

impl Mutant {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let start = text.find("--- ").context("holds no patch")?;
        let (head, patches) = text.split_at(start);
        let value = |key: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .map(|value| value.trim().to_owned())
        };
        ensure!(
            value("Mistake").is_some() && value("Stands for").is_some(),
            "lacks a Mistake or what it Stands for"
        );
        let (loom, kernel) = (value("Loom"), value("Kernel"));
        ensure!(loom.is_some() || kernel.is_some(), "says nothing of who catches it");
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("no name")?.to_owned();
        Ok(Mutant { name, loom, kernel, patches: patches.to_owned() })
    }

    fn is_caught(&self, work: &Path) -> Result<()> {
        let root = work.join("tree");
        self.make(&root)?;
        if let Some(model) = &self.loom {
            loom_catches(&root, &work.join("loom"), model)?;
        }
        if let Some(words) = &self.kernel {
            kernel_catches(&Tree::at(&root, work.join("boot")).quick(), words)?;
        }
        Ok(())
    }

    /// A copy of the tree, with the mistake in it.
    fn make(&self, root: &Path) -> Result<()> {
        let own = Tree::own().root;
        for part in PARTS {
            copy(&own.join(part), &root.join(part))?;
        }
        for patch in split(&self.patches) {
            let file =
                patch.lines().nth(1).and_then(|line| line.strip_prefix("+++ b/")).context("no `+++ b/`")?;
            let path = root.join(file);
            let before = fs::read_to_string(&path).with_context(|| file.to_owned())?;
            let after = diffy::apply(&before, &diffy::Patch::from_str(&patch)?)
                .with_context(|| format!("{file} has changed"))?;
            fs::write(path, after)?;
        }
        Ok(())
    }
}

/// The patches of a text that holds one for each file.
fn split(text: &str) -> Vec<String> {
    let mut patches: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with("--- ") {
            patches.push(String::new());
        }
        if let Some(last) = patches.last_mut() {
            last.push_str(line);
        }
    }
    patches
}

/// Copies a file or folder; leaves alone what is the same already, so that it need not be built again.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
    } else {
        let new = fs::read(from).with_context(|| from.display().to_string())?;
        if fs::read(to).ok().as_ref() != Some(&new) {
            fs::write(to, new)?;
        }
    }
    Ok(())
}

fn loom_catches(root: &Path, target: &Path, model: &str) -> Result<()> {
    let cargo = |arguments: &[&str]| {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(root)
            .env("RUSTFLAGS", "--cfg loom -A warnings")
            .args([
                "test",
                "--release",
                "--quiet",
                "--locked",
                "--package",
                "gupsync",
                "--test",
                "models",
                "--target-dir",
            ])
            .arg(target)
            .args(arguments)
            .output()
    };
    let built = cargo(&["--no-run"])?;
    ensure!(built.status.success(), "the mutant does not build: {}", String::from_utf8_lossy(&built.stderr));
    let tested = cargo(&["--", model])?;
    let said = String::from_utf8_lossy(&tested.stdout);
    ensure!(!said.contains("running 0 tests"), "there is no model `{model}`");
    ensure!(!tested.status.success(), "survived `{model}`");
    ensure!(said.contains("test result: FAILED"), "`{model}` did not end: {said}");
    Ok(())
}

fn kernel_catches(tree: &Tree, words: &str) -> Result<()> {
    let spec = |seed| format!("{words} seed={seed}").parse::<Spec>().map_err(anyhow::Error::msg);
    let specs = (1..=RUNS).map(spec).collect::<Result<Vec<_>>>()?;
    let cpus = Cast::need(&specs[0]) + 1;
    let machine = Machine {
        accel: Accel::TcgSingle,
        icount: false,
        cpus,
        memory: 512,
        firmware: Firmware::Uefi,
        trace: None,
    };
    let outcome = boot::run(tree, &Bootloader::Builtin, &machine, &specs, Duration::from_secs(200), |_| ())?;
    let survivors: Vec<_> = outcome.rows.iter().filter(|row| row.status != Status::Violation).collect();
    if let Some(row) = survivors.first() {
        let said = row.detail.as_deref().unwrap_or("nothing");
        bail!(
            "{} of {} runs caught nothing; the first of them, seed {}, was {}: {said}",
            survivors.len(),
            outcome.rows.len(),
            row.seed,
            row.status.name()
        );
    }
    Ok(())
}
