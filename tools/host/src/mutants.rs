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
//! - `Judge`: the comparison of which the verdict must refuse every row, a `|`, and what it must say;
//! - `Diff`: the comparison in which `diff` must see what the tree without the mistake counts, a `|`, and how it says so;
//! - `Test`: the test on the host that must fail, as `cargo test` is told it;
//! - `Equivalent`: why it is no mistake at all. The models must hold then.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

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
    /// The comparison of which the verdict refuses every row, and what it says.
    pub judge: Option<(String, String)>,
    /// The comparison that differs, and how `diff` says so.
    pub diff: Option<(String, String)>,
    /// The test on the host that fails.
    pub test: Option<String>,
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
        let said = |key: &str| {
            let split = |value: String| {
                let (words, said) =
                    value.split_once('|').with_context(|| format!("{key}: says not what is said"))?;
                Ok::<_, anyhow::Error>((words.trim().to_owned(), said.trim().to_owned()))
            };
            value(key).map(split).transpose()
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
            judge: said("Judge")?,
            diff: said("Diff")?,
            test: value("Test"),
            equivalent: value("Equivalent"),
            patches: patches.to_owned(),
        };
        ensure!(
            mutant.judge.is_some() || mutant.diff.is_some() || mutant.catchers().next().is_some(),
            "names no model, no comparison and no test that catches it"
        );
        Ok(mutant)
    }

    /// What catches it: the key, and its value.
    pub fn catchers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let catchers =
            [("loom", &self.loom), ("tso", &self.tso), ("kernel", &self.kernel), ("test", &self.test)];
        catchers.into_iter().filter_map(|(catcher, what)| Some((catcher, what.as_deref()?)))
    }

    /// Whether it is caught by what the kernel counts or detects.
    pub fn is_booted(&self) -> bool {
        self.kernel.is_some() || self.judge.is_some() || self.diff.is_some()
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

    /// What it makes of each file that it changes, where `read` has the text of a file; nothing for a file that it adds.
    ///
    /// # Errors
    ///
    /// A patch that does not apply any more.
    pub fn changes(&self, read: impl Fn(&Path) -> Result<String>) -> Result<BTreeMap<PathBuf, Option<String>>> {
        let mut changes = BTreeMap::new();
        for patch in patches::read(&self.patches)? {
            let file = PathBuf::from(&patch.file);
            let changed = if patch.is_new {
                None
            } else {
                let before = match changes.remove(&file) {
                    Some(Some(before)) => before,
                    _ => read(&file)?,
                };
                Some(patch.applied(&before).with_context(|| self.name.clone())?)
            };
            changes.insert(file, changed);
        }
        Ok(changes)
    }
}

/// Makes `root` a copy of the tree.
///
/// # Errors
///
/// A file that cannot be read or written.
pub fn copy_tree(root: &Path) -> Result<()> {
    copy_tree_with(root, &BTreeMap::new())
}

/// The same, with another text for some files, which are named from the top of the tree.
///
/// # Errors
///
/// As [`copy_tree`].
pub fn copy_tree_with(root: &Path, instead: &BTreeMap<PathBuf, String>) -> Result<()> {
    let own = Tree::own().root;
    PARTS.iter().try_for_each(|part| copy(&own, root, Path::new(part), instead))
}

/// Copies a file or folder.
fn copy(own: &Path, root: &Path, path: &Path, instead: &BTreeMap<PathBuf, String>) -> Result<()> {
    let (from, to) = (own.join(path), root.join(path));
    if from.is_dir() {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&to)? {
            let old = entry?;
            match (from.join(old.file_name()).exists(), old.path()) {
                (true, _) => {}
                (false, folder) if folder.is_dir() => fs::remove_dir_all(folder)?,
                (false, file) => fs::remove_file(file)?,
            }
        }
        for entry in fs::read_dir(&from)? {
            copy(own, root, &path.join(entry?.file_name()), instead)?;
        }
        return Ok(());
    }
    match instead.get(path) {
        Some(text) => write(&to, text.as_bytes()),
        None => write(&to, &fs::read(&from).with_context(|| from.display().to_string())?),
    }
}

/// Writes a file; leaves alone what is the same already, so that it need not be built again.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(to: &Path, new: &[u8]) -> Result<()> {
    if fs::read(to).ok().as_deref() != Some(new) {
        fs::write(to, new).with_context(|| to.display().to_string())?;
    }
    Ok(())
}
