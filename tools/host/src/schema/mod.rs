//! A copy of the tree that holds many mutants at once, one of which is chosen when a program of it is run: it is built once
//! for all of them.
//!
//! # Guarantee
//!
//! With number 0 every function does what it does in the tree. With the number of a mutant every function does what it does
//! where that mutant alone is made. A mutant that changes more than the bodies of functions has no number: it is to be made
//! and built by itself ([`Mutant::make`]).
//!
//! Each body that a mutant replaces becomes a `match` on the number, the mutants' bodies its arms. The number is in a crate of
//! its own (`switch.rs`), which is in the copy only; so is what `kernel.patch` adds to the kernel, which has no environment.

mod bodies;
pub mod booted;
// A crate of the copied tree: it is here to be compiled and tested as well.
#[cfg_attr(not(test), allow(dead_code))]
mod switch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::artifacts::Tree;
use crate::mutants::{self, Mutant};
use crate::patches;
use bodies::Bodies;
use switch::WORD;
pub use switch::{ENTERED, VARIABLE};

const CRATE: &str = "gupsync-mutant";
/// Where it lies in the copy. No part of the tree, so that it stays where it is when the tree is copied again.
const FOLDER: &str = "switch";
const MANIFEST: &str = "[package]\nname = \"gupsync-mutant\"\nversion = \"0.0.0\"\nedition = \"2024\"\n";
const HEAD: &str = "#![no_std]\n#[cfg(not(target_os = \"none\"))]\nextern crate std;\n";
const DEPENDENCIES: &str = "\n[dependencies]\n";
const KERNEL: &str = include_str!("kernel.patch");

/// What the kernel says at its end if the code of the mutant was run.
const KERNEL_ENTERED: &str = "the mutant was entered";

/// Such a copy.
pub struct Schema {
    numbers: BTreeMap<String, u32>,
}

/// A file, from the top of the tree.
type File = PathBuf;

impl Schema {
    /// Makes `root` a copy of the tree that holds those of `mutants` that can be chosen.
    ///
    /// # Errors
    ///
    /// A patch that does not apply any more, a file that cannot be read or written.
    pub fn make(mutants: &[Mutant], root: &Path) -> Result<Self> {
        let mut files = Files::default();
        for patch in patches::read(KERNEL)? {
            let text = patch
                .applied(&files.read(Path::new(&patch.file))?)
                .context("the kernel's part of the schema")?;
            files.0.insert(patch.file.into(), text);
        }
        let mut arms = Arms::default();
        let mut numbers = BTreeMap::new();
        for (number, mutant) in (1..).zip(mutants) {
            if arms.add(number, mutant, &mut files)? {
                numbers.insert(mutant.name.clone(), number);
            }
        }
        let mut packages = BTreeSet::from([PathBuf::from("arch/x86_64/Cargo.toml")]);
        for (file, bodies) in &arms.files {
            packages.insert(files.package_of(file)?);
            files.0.insert(file.clone(), bodies.with_arms(|place| arms.of(file, place)));
        }
        for package in packages {
            let text = files.read(&package)?;
            let path = root.join(FOLDER);
            let more = format!("{DEPENDENCIES}{CRATE} = {{ path = {path:?} }}\n");
            let has_some = text.contains(DEPENDENCIES);
            let with_it = if has_some { text.replacen(DEPENDENCIES, &more, 1) } else { text + &more };
            files.0.insert(package, with_it);
        }
        let source = format!("{HEAD}{}", include_str!("switch.rs").replace("//!", "//"));
        fs::create_dir_all(root.join(FOLDER).join("src"))?;
        mutants::write(&root.join(FOLDER).join("Cargo.toml"), MANIFEST.as_bytes())?;
        mutants::write(&root.join(FOLDER).join("src/lib.rs"), source.as_bytes())?;
        mutants::copy_tree_with(root, &files.0)?;
        Ok(Schema { numbers })
    }

