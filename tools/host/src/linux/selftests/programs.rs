//! The programs of the selftests, built static from Debian's source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, thread};

use anyhow::{Context, Result};

use crate::linux::build::{Work, run_in};
use crate::linux::needed;
use crate::say;

/// Where they are, in the source.
const FOLDER: &str = "tools/testing/selftests/mm";

/// A program, or why it cannot be built.
pub type Built = Result<PathBuf, String>;

/// Builds them.
///
/// # Errors
///
/// If none can be: no source, or none of what a build needs.
pub fn build(names: &[&str]) -> Result<BTreeMap<String, Built>> {
    needed::demand(needed::SELFTESTS)?;
    let (_lock, work) = Work::open()?;
    let out = work.tree.with_extension("selftests");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    say::err("building selftests");
    run_in(&work.tree, work.make_command().arg("headers")).context("the headers of the source")?;
    let folder = work.tree.join(FOLDER);
    let make = |names: &[&str]| {
        let mut make = work.make_command();
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        make.arg("-C").arg(&folder).arg("--keep-going").arg(format!("-j{jobs}")).arg("EXTRA_CFLAGS=-static -s");
        make.arg(format!("OUTPUT={}", out.display())).args(names.iter().map(|name| out.join(name)));
        run_in(&work.tree, &mut make)
    };
    // Whether all can be is asked of each below.
    let _ = make(names);
    Ok(names.iter().map(|name| ((*name).to_owned(), one(&out, name, || make(&[name])))).collect())
}

/// The program `name`, if it is there, and up to date.
fn one(out: &Path, name: &str, make: impl FnOnce() -> Result<()>) -> Built {
    let reason = |error: anyhow::Error| {
        let text = format!("{error:#}");
        let line = text.lines().find(|line| line.contains("error") || line.contains("cannot find"));
        line.unwrap_or(text.lines().last().unwrap_or("make has failed")).trim().to_owned()
    };
    make().map_err(reason)?;
    let program = out.join(name);
    if program.is_file() { Ok(program) } else { Err("make has made none".to_owned()) }
}
