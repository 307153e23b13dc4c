//! The two model checkers: how the models are built for each, and run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use gupsync_checker::report::{self, Exploration};
use serde::{Deserialize, Serialize};

use crate::artifacts::Tree;
use crate::mutants::Mutant;
use crate::{child, schema, stop};

/// A model checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checker {
    /// C++20, up to a bound on preemptions.
    Loom,
    /// x86-TSO, exhaustively.
    Tso,
}

impl Checker {
    /// Its name, which is that of its `cfg` too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Checker::Loom => "loom",
            Checker::Tso => "tso",
        }
    }
}

/// Where the models are built for one checker: a copy of the tree, and a target folder of its own.
///
/// One after the other, trees with different mistakes take it over; what did not change is not built again.
pub struct Lane {
    checker: Checker,
    folder: PathBuf,
}

/// What came of running models.
#[derive(Debug)]
pub struct Ran {
    /// What was explored.
    pub explorations: Vec<Exploration>,
    /// Whether every model came to its end and found nothing.
    pub held: bool,
    /// The models that did not come to their ends, and why.
    pub unknown: Vec<(String, anyhow::Error)>,
    /// Whether the code of the mutant that was chosen was run.
    pub entered: bool,
    /// What was printed.
    pub said: String,
}

impl Ran {
    /// The same, if every model came to its end, or one found something.
    ///
    /// # Errors
    ///
    /// That of the first which did not.
    pub fn ended(mut self) -> Result<Self> {
        let found = self.explorations.iter().any(|one| !one.held && !one.cut_off);
        match self.unknown.pop().filter(|_| !found) {
            Some((name, error)) => Err(error.context(name)),
            None => Ok(self),
        }
    }

    /// The execution that was found at fault, a numbered step a line.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        let from =
            self.said.find("steps:\n").map(|at| self.said[..at].rfind('\n').map_or(0, |line| line + 1))?;
        self.said[from..].split("\n\n").next()
    }
}

/// How models are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct How<'a> {
    /// Only those with this in their names.
    pub filter: Option<&'a str>,
    /// So many at a time.
    pub at_once: usize,
    /// With deep bounds: so many seconds for each.
    pub deep: Option<u64>,
    /// Those too that quick bounds leave out.
    pub all: bool,
    /// With small bounds.
    pub small: bool,
    /// In the hunt for a mistake.
    pub hunt: bool,
    /// With one ordering weakened.
    pub weaken: Option<&'a str>,
    /// As that mutant, where the models hold several.
    pub mutant: Option<u32>,
}

/// No model takes so many seconds, but with deep bounds: it is given up.
const PATIENCE: u64 = 300;

/// A model that is told to give up does so, or hangs.
const GRACE: Duration = Duration::from_secs(PATIENCE + 60);

impl Lane {
    /// The lane of `checker`.
    #[must_use]
    pub fn new(checker: Checker) -> Self {
        Lane { checker, folder: Tree::own().target_of("prove").join(checker.name()) }
    }

    /// Which.
    #[must_use]
    pub fn checker(&self) -> Checker {
        self.checker
    }

