//! `test`: every test there is, in an order that fails early.

mod results;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::args::{ProveArgs, TestArgs};
use crate::artifacts::Tree;
use crate::ending::demand;
use crate::names::{MODELS, Names};
use crate::prove::{self, Line};
use crate::{child, ktap, mutants, say};
use results::Results;

/// The variable that says to tests that what they need besides, for pages and traces, is to be there.
pub const BROWSER: &str = "GUPSYNC_BROWSER";

/// A call of cargo.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    kind: Kind,
    /// How the names of its tests come from its sources, and which those are.
    names: Names,
    sources: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    /// With a rustdoc that looks why what must not compile does not.
    Documentation,
    /// Run when asked for.
    Mutants,
}

const fn step(
    name: &'static str,
    args: &'static [&'static str],
    kind: Kind,
    names: Names,
    sources: &'static [&'static str],
) -> Step {
    Step { name, args, kind, names, sources }
}

/// Where the library and the host program lie.
const LIBRARIES: &[&str] = &["src", "arch/invlpgb", "tools/bench/src", "tools/checker/src", "tools/host/src"];
const MUTANTS: &[&str] = &["tests/mutants"];

const STEPS: &[Step] = &[
    step(
        "loader",
        &["--package", "gupsync-loader", "--tests"],
        Kind::Ordinary,
        Names::Functions,
        &["tools/loader"],
    ),
    step(
        "structure",
        &["--release", "--test", "structure"],
        Kind::Ordinary,
        Names::Functions,
        &["tests/structure"],
    ),
    step("library and host", &["--release", "--lib", "--bins"], Kind::Ordinary, Names::Functions, LIBRARIES),
    step(
        "histories",
        &["--release", "--test", "histories"],
        Kind::Ordinary,
        Names::Functions,
        &["tests/histories"],
    ),
    step(
        "examples",
        &["--release", "--test", "examples"],
        Kind::Ordinary,
        Names::Functions,
        &["tests/examples"],
    ),
    step("documentation", &["--release", "--doc"], Kind::Documentation, Names::Text, &["src"]),
    step("boots", &["--release", "--test", "boot"], Kind::Ordinary, Names::Text, &["tests/boot"]),
    step("mutants in the kernel", &["--release", "--test", "mutants"], Kind::Mutants, Names::Text, MUTANTS),
];

/// A rustdoc that compares error codes. The stable one takes any error of a `compile_fail` for the one that was expected.
fn rustdoc(tree: &Tree) -> Result<PathBuf> {
    let folder = tree.target_of("documentation");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let path = folder.join("rustdoc");
    fs::write(&path, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

impl Step {
    fn cargo(&self, tree: &Tree, args: &TestArgs) -> Result<Command> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&tree.root).args(["test", "--locked"]).args(self.args);
        if self.kind == Kind::Documentation {
            cargo.env("RUSTDOC", rustdoc(tree)?);
        }
        if args.browser {
            cargo.env(BROWSER, "1");
        }
        Ok(cargo)
    }

    /// Whether a test has `filter` in its name. Nothing is built where the sources say that none has.
    fn has(&self, tree: &Tree, args: &TestArgs) -> Result<bool> {
        let Some(filter) = args.filter.as_deref() else { return Ok(true) };
        let may = self.names.may_have(&tree.root, self.sources, filter)?;
        if !may || self.names == Names::Functions {
            return Ok(may);
        }
        let output = child::output(self.cargo(tree, args)?.args(["--", filter, "--list"]))?;
        // What does not build is said where it is run.
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(!output.status.success() || said.lines().any(|line| line.ends_with(": test")))
    }
}

