//! Whether programs and targets of Rust are there, where, and how to get them.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::artifacts::Tree;
use crate::child;

/// So much of a version is shown.
pub const SHOWN: usize = 60;

/// Where a program lies.
pub fn path_of(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The first line that a program says of itself, of `most` characters at most.
///
/// # Errors
///
/// If it cannot be run, or says that it failed.
pub fn first_line(command: &mut Command, most: usize) -> Result<String> {
    let output = child::output(command)?;
    ensure!(output.status.success(), "{}", output.status);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no version");
    Ok(line.trim().chars().take(most).collect())
}

/// A program's version, and where it lies.
///
/// # Errors
///
/// The line that installs it, if it is not there.
pub fn program(name: &str, option: &str, package: &str) -> Result<String> {
    let remedy = || format!("run: apt-get install {package}");
    let path = path_of(name).with_context(remedy)?;
    let version = first_line(Command::new(&path).arg(option), SHOWN).with_context(remedy)?;
    Ok(format!("{version} ({})", path.display()))
}

/// Where the standard library for a target lies.
///
/// # Errors
///
/// The line that installs it, if it is not there.
pub fn target(name: &str) -> Result<String> {
    let remedy = || format!("run: rustup target add {name}");
    let mut rustc = Command::new("rustc");
    let sysroot = first_line(
        rustc.args(["--print", "target-libdir", "--target", name]).current_dir(Tree::own().root),
        usize::MAX,
    );
    let sysroot = PathBuf::from(sysroot.with_context(remedy)?);
    if !sysroot.is_dir() {
        bail!(remedy());
    }
    Ok(sysroot.display().to_string())
}
