//! `prove --litmus --modules DIR`: the tests in the language of each model, and kernel modules where klitmus7 is there.
//!
//! They are for a machine of one's own: a module runs its test some thousand times in the kernel and counts what came out.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::file::Variant;
use super::model::Model;
use super::{folder, herd};
use crate::{child, say};

/// Writes `variants` into a folder.
///
/// # Errors
///
/// If they cannot be written, or klitmus7 does not take one.
pub fn write(variants: &[&Variant], into: &Path) -> Result<()> {
    let written = folder::write(variants, into)?;
    let of_linux = |(model, paths)| (model == Model::Lkmm).then_some(paths);
    let paths: Vec<_> = written.into_iter().find_map(of_linux).unwrap_or_default();
    let Some(program) = herd::program("KLITMUS7", "klitmus7") else {
        say::out(format_args!(
            "{}: {} tests; no klitmus7 (Debian: herdtools7), so no modules of them",
            into.display(),
            paths.len()
        ));
        return Ok(());
    };
    let modules = into.join("modules");
    fs::create_dir_all(&modules)?;
    ensure!(
        fs::read_dir(&modules)?.next().is_none(),
        "{} is not empty; name another folder",
        modules.display()
    );
    let output = child::output(Command::new(&program).arg("-o").arg(&modules).args(&paths))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", program.display(), said.trim());
    let made =
        fs::read_dir(&modules)?.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "c"));
    let made = made.count();
    ensure!(made == paths.len(), "klitmus7 made {made} modules of {} tests: {}", paths.len(), said.trim());
    say::out(format_args!("{}: {made} tests, and modules of them in {}", into.display(), modules.display()));
    Ok(())
}
