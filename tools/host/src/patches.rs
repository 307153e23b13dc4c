//! Patches in git's form, for a copy of the tree: the mutants, and the worked examples of `.github/CONTRIBUTING.md`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What is changed in one file.
#[derive(Clone, Debug)]
pub struct Patch {
    /// The file, from the top of the tree.
    pub file: String,
    /// Whether the patch makes it.
    pub is_new: bool,
    text: String,
}

/// The patches of a text that holds one for each file.
///
/// # Errors
///
/// A patch that does not begin with `--- a/FILE`, or `--- /dev/null` for a new file, and `+++ b/FILE`.
pub fn read(text: &str) -> Result<Vec<Patch>> {
    let mut texts: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with("--- ") {
            texts.push(String::new());
        }
        if let Some(last) = texts.last_mut() {
            last.push_str(line);
        }
    }
    texts.into_iter().map(Patch::new).collect()
}

impl Patch {
    fn new(text: String) -> Result<Self> {
        let mut lines = text.lines();
        let is_new = lines.next() == Some("--- /dev/null");
        let file = lines.next().and_then(|line| line.strip_prefix("+++ b/")).context("no `+++ b/`")?.to_owned();
        Ok(Patch { file, is_new, text })
    }

    /// How many lines it adds.
    pub fn added(&self) -> usize {
        self.changes('+')
    }

    /// How many lines it removes.
    pub fn removed(&self) -> usize {
        self.changes('-')
    }

    fn changes(&self, sign: char) -> usize {
        self.text.lines().skip(2).filter(|line| line.starts_with(sign)).count()
    }

    /// What it makes of the text of its file.
    ///
    /// # Errors
    ///
    /// A file that has changed so much that the patch finds no place.
    pub fn applied(&self, before: &str) -> Result<String> {
        let patch = diffy::Patch::from_str(&self.text).with_context(|| format!("{}: no patch", self.file))?;
        diffy::apply(before, &patch).with_context(|| format!("{} has changed", self.file))
    }

    /// Applies it to the tree at `root`.
    ///
    /// # Errors
    ///
    /// As [`Patch::applied`], or a new file that is there already.
    pub fn apply(&self, root: &Path) -> Result<()> {
        let path = root.join(&self.file);
        ensure!(!self.is_new || !path.exists(), "{} is there already", self.file);
        let before = if self.is_new {
            String::new()
        } else {
            fs::read_to_string(&path).with_context(|| self.file.clone())?
        };
        fs::write(&path, self.applied(&before)?).with_context(|| self.file.clone())
    }
}
