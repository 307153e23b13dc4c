//! The worked examples of `.github/CONTRIBUTING.md`: each applies to the tree as it is, touches no more than is said here,
//! and compiles without a warning.
//!
//! Examples are applied to one copy of the tree, one at a time; its target folder is kept, so that a second run builds
//! little.

#![cfg(not(any(loom, tso)))]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use gupsync::policy;
use gupsync_host::artifacts::Tree;
use gupsync_host::{mutants, patches};

/// What an example may touch.
#[derive(Clone, Copy)]
struct Kind {
    /// The heading that it stands under.
    heading: &'static str,
    /// The folder of its new file, if it has one.
    new_in: Option<&'static str>,
    /// How many lines it adds to files that are there; it removes none.
    lines: usize,
}

const POLICY: Kind = Kind { heading: "A policy", new_in: Some("src/policy/"), lines: 2 };

const KINDS: &[Kind] = &[
    POLICY,
    // One of them is a doc comment.
    Kind { heading: "An operation", new_in: Some("src/ops/"), lines: 3 },
    Kind { heading: "A flush method", new_in: Some("src/flush/"), lines: 4 },
    Kind { heading: "A setting", new_in: None, lines: 2 },
    Kind { heading: "A counter", new_in: None, lines: 2 },
];

/// What the examples reach: the library, and what is built on it.
const PACKAGES: &[&str] = &["gupsync", "gupsync-bench", "gupsync-host", "gupsync-kernel"];

/// Prints the policies of the copy, from a place where cargo finds it.
const NAMES: (&str, &str) = (
    "tools/bench/examples/names.rs",
    "//! Names.\nfn main() {\n    gupsync::policy::NAMES.iter().for_each(|name| println!(\"{name}\"));\n}\n",
);

/// The ```` ```diff ```` blocks of a text, each with the heading above it.
fn blocks(text: &str) -> Vec<(String, String)> {
    let (mut blocks, mut heading, mut open) = (Vec::new(), String::new(), None);
    for line in text.split_inclusive('\n') {
        match &mut open {
            Some(_) if line.starts_with("```") => {
                blocks.extend(open.take().map(|block| (heading.clone(), block)));
            }
            Some(block) => String::push_str(block, line),
            None if line.trim_end() == "```diff" => open = Some(String::new()),
            None => {
                if let Some(title) = line.strip_prefix("## ") {
                    title.trim_end().clone_into(&mut heading);
                }
            }
        }
    }
    blocks
}

