//! The simulator as a module of WebAssembly, for a page and for Node.
//!
//! # Guarantee
//!
//! What is in it is `src/`, the bench and the simulator of this checkout, as they are. Every function that may pause is made
//! able to, those that are called through a pointer too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::artifacts::{Tree, WASM};
use crate::child;
use crate::there::{SHOWN, first_line, program, target};

/// Binaryen's optimiser, whose pass makes functions able to pause.
const OPTIMISER: &str = "wasm-opt";
/// `pause` of `arch/wasm/src/fiber.js` is what they pause in.
const PASSES: [&str; 3] = ["-Oz", "--asyncify", "--pass-arg=asyncify-imports@fiber.pause"];

/// Whether what builds it is there.
///
/// # Errors
///
/// The line that installs what is not.
pub fn can_be_built() -> Result<()> {
    program(OPTIMISER, "--version", "binaryen").with_context(|| format!("no {OPTIMISER}"))?;
    target(WASM).map(drop).with_context(|| format!("no target {WASM}"))
}

/// The same in words.
pub fn tools() -> String {
    match can_be_built().and_then(|()| first_line(Command::new(OPTIMISER).arg("--version"), SHOWN)) {
        Ok(version) => version,
        Err(lack) => format!("{lack:#}"),
    }
}

/// Builds it, unless it is built already.
///
/// # Errors
///
/// What is missing, or what cargo or the optimiser said.
pub fn build(tree: &Tree) -> Result<PathBuf> {
    can_be_built()?;
    let built = tree.simulator()?;
    let module = built.with_extension("page.wasm");
    if written(&module).is_some_and(|done| written(&built).is_some_and(|from| from <= done)) {
        return Ok(module);
    }
    let folder = built.parent().context("a file lies in a folder")?;
    // Another process may be at it: the module is there whole, or not at all.
    let making = tempfile::Builder::new().suffix(".wasm").tempfile_in(folder)?;
    let output = child::output(Command::new(OPTIMISER).args(PASSES).arg(&built).arg("-o").arg(making.path()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{OPTIMISER}: {}",
        said.lines().next().unwrap_or("failed and did not say why")
    );
    making.persist(&module).with_context(|| module.display().to_string())?;
    Ok(module)
}

fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
