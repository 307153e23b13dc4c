//! `--keep`: what a boot used, to be looked at or booted again by hand.
//!
//! # Guarantee
//!
//! `qemu.sh` is the command line of the boot that was run, and names the files beside it; `console` has every line that the
//! serial port has written until then, also where the machine or this program was ended.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use gupsync_bench::Spec;

use crate::args::KeepArgs;
use crate::artifacts::Tree;
use crate::boot::{self, Outcome, Word};
use crate::ending::Usage;
use crate::image::Bootloader;
use crate::qemu::Machine;
use crate::say;

/// The folder in which boots are kept, if they are to be.
pub struct Keep(Option<PathBuf>);

impl Keep {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// [`Usage`] if it cannot be made.
    pub fn of(args: &KeepArgs) -> Result<Self> {
        let folder = match &args.keep {
            None => None,
            Some(None) => Some(tempfile::Builder::new().prefix("gupsync-").tempdir()?.keep()),
            Some(Some(folder)) => {
                let refused = |error: io::Error| {
                    let folder = folder.display();
                    Usage(format!(
                        "--keep={folder}: cannot be made: {error}; name a folder that can be written"
                    ))
                };
                fs::create_dir_all(folder).map_err(refused)?;
                Some(folder.canonicalize()?)
            }
        };
        Ok(Keep(folder))
    }

    /// Says where it is.
    pub fn say(&self) {
        if let Some(folder) = &self.0 {
            say::err(format_args!("kept in {}", folder.display()));
        }
    }

    /// [`boot::run`], kept under `label`.
    ///
    /// # Errors
    ///
    /// If the machine could not be started, or the folder cannot be written.
    pub fn boot(
        &self,
        label: &str,
        (tree, bootloader, machine): (&Tree, &Bootloader, &Machine),
        specs: &[Spec],
        timeout: Duration,
        mut listen: impl FnMut(Word<'_>),
    ) -> Result<Outcome> {
        let Some(folder) = &self.0 else {
            return boot::run(tree, bootloader, machine, specs, timeout, listen);
        };
        let folder = folder.join(label);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let medium = boot::write(tree, bootloader, &boot::cmdline(specs), &folder)?;
        // With its symbols.
        fs::copy(tree.kernel()?, folder.join("gupsync-kernel")).context("the kernel cannot be kept")?;
        let line = machine.line(&medium)?;
        let script = format!("#!/bin/sh\n# kernel: {}\nexec {line} \"$@\"\n", boot::cmdline(specs));
        write_program(&folder.join("qemu.sh"), &script)?;
        let mut console = File::create(folder.join("console"))?;
        let mut written = Ok(());
        let outcome = boot::from(specs, &medium, machine, timeout, |word| {
            if let (Word::Line(line), Ok(())) = (word, &written) {
                written = writeln!(console, "{line}");
            }
            listen(word);
        })?;
        written.with_context(|| format!("{}: cannot be written", folder.join("console").display()))?;
        Ok(outcome)
    }
}

fn write_program(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .with_context(|| format!("{}: cannot be written", path.display()))
}