    /// The model that this checker is to try `mutant` on, if any.
    #[must_use]
    pub fn model_for<'m>(&self, mutant: &'m Mutant) -> Option<&'m str> {
        match self.checker {
            Checker::Loom => mutant.loom.as_deref(),
            Checker::Tso => mutant.tso.as_deref(),
        }
    }

    /// Where the tree is to be made.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Where the tree with all mutants at once is to be made.
    #[must_use]
    pub fn schema_root(&self) -> PathBuf {
        self.folder.join("schema")
    }

    /// Builds the models of the tree that is there now, and keeps them as `name`.
    ///
    /// # Errors
    ///
    /// What cargo said, if they do not build.
    pub fn build(&self, name: &str) -> Result<PathBuf> {
        self.build_in(&self.root(), &["--locked"], name)
    }

    /// Builds the models of the tree with all mutants at once. It has a package more than the lock file.
    ///
    /// # Errors
    ///
    /// As [`Lane::build`].
    pub fn build_schema(&self) -> Result<PathBuf> {
        self.build_in(&self.schema_root(), &[], "mutants")
    }

    fn build_in(&self, root: &Path, lock: &[&str], name: &str) -> Result<PathBuf> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(root)
            .env("RUSTFLAGS", format!("--cfg {} -A warnings", self.checker.name()))
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .args(["test", "--no-run", "--profile", "checked", "--package", "gupsync"])
            .args(lock)
            .args(["--test", "models", "--message-format", "json-render-diagnostics", "--target-dir"])
            .arg(self.folder.join("target"));
        let output = child::output(&mut cargo)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the models do not build:\n{said}");
        let built = String::from_utf8_lossy(&output.stdout);
        let executable = built
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .context("cargo does not say where the models are")?;
        let kept = self.folder.join(name);
        fs::copy(&executable, &kept).with_context(|| executable.display().to_string())?;
        Ok(kept)
    }

    /// Runs models that were built, each in a process of its own: two that map and unmap stacks all the time would hold each
    /// other up in one.
    ///
    /// # Errors
    ///
    /// If they cannot be listed.
    pub fn run(&self, models: &Path, how: How<'_>) -> Result<Ran> {
        let names = self.names(models, how)?;
        let (next, runs) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..how.at_once.max(1) {
                scope.spawn(|| {
                    while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let run = self.run_one(models, name, how);
                        runs.lock().expect("no thread panics while holding it").push((name, run));
                    }
                });
            }
        });
        let mut all = Ran {
            explorations: Vec::new(),
            held: true,
            unknown: Vec::new(),
            entered: false,
            said: String::new(),
        };
        for (name, run) in runs.into_inner().map_err(|_| anyhow!("a worker has panicked"))? {
            all.held &= run.as_ref().is_ok_and(|run| run.held);
            match run {
                Ok(mut run) => {
                    all.explorations.append(&mut run.explorations);
                    all.entered |= run.entered;
                    if !run.held {
                        all.said += &run.said;
                    }
                }
                Err(error) => all.unknown.push((name.clone(), error)),
            }
        }
        Ok(all)
    }

    /// The models that are meant by `how`.
    fn names(&self, models: &Path, how: How<'_>) -> Result<Vec<String>> {
        let list = |args: &[&str]| -> Result<Vec<String>> {
            let mut command = self.command(models, how);
            let output = child::output(command.arg("--list").args(args))?;
            let said = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success(), "{} cannot list its models", models.display());
            Ok(said.lines().filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect())
        };
        let left_out = if how.all || how.deep.is_some() { Vec::new() } else { list(&["--ignored"])? };
        let mut names = list(&[])?;
        names.retain(|name| how.filter.is_none_or(|filter| name.contains(filter)) && !left_out.contains(name));
        Ok(names)
    }

    fn command(&self, models: &Path, how: How<'_>) -> Command {
        let mut command = Command::new(models);
        command
            .current_dir(self.root())
            .env(report::SOURCES, if how.mutant.is_some() { self.schema_root() } else { self.root() })
            .env_remove(report::DEEP)
            .env_remove(report::HUNT)
            .env_remove(report::SMALL)
            .env(report::PATIENCE, PATIENCE.to_string())
            .env_remove(gupsync_checker::weaken::VARIABLE)
            .env_remove(schema::VARIABLE)
            .env("RUST_BACKTRACE", "0")
            .stderr(Stdio::null());
        if let Some(seconds) = how.deep {
            command.env(report::DEEP, seconds.to_string());
        }
        if how.small {
            command.env(report::SMALL, "1");
        }
        if how.hunt {
            command.env(report::HUNT, "1");
        }
        if let Some(site) = how.weaken {
            command.env(gupsync_checker::weaken::VARIABLE, site);
        }
        if let Some(number) = how.mutant {
            command.env(schema::VARIABLE, number.to_string());
        }
        command
    }

    fn run_one(&self, models: &Path, name: &str, how: How<'_>) -> Result<Ran> {
        let work = tempfile::tempdir()?;
        let [said, reported, entered] = ["said", "reported", "entered"].map(|name| work.path().join(name));
        let mut command = self.command(models, how);
        command
            .env(report::VARIABLE, &reported)
            .env(schema::ENTERED, &entered)
            .args(["--exact", "--include-ignored", "--test-threads=1", name])
            .stdout(File::create(&said)?);
        let mut child = child::spawn(&mut command).with_context(|| models.display().to_string())?;
        let since = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if stop::is_asked() {
                child.kill()?;
                child.wait()?;
                bail!(stop::REASON);
            }
            if how.deep.is_none() && since.elapsed() > GRACE {
                child.kill()?;
                child.wait()?;
                bail!("it did not end in {} s", GRACE.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        };
        let said = fs::read_to_string(said)?;
        let ended = said.contains("test result: ok. 1 passed") || said.contains("test result: FAILED.");
        ensure!(ended, "{name} did not come to an end ({status}):\n{said}");
        let explorations = fs::read_to_string(reported).unwrap_or_default();
        let explorations =
            explorations.lines().map(serde_json::from_str).collect::<Result<Vec<Exploration>, _>>()?;
        ensure!(!explorations.is_empty(), "{name} does not say what it has explored:\n{said}");
        let held = status.success() && explorations.iter().all(|one| one.held);
        Ok(Ran { explorations, held, unknown: Vec::new(), entered: entered.exists(), said })
    }
}
