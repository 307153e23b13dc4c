//! Mistakes that must be caught: small patches under `tests/mutants`, each applied to a copy of the tree, so that what
//! fails is the shipped code with one mistake in it.
//!
//! Above the patch stand a few lines of `Key: value`:
//!
//! - `Mistake`: what is wrong, in a sentence;
//! - `Step`: the step of the protocol that it changes;
//! - `Stands for`: the proposal or review remark that it comes from;
//! - `Loom`, `TSO`: the model that must fail under that checker;
//! - `At most`: so many steps long is the shortest execution in which it fails on x86;
//! - `Kernel`: the comparison in which the kernel's own detectors must catch it;
//! - `Equivalent`: why it is no mistake at all. The models must hold then.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::artifacts::Tree;
use crate::patches;

/// What of the tree is copied.
const PARTS: &[&str] = &[
    ".cargo",
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "limine.conf",
    "src",
    "arch",
    "tests",
    "tools",
];

/// A mistake.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The name of its file.
    pub name: String,
    /// What is wrong.
    pub mistake: String,
    /// The step of the protocol that it changes.
    pub step: String,
    /// The proposal or review remark that it comes from.
    pub stands_for: String,
    /// The model that fails under loom.
    pub loom: Option<String>,
    /// The model that fails under x86-TSO.
    pub tso: Option<String>,
    /// How long a trace of it may be.
    pub at_most: Option<usize>,
    /// The comparison that the kernel fails.
    pub kernel: Option<String>,
    /// Why it is none.
    pub equivalent: Option<String>,
    patches: String,
}

/// All of them, by name.
///
/// # Errors
///
/// A file that cannot be read, or says too little.
pub fn all() -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(Tree::own().root.join("tests/mutants"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            mutants.push(Mutant::read(&path).with_context(|| path.display().to_string())?);
        }
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}

impl Mutant {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let start = text.find("--- ").context("holds no patch")?;
        let (head, patches) = text.split_at(start);
        let value = |key: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .map(|value| value.trim().to_owned())
        };
        let mutant = Mutant {
            name: path.file_stem().and_then(|stem| stem.to_str()).context("no name")?.to_owned(),
            mistake: value("Mistake").context("does not say what its Mistake is")?,
            step: value("Step").context("does not say which Step it changes")?,
            stands_for: value("Stands for").context("does not say what it Stands for")?,
            loom: value("Loom"),
            tso: value("TSO"),
            at_most: value("At most").map(|most| most.parse()).transpose().context("At most: no number")?,
            kernel: value("Kernel"),
            equivalent: value("Equivalent"),
            patches: patches.to_owned(),
        };
        let catchers = [&mutant.loom, &mutant.tso, &mutant.kernel];
        ensure!(
            catchers.iter().any(|catcher| catcher.is_some()),
            "names no model and no comparison that catches it"
        );
        Ok(mutant)
    }

    /// Makes `root` a copy of the tree with this mistake in it.
    ///
    /// # Errors
    ///
    /// A patch that does not apply any more.
    pub fn make(&self, root: &Path) -> Result<()> {
        copy_tree(root)?;
        for patch in patches::read(&self.patches)? {
            patch.apply(root).with_context(|| self.name.clone())?;
        }
        Ok(())
    }
}

/// Makes `root` a copy of the tree.
///
/// # Errors
///
/// A file that cannot be read or written.
pub fn copy_tree(root: &Path) -> Result<()> {
    let own = Tree::own().root;
    PARTS.iter().try_for_each(|part| copy(&own.join(part), &root.join(part)))
}

/// Copies a file or folder; leaves alone what is the same already, so that it need not be built again.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(to)? {
            let old = entry?;
            match (from.join(old.file_name()).exists(), old.path()) {
                (true, _) => {}
                (false, folder) if folder.is_dir() => fs::remove_dir_all(folder)?,
                (false, file) => fs::remove_file(file)?,
            }
        }
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
    } else {
        let new = fs::read(from).with_context(|| from.display().to_string())?;
        if fs::read(to).ok().as_ref() != Some(&new) {
            fs::write(to, new)?;
        }
    }
    Ok(())
}
