//! What a build changes in a source tree: by steps of the series, then by patches; and all of it as one patch.
//!
//! # Guarantee
//!
//! A patch is applied whole, after all before it, or is an error that names it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::files::{Files, current, in_source};
use super::series::Step;
use crate::child;
use crate::ending::Usage;

/// A patch of Linux, in the form that git writes.
pub struct Patch {
    file: PathBuf,
    text: String,
}

/// Reads a patch.
///
/// # Errors
///
/// One line, if there is no such file.
pub fn read_patch(file: &Path) -> Result<Patch> {
    let text =
        fs::read_to_string(file).map_err(|error| Usage(format!("--patch {}: {error}", file.display())))?;
    Ok(Patch { file: file.to_owned(), text })
}

/// What `steps` and `patches` make of `source`.
///
/// # Errors
///
/// What finds no place.
pub fn of(source: &Path, steps: &[Step], patches: &[Patch]) -> Result<Files> {
    let mut files = Files::new();
    for step in steps {
        step.apply(source, &mut files)?;
    }
    for patch in patches {
        patch.apply(source, &mut files).with_context(|| format!("--patch {}", patch.file.display()))?;
    }
    Ok(files)
}

impl Patch {
    /// By git, in a folder that holds the files it names and nothing else.
    fn apply(&self, source: &Path, files: &mut Files) -> Result<()> {
        let work = tempfile::tempdir()?;
        let text = work.path().join("patch");
        let inside = work.path().join("tree");
        fs::create_dir(&inside)?;
        fs::write(&text, &self.text)?;
        let git = |options: &[&str]| {
            let mut git = Command::new("git");
            git.current_dir(&inside).env("GIT_CEILING_DIRECTORIES", work.path()).arg("apply");
            let output = child::output(git.args(options).arg(&text))?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{}", said.trim());
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let named = git(&["--numstat", "-z"])?;
        let named: Vec<_> = named.split_terminator('\0').filter_map(|line| line.split('\t').nth(2)).collect();
        ensure!(!named.is_empty(), "changes no file");
        for file in &named {
            if let Some(text) = current(source, files, Path::new(file))? {
                let path = inside.join(file);
                fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
                fs::write(path, text)?;
            }
        }
        git(&[])?;
        for file in named {
            let text = fs::read_to_string(inside.join(file))
                .with_context(|| format!("{file} is not there after it"))?;
            files.insert(file.into(), text);
        }
        Ok(())
    }
}

/// All changes, as a patch.
///
/// # Errors
///
/// If a file of the source cannot be read.
pub fn diff(source: &Path, files: &Files) -> Result<String> {
    let mut all = String::new();
    for (file, text) in files {
        let before = in_source(source, file)?;
        let old = if before.is_some() { format!("a/{}", file.display()) } else { "/dev/null".to_owned() };
        let patch = diffy::DiffOptions::new()
            .set_original_filename(old)
            .set_modified_filename(format!("b/{}", file.display()))
            .create_patch(before.as_deref().unwrap_or_default(), text)
            .to_string();
        all.push_str(&patch);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "\
A mail about it.
---
--- a/d/a.c
+++ b/d/a.c
@@ -1,2 +1,2 @@
 one
-two
+three
--- /dev/null
+++ b/new.c
@@ -0,0 +1 @@
+own
";

    fn patch(text: &str) -> Patch {
        Patch { file: "x.patch".into(), text: text.to_owned() }
    }

    #[test]
    fn patches_are_applied_one_after_the_other_and_said_as_one() {
        let source = tempfile::tempdir().expect("a folder");
        fs::create_dir(source.path().join("d")).expect("a folder");
        fs::write(source.path().join("d/a.c"), "one\ntwo\n").expect("a file");
        let again =
            PATCH.split_once("--- /dev").expect("two").0.replace("-two", "-three").replace("+three", "+four");
        let files = of(source.path(), &[], &[patch(PATCH), patch(&again)]).expect("they apply");
        assert_eq!(files[Path::new("d/a.c")], "one\nfour\n");
        assert_eq!(files[Path::new("new.c")], "own\n");
        assert_eq!(fs::read_to_string(source.path().join("d/a.c")).expect("it is there"), "one\ntwo\n");
        let said = diff(source.path(), &files).expect("it can be read");
        let whole = of(source.path(), &[], &[patch(&said)]).expect("it applies");
        assert_eq!(whole, files, "{said}");
    }

    #[test]
    fn a_patch_without_a_place_is_an_error_that_names_it() {
        let source = tempfile::tempdir().expect("a folder");
        let said =
            |text: &str| format!("{:#}", of(source.path(), &[], &[patch(text)]).expect_err("it has no place"));
        assert!(said(PATCH).starts_with("--patch x.patch: error: d/a.c: No such file"), "{}", said(PATCH));
        assert!(said("no patch\n").starts_with("--patch x.patch: "), "{}", said("no patch\n"));
    }
}
