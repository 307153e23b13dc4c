//! The results as JSON: rows, and what they were measured with.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use gupsync_bench::Row;
use serde::{Deserialize, Serialize};

use crate::artifacts::Tree;

/// The number of this schema. Fields may be added under it; none changes its meaning.
pub const SCHEMA: u32 = 1;

/// Everything that a comparison produced.
#[derive(Debug, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The commit of the checkout.
    pub revision: String,
    /// Whether the checkout differs from it.
    pub dirty: bool,
    /// QEMU's version.
    pub qemu: String,
    /// Who executed.
    pub accel: String,
    /// Who booted the kernel.
    pub loader: String,
    /// The results.
    pub rows: Vec<Row>,
}

/// The commit of a checkout, and whether the checkout differs from it.
pub fn revision(tree: &Tree) -> (String, bool) {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&tree.root).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) => (commit, !changes.is_empty()),
        _ => ("unknown".to_owned(), true),
    }
}

/// A file that will hold a document. Opened before anything is run: a run that cannot be written down is not begun.
pub struct Sink {
    path: PathBuf,
    file: File,
}

impl Sink {
    /// Opens `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("--json {}: cannot be written", path.display()))?;
        Ok(Sink { path: path.to_owned(), file })
    }

    /// Replaces what the file holds.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(mut self, document: &Document) -> Result<()> {
        let text = serde_json::to_string_pretty(document).expect("a document is plain data");
        self.file
            .set_len(0)
            .and_then(|()| writeln!(self.file, "{text}"))
            .with_context(|| format!("--json {}: cannot be written", self.path.display()))
    }
}
