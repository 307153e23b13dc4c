//! A QEMU that is a shell script, and the comparison that it is run for.
//!
//! The rows are violations of unsafe policies, which are as promised whatever was counted.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use gupsync_bench::row::{Counts, MmName, Status};
use gupsync_bench::{Row, Spec};
use gupsync_host::document::Document;
use tempfile::TempDir;

use crate::cli::{gupsync, read};

const ASKED: &str = "workload=unshare policy=never,gather-posted invlpgb=on ops=20";
const ARGUMENTS: &str =
    "compare --workload unshare --policy never,gather-posted --invlpgb on --ops 20 --limine builtin";

/// Makes a script the QEMU of a folder; the `PATH` by which that is found.
pub fn install(folder: &Path, script: &str) -> Result<OsString> {
    let qemu = folder.join("qemu-system-x86_64");
    fs::write(&qemu, format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755))?;
    let path = std::env::var_os("PATH").context("PATH")?;
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(folders)?)
}

/// A QEMU that is a script, and the folder for temporary files of the host that runs it.
pub struct Fake {
    /// Where all of it lies; the host's temporary files in `tmp`.
    pub work: TempDir,
    /// Where the rows are written, unless the arguments say otherwise.
    pub json: PathBuf,
    path: OsString,
}

impl Fake {
    /// One that runs `script`, in which `begin` writes what comes before the rows, and `first` and `second` write them.
    pub fn new(script: &str) -> Result<Self> {
        let work = tempfile::tempdir()?;
        let spec: Spec = ASKED.parse().map_err(anyhow::Error::msg)?;
        let row = |index: usize| -> Result<String> {
            let counts = Counts { ops: Some(3), ..Counts::default() };
            let row = Row::new(&spec, spec.policy[index], MmName::Total, 8, Status::Violation);
            Ok(serde_json::to_string(&Row { counts, ..row })?)
        };
        let text = format!(
            "[ \"$1\" = --version ] && {{ echo 'QEMU emulator version 0'; exit; }}\n\
             begin() {{ echo '@loader fake 1'; echo '@begin never'; }}\n\
             first() {{ echo '@row {}'; }}\nsecond() {{ echo '@row {}'; }}\n{script}",
            row(0)?,
            row(1)?
        );
        let path = install(work.path(), &text)?;
        fs::create_dir(work.path().join("tmp"))?;
        let json = work.path().join("rows.json");
        Ok(Fake { work, json, path })
    }

    /// The comparison, with this QEMU.
    pub fn command(&self, arguments: &str) -> Result<Command> {
        let mut command = gupsync();
        command
            .args(ARGUMENTS.split(' '))
            .args(arguments.split_whitespace())
            .env("PATH", &self.path)
            .env("TMPDIR", self.work.path().join("tmp"));
        if !arguments.contains("--timeout") {
            command.args(["--timeout", "30"]);
        }
        if !arguments.contains("--json") {
            command.arg("--json").arg(&self.json);
        }
        Ok(command)
    }

    /// How many temporary files there are.
    pub fn left(&self) -> Result<usize> {
        Ok(self.work.path().join("tmp").read_dir()?.count())
    }

    /// What was written down.
    pub fn document(&self) -> Result<Document> {
        read(&self.json)
    }
}
