//! `test`: every test there is, in an order that fails early.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::args::{ProveArgs, TestArgs};
use crate::artifacts::Tree;
use crate::{child, prove, say};

/// A call of cargo.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    /// With a rustdoc that looks why what must not compile does not.
    Documentation,
    /// Run when asked for.
    Mutants,
}

const STEPS: &[Step] = &[
    Step { name: "loader", args: &["--package", "gupsync-loader", "--tests"], kind: Kind::Ordinary },
    Step { name: "structure", args: &["--release", "--test", "structure"], kind: Kind::Ordinary },
    Step { name: "library and host", args: &["--release", "--lib", "--bins"], kind: Kind::Ordinary },
    Step { name: "histories", args: &["--release", "--test", "histories"], kind: Kind::Ordinary },
    Step { name: "examples", args: &["--release", "--test", "examples"], kind: Kind::Ordinary },
    Step { name: "documentation", args: &["--release", "--doc"], kind: Kind::Documentation },
    Step { name: "boots", args: &["--release", "--test", "boot"], kind: Kind::Ordinary },
    Step { name: "mutants in the kernel", args: &["--release", "--test", "mutants"], kind: Kind::Mutants },
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

/// Runs them; says whether all passed.
///
/// # Errors
///
/// If cargo cannot be run.
pub fn run(args: &TestArgs) -> Result<bool> {
    let tree = Tree::own();
    say::out(format_args!("== {}", if args.mutants { "proof" } else { "models" }));
    let proof = ProveArgs {
        properties: !args.mutants,
        orderings: args.mutants,
        filter: args.filter.clone(),
        is_part: true,
        ..ProveArgs::default()
    };
    if !prove::run(&proof)? {
        say::err("error: a property did not hold, or a mistake was not caught");
        return Ok(false);
    }
    for step in STEPS.iter().filter(|step| step.kind != Kind::Mutants || args.mutants) {
        say::out(format_args!("== {}", step.name));
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&tree.root).args(["test", "--locked"]).args(step.args);
        if step.kind == Kind::Documentation {
            cargo.env("RUSTDOC", rustdoc(&tree)?);
        }
        if let Some(filter) = &args.filter {
            cargo.args(["--", filter]);
        }
        if !child::status(&mut cargo)?.success() {
            say::err(format_args!("error: {}: a test failed", step.name));
            return Ok(false);
        }
    }
    Ok(true)
}
