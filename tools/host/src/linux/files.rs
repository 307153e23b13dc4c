//! The files of a source tree, as changes make them.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The files of a source tree that are changed or new, by their paths in it, with what they are to hold.
pub type Files = BTreeMap<PathBuf, String>;

/// What a file holds after the changes so far, if it is there.
///
/// # Errors
///
/// As [`in_source`].
pub fn current(source: &Path, files: &Files, file: &Path) -> Result<Option<String>> {
    match files.get(file) {
        Some(text) => Ok(Some(text.clone())),
        None => in_source(source, file),
    }
}

/// What a file of the source holds, if it is there.
///
/// # Errors
///
/// If it is there and cannot be read.
pub fn in_source(source: &Path, file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(source.join(file)) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        text => Ok(Some(text.with_context(|| file.display().to_string())?)),
    }
}