fn examples() -> Vec<(String, String)> {
    let file = Tree::own().root.join(".github/CONTRIBUTING.md");
    blocks(&fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

fn example(kind: Kind) -> String {
    let of_kind = examples().into_iter().filter(|(heading, _)| heading == kind.heading);
    let [(_, text)] = of_kind.collect::<Vec<_>>().try_into().expect("one example under each heading");
    text
}

/// Whether `text` touches what an example of this kind may.
fn is_within(kind: Kind, text: &str) -> Result<()> {
    let (new, old): (Vec<_>, Vec<_>) = patches::read(text)?.into_iter().partition(|patch| patch.is_new);
    let files: Vec<_> = new.iter().map(|patch| patch.file.as_str()).collect();
    let is_said = match kind.new_in {
        Some(folder) => files.len() == 1 && files[0].starts_with(folder),
        None => files.is_empty(),
    };
    ensure!(is_said, "{}: makes {files:?}, and should make a file in {:?}", kind.heading, kind.new_in);
    let added: usize = old.iter().map(patches::Patch::added).sum();
    let removed: usize = old.iter().map(patches::Patch::removed).sum();
    ensure!(
        (added, removed) == (kind.lines, 0),
        "{}: adds {added} lines to files that are there and removes {removed}; {} are said to be enough",
        kind.heading,
        kind.lines
    );
    Ok(())
}

fn cargo(args: &[&str]) -> Result<Output> {
    let (tree, target) = places();
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(tree)
        .args(args)
        .args(["--quiet", "--locked", "--target-dir"])
        .arg(target)
        .output()
        .context("cannot run cargo")
}

fn places() -> (PathBuf, PathBuf) {
    let folder = Tree::own().target_of("examples");
    (folder.join("tree"), folder.join("built"))
}

/// Makes the example in the copy of the tree, compiles it there, and returns the names of the policies if it is one.
fn make(kind: Kind, text: &str) -> Result<Vec<String>> {
    static COPY: Mutex<()> = Mutex::new(());
    // The next example begins with a copy that is as the tree.
    let _copy = COPY.lock().unwrap_or_else(PoisonError::into_inner);
    is_within(kind, text)?;
    let (tree, _) = places();
    mutants::copy_tree(&tree)?;
    for patch in patches::read(text)? {
        patch.apply(&tree).with_context(|| format!("{}: does not apply", kind.heading))?;
    }
    let packages: Vec<_> = PACKAGES.iter().flat_map(|package| ["--package", package]).collect();
    let output = cargo(&[&["check"][..], &packages].concat())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{}: does not compile:\n{said}", kind.heading);
    if kind.heading != POLICY.heading {
        return Ok(Vec::new());
    }
    let file = tree.join(NAMES.0);
    fs::create_dir_all(file.parent().context("a folder")?)?;
    fs::write(file, NAMES.1)?;
    let output = cargo(&["run", "--package", "gupsync-bench", "--example", "names"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

#[test]
fn every_example_is_looked_at() {
    let headings: Vec<_> = examples().into_iter().map(|(heading, _)| heading).collect();
    assert_eq!(headings, KINDS.iter().map(|kind| kind.heading).collect::<Vec<_>>());
}

#[test]
fn every_example_compiles() {
    for kind in KINDS {
        if let Err(error) = make(*kind, &example(*kind)) {
            panic!("{error:#}\nMend the example in .github/CONTRIBUTING.md.");
        }
    }
}

#[test]
fn the_policy_is_listed() {
    let text = example(POLICY);
    let mut names = make(POLICY, &text).unwrap();
    names.retain(|name| !policy::NAMES.contains(&name.as_str()));
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(text.contains(&format!("+    const NAME: &'static str = \"{}\";", names[0])), "{names:?}");
}

#[test]
fn what_does_not_compile_is_refused() {
    let broken = example(POLICY).replace("const SAFE: bool = true;", "const SAFE: bool = 1;");
    let error = make(POLICY, &broken).unwrap_err().to_string();
    assert!(error.contains("A policy: does not compile:\nerror[E0308]: mismatched types"), "{error}");
}

#[test]
fn what_does_not_apply_is_refused() {
    let moved = example(POLICY).replace("\n mod ", "\n mod not_");
    let error = format!("{:#}", make(POLICY, &moved).unwrap_err());
    assert!(error.starts_with("A policy: does not apply: src/policy/mod.rs has changed"), "{error}");
}

#[test]
fn what_touches_more_is_refused() {
    let text = example(POLICY);
    let error = is_within(Kind { lines: 1, ..POLICY }, &text).unwrap_err().to_string();
    assert_eq!(error, "A policy: adds 2 lines to files that are there and removes 0; 1 are said to be enough");
    let error = is_within(Kind { new_in: None, ..POLICY }, &text).unwrap_err().to_string();
    assert!(error.contains("and should make a file in None"), "{error}");
}

#[test]
fn a_block_belongs_to_the_heading_above_it() {
    let text = "## A\n```diff\n+a\n```\n## B\n```sh\nno\n```\ntext\n```diff\n+b\n## no heading\n```\n";
    let found = blocks(text);
    let found: Vec<_> = found.iter().map(|(heading, text)| (heading.as_str(), text.as_str())).collect();
    assert_eq!(found, [("A", "+a\n"), ("B", "+b\n## no heading\n")]);
}
