//! The pages of the tree say what is true of its files, and the first one stays short.
//!
//! Looked at are the Markdown files that people write: every path in backquotes and every link within the tree leads to
//! something, no row of a table is too long to be read, and `README.md` fits three screens.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::tree;

/// `README.md` has fewer lines than this.
const LINES: usize = 150;
/// No row of a table has more characters than this.
const ROW: usize = 120;

/// What a path begins with, from the top of the tree.
const TOPS: &[&str] = &["src/", "arch/", "tests/", "tools/", ".github/", ".ci/"];

/// The pages, without the one that is made from comments.
fn pages() -> Vec<PathBuf> {
    let folders = WalkDir::new(tree::root()).into_iter().filter_entry(|entry| {
        let name = entry.file_name();
        entry.depth() == 0 || name != "target" && name != ".git"
    });
    let files = folders.map(|entry| entry.expect("the tree can be read").into_path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| !path.ends_with("tests/orderings.md"))
        .collect()
}

/// Each fault of a page that lies in `folder`, in words; `is_there` says of a path whether it leads to something.
fn faults(text: &str, folder: &Path, is_there: impl Fn(&Path) -> bool) -> Vec<String> {
    let (mut faults, mut is_code) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        is_code ^= line.starts_with("```");
        if is_code || line.starts_with("    ") {
            continue;
        }
        let mut fault = |what: String| faults.push(format!("{}: {what}", index + 1));
        if line.starts_with('|') && line.chars().count() > ROW {
            fault(format!("a row of {} characters, more than {ROW}", line.chars().count()));
        }
        let quoted =
            line.split('`').skip(1).step_by(2).filter(|word| TOPS.iter().any(|top| word.starts_with(top)));
        let quoted = quoted.map(|word| word.split(' ').next().unwrap_or(word));
        for path in quoted.filter(|path| !path.contains("NAME") && !is_there(Path::new(path))) {
            fault(format!("`{path}` is not there"));
        }
        let links = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
        for link in links.filter(|link| !is_there(&folder.join(link))) {
            fault(format!("the link to {link} leads nowhere"));
        }
    }
    faults
}

#[test]
fn what_a_page_names_is_there() {
    let root = tree::root();
    let pages = pages();
    assert!(pages.contains(&root.join("README.md")) && pages.len() > 3, "{pages:?}");
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(root).unwrap();
        let folder = name.parent().unwrap();
        let faults = faults(&text, folder, |path| root.join(path).exists());
        assert!(faults.is_empty(), "{}:{}", name.display(), faults.join("\n"));
    }
}

#[test]
fn the_first_page_is_short() {
    let lines = std::fs::read_to_string(tree::root().join("README.md")).unwrap().lines().count();
    assert!(
        lines < LINES,
        "README.md has {lines} lines; move what a newcomer does not need to the folder it is about"
    );
}

#[test]
fn a_page_that_is_wrong_is_refused() {
    let text = format!(
        "See `src/there.rs`, `src/gone.rs` and `tools/gupsync test`.\n| `{}` |\n    `src/in/code.rs`\n\
         [a](there.md#part) [b](gone.md) [c](https://d.e)\n```text\n`src/in/code.rs`\n```\n",
        "x".repeat(120)
    );
    let there = ["src/there.rs", "tools/gupsync", "tools/there.md"];
    let faults = faults(&text, Path::new("tools"), |path| there.iter().any(|file| Path::new(file) == path));
    assert_eq!(
        faults,
        [
            "1: `src/gone.rs` is not there",
            "2: a row of 126 characters, more than 120",
            "4: the link to gone.md leads nowhere",
        ]
    );
}
