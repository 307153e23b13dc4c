//! The folder of litmus tests: read, and written down in the language of each model.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::file::{File, Variant};
use super::model::Model;
use crate::artifacts::Tree;

/// Where the tests are.
pub const FOLDER: &str = "tests/litmus";

/// All tests, by name.
///
/// # Errors
///
/// What one of them lacks.
pub fn files() -> Result<Vec<File>> {
    let folder = Tree::own().root.join(FOLDER);
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "litmus"));
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).context("has no name")?;
        File::read(name, &fs::read_to_string(path)?)
    };
    paths.iter().map(read).collect()
}

/// Writes every variant in the language of each model, a folder for each: the files.
///
/// # Errors
///
/// If one cannot be said in a language, or not be written.
pub fn write(variants: &[&Variant], folder: &Path) -> Result<Vec<(Model, Vec<PathBuf>)>> {
    let of_model = |model: Model| {
        let folder = folder.join(model.name());
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let of_variant = |variant: &&Variant| {
            let text = model.translate(&variant.name, &variant.text, &variant.program);
            let path = folder.join(format!("{}.litmus", in_file(&variant.name)));
            fs::write(&path, text.with_context(|| format!("{} under {}", variant.name, model.name()))?)?;
            Ok(path)
        };
        Ok((model, variants.iter().map(of_variant).collect::<Result<_>>()?))
    };
    Model::ALL.into_iter().map(of_model).collect()
}

/// The name of a variant, as a file and as herd7 have it.
pub fn in_file(name: &str) -> String {
    name.replace('/', "+")
}