    /// The number of a mutant, if it can be chosen.
    #[must_use]
    pub fn number(&self, mutant: &str) -> Option<u32> {
        self.numbers.get(mutant).copied()
    }
}

/// Files of the tree, and those of them that have another text in the copy.
#[derive(Default)]
struct Files(BTreeMap<File, String>);

impl Files {
    fn read(&self, file: &Path) -> Result<String> {
        let own =
            || fs::read_to_string(Tree::own().root.join(file)).with_context(|| file.display().to_string());
        self.0.get(file).cloned().map_or_else(own, Ok)
    }

    /// The manifest of the package that a file belongs to.
    fn package_of(&self, file: &Path) -> Result<File> {
        let manifests = file.ancestors().skip(1).map(|folder| folder.join("Cargo.toml"));
        let found = manifests.into_iter().find(|manifest| Tree::own().root.join(manifest).is_file());
        found.with_context(|| format!("{} belongs to no package", file.display()))
    }
}

/// The files that are changed, and what becomes of the bodies in them.
#[derive(Default)]
struct Arms {
    files: BTreeMap<File, Bodies>,
    arms: BTreeMap<(File, usize), Vec<(u32, String)>>,
}

impl Arms {
    fn of(&self, file: &Path, place: usize) -> Vec<(u32, String)> {
        self.arms.get(&(file.to_owned(), place)).cloned().unwrap_or_default()
    }

    /// Adds those of a mutant; says whether it can be chosen.
    fn add(&mut self, number: u32, mutant: &Mutant, files: &mut Files) -> Result<bool> {
        let mut more = Vec::new();
        for (file, mutated) in mutant.changes(|file| files.read(file))? {
            let Some(mutated) = mutated.and_then(|text| Bodies::of(&text)) else { return Ok(false) };
            let own = match self.files.remove(&file) {
                Some(own) => own,
                None => Bodies::of(&files.read(&file)?)
                    .with_context(|| format!("{} cannot be read", file.display()))?,
            };
            let replaced = own.replaced_in(&mutated);
            self.files.insert(file.clone(), own);
            let Some(replaced) = replaced else { return Ok(false) };
            more.extend(replaced.into_iter().map(|(place, text)| ((file.clone(), place), text)));
        }
        for (place, text) in more.iter().cloned() {
            self.arms.entry(place).or_default().push((number, text));
        }
        Ok(!more.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mutants_that_change_bodies_alone_are_all_held_by_one_tree() {
        let all = mutants::all().expect("they can be read");
        let work = tempfile::tempdir().expect("a folder");
        let schema = Schema::make(&all, work.path()).expect("every patch applies");
        let text = |file| fs::read_to_string(work.path().join(file)).expect("it was written");
        let arm =
            |mutant| format!("{} => {{ ::gupsync_mutant::enter();", schema.number(mutant).expect("a number"));
        // In one file; in two.
        assert!(text("src/switch_mm.rs").contains(&arm("f3-missing")));
        for file in ["src/pending_gup_sync.rs", "arch/x86_64/src/hw.rs"] {
            assert!(text(file).contains(&arm("boolean-cleared-after-the-acks")), "{file}");
        }
        // It has a field more.
        assert_eq!(schema.number("count-and-state-in-two-words"), None);
        for package in
            ["Cargo.toml", "arch/x86_64/Cargo.toml", "arch/invlpgb/Cargo.toml", "tools/bench/Cargo.toml"]
        {
            assert_eq!(text(package).matches("\ngupsync-mutant = ").count(), 1, "{package}");
        }
        assert!(text("arch/x86_64/src/main.rs").contains(KERNEL_ENTERED));
        // Made again, it leaves what is there alone: cargo goes by the time of a file.
        let time = || {
            fs::metadata(work.path().join("src/switch_mm.rs")).and_then(|file| file.modified()).expect("a time")
        };
        let before = time();
        Schema::make(&all, work.path()).expect("every patch applies");
        assert_eq!(time(), before);
    }
}