/// Runs those that `args` ask for; says whether all passed.
///
/// # Errors
///
/// If cargo cannot be run, or there is no such test.
pub fn run(args: &TestArgs) -> Result<bool> {
    let tree = Tree::own();
    let filter = args.filter.as_deref();
    let of_models = filter.map_or(Ok(true), |filter| {
        let in_models = Names::Functions.may_have(&tree.root, MODELS, filter)?;
        Ok::<_, anyhow::Error>(
            in_models || (args.mutants && mutants::all()?.iter().any(|mutant| mutant.name.contains(filter))),
        )
    })?;
    let mut steps = Vec::new();
    for step in STEPS.iter().filter(|step| step.kind != Kind::Mutants || args.mutants) {
        if step.has(&tree, args)? {
            steps.push(step);
        }
    }
    let filter_name = filter.unwrap_or_default();
    demand(of_models || !steps.is_empty(), || {
        format!("{filter_name}: no test has this in its name; `tools/gupsync test --list` says which there are")
    })?;
    if args.list {
        return list(&tree, args, of_models, &steps);
    }
    if args.ktap {
        return ktap(&tree, args, of_models, &steps);
    }
    if of_models {
        say::out(format_args!("== {}", proof(args)));
        if !prove::run(&explorations(args))? {
            say::err("error: a property did not hold, or a mistake was not caught");
            return Ok(false);
        }
    }
    for step in steps {
        say::out(format_args!("== {}", step.name));
        let mut cargo = step.cargo(&tree, args)?;
        if let Some(filter) = filter {
            cargo.args(["--", filter]);
        }
        if !child::status(&mut cargo)?.success() {
            say::err(format_args!("error: {}: a test failed", step.name));
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the models are called as a step.
fn proof(args: &TestArgs) -> &'static str {
    if args.mutants { "proof" } else { "models" }
}

fn explorations(args: &TestArgs) -> ProveArgs {
    ProveArgs {
        properties: !args.mutants,
        orderings: args.mutants,
        small: !args.mutants,
        filter: args.filter.clone(),
        is_part: true,
        ..ProveArgs::default()
    }
}

/// Runs all of it, whatever fails, and prints KTAP: the tests of a step are within it.
fn ktap(tree: &Tree, args: &TestArgs, of_models: bool, steps: &[&Step]) -> Result<bool> {
    say::out(ktap::VERSION);
    say::out(ktap::plan(usize::from(of_models) + steps.len()));
    let mut failed = Vec::new();
    let mut number = 0;
    let mut step = |name: &'static str, results: &Results, is_good: bool, said: &str| {
        number += 1;
        let result = match (is_good && results.are_good(), results.announced) {
            (true, 0) => ktap::Result::Skip("no test of it was asked for".to_owned()),
            (true, _) => ktap::Result::Ok,
            (false, _) => ktap::Result::NotOk,
        };
        if results.announced > 0 {
            say::out(ktap::within(name, results.announced, &results.tests, &results.failures));
        }
        if result == ktap::Result::NotOk {
            failed.push(name);
        }
        say::out(ktap::line(number, name, &result, said));
    };
    if of_models {
        let (lines, error) = match prove::explore(&explorations(args)) {
            Ok(lines) => (lines, String::new()),
            Err(error) => (Vec::new(), format!("{error:#}")),
        };
        let of = |line: &Line| {
            let result = if line.is_good() { ktap::Result::Ok } else { ktap::Result::NotOk };
            (format!("{} {}", line.checker.name(), line.name), result)
        };
        let failures = lines.iter().filter(|line| !line.is_good()).map(|line| line.progress() + "\n").collect();
        let tests: Vec<_> = lines.iter().map(of).collect();
        let results = Results { announced: tests.len(), tests, failures };
        step(proof(args), &results, error.is_empty(), error.lines().next().unwrap_or_default());
    }
    for own in steps {
        let output = child::output(own.cargo(tree, args)?.args(["--no-fail-fast", "--"]).args(&args.filter))?;
        let results = Results::read(&String::from_utf8_lossy(&output.stdout));
        // What does not build has no tests.
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| line.starts_with("error")).unwrap_or_default();
        step(own.name, &results, output.status.success(), last);
    }
    if !failed.is_empty() {
        say::err(format_args!("error: a test failed in: {}", failed.join(", ")));
    }
    Ok(failed.is_empty())
}

/// Prints the names of tests, and runs none.
fn list(tree: &Tree, args: &TestArgs, of_models: bool, steps: &[&Step]) -> Result<bool> {
    let filter = args.filter.as_deref();
    if of_models {
        say::out("== models");
        let names = Names::listed(&tree.root, MODELS)?;
        names.iter().filter(|name| filter.is_none_or(|filter| name.contains(filter))).for_each(say::out);
    }
    for step in steps {
        say::out(format_args!("== {}", step.name));
        let mut cargo = step.cargo(tree, args)?;
        cargo.args(["--quiet", "--"]).args(filter).arg("--list");
        if !child::status(&mut cargo)?.success() {
            return Ok(false);
        }
    }
    Ok(true)
}
