//! Which tests a filter means, told from the sources, so that nothing is built that holds no test of that name.
//!
//! # Guarantee
//!
//! A step that has a test with the filter in its name is never left out.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Where the models lie.
pub const MODELS: &[&str] = &["tests/models"];

/// How the names of a step's tests come from its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// They are functions marked `#[test]`, under the names of their modules.
    Functions,
    /// They are made from words of the text, and from numbers.
    Text,
}

impl Names {
    /// Whether a test may have `filter` in its name, if its sources are these files and folders of `root`.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn may_have(self, root: &Path, sources: &[&str], filter: &str) -> Result<bool> {
        let mut has = false;
        for source in sources {
            each_file(&root.join(source), &mut |path| {
                let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
                let place = path.strip_prefix(root.join(source)).unwrap_or(path);
                has |= match self {
                    Names::Functions => functions(place, &text).any(|name| name.contains(filter)),
                    Names::Text => {
                        words(filter).all(|word| text.contains(word) || place.to_string_lossy().contains(word))
                    }
                };
                Ok(())
            })?;
        }
        Ok(has)
    }

    /// The names of the tests in these files and folders of `root`.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn listed(root: &Path, sources: &[&str]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for source in sources {
            each_file(&root.join(source), &mut |path| {
                let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
                let place = path.strip_prefix(root.join(source)).unwrap_or(path);
                names.extend(functions(place, &text).filter(|name| !name.contains("::tests::")));
                Ok(())
            })?;
        }
        names.sort();
        Ok(names)
    }
}

/// What a name is made of, apart from numbers and what stands between.
fn words(filter: &str) -> impl Iterator<Item = &str> {
    filter.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty())
}

fn each_file(path: &Path, act: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            each_file(&entry?.path(), act)?;
        }
        return Ok(());
    }
    if path.extension().is_some_and(|extension| ["rs", "patch", "md"].iter().any(|known| extension == *known)) {
        act(path)
    } else {
        Ok(())
    }
}

/// The tests of a file, under the name of its module, with and without the `tests` that unit tests lie in.
fn functions<'t>(place: &Path, text: &'t str) -> impl Iterator<Item = String> + use<'t> {
    let place = place.with_extension("");
    let parts: Vec<_> = place.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let is_module = |part: &&String| !["mod", "main", "lib", "src", ""].contains(&part.as_str());
    let module = parts.iter().filter(is_module).map(|part| format!("{part}::")).collect::<String>();
    let after_mark = text.split("#[test]").skip(1);
    let name = |rest: &'t str| {
        let from = rest.split_once("fn ")?.1;
        from.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    };
    after_mark
        .filter_map(name)
        .flat_map(move |name| [format!("{module}{name}"), format!("{module}tests::{name}")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::Tree;

    fn may(names: Names, sources: &[&str], filter: &str) -> bool {
        names.may_have(&Tree::own().root, sources, filter).expect("they can be read")
    }

    #[test]
    fn item_17_a_filter_for_boots_needs_no_models() {
        assert!(!may(Names::Functions, &["tests/models"], "trace"));
        assert!(may(Names::Text, &["tests/boot"], "trace::counts_equal"));
        assert!(may(Names::Text, &["tests/boot"], "counts::4_of_8_cpus"));
        assert!(!may(Names::Text, &["tests/boot"], "xyzzy::counts"));
    }

    #[test]
    fn item_17_names_have_their_modules() {
        assert!(may(Names::Functions, &["tests/models"], "reuse::two_walkers"));
        assert!(may(Names::Functions, &["tools/host/src"], "names::tests::item_17_names_have"));
        assert!(!may(Names::Functions, &["tests/models"], "reuse::xyzzy"));
    }
}
