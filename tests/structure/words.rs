//! Two lists of words.
//!
//! `src/` does not speak of its bench: a scenario, a role, a row and a report are words of `tools/bench`. And no text names
//! a person or an unknown where it means an actor: a sender, a target, a walker, an mm, a CPU, the host.

use std::fs;
use std::path::Path;

use crate::tree::{self, Files};

/// Words of the bench, in the singular.
const FOREIGN: &[&str] = &["scenario", "role", "row", "report"];

/// Words for persons.
const PERSONS: &[&str] =
    &["whoever", "nobody", "somebody", "everybody", "anybody", "anyone", "he", "his", "him", "himself"];

/// This file, which names the words.
const OWN: &str = "structure/words.rs";

fn is_foreign(word: &str) -> bool {
    FOREIGN.contains(&word.strip_suffix('s').unwrap_or(word))
}

fn is_person(word: &str) -> bool {
    PERSONS.contains(&word)
}

/// Each line with a word of the kind, the first such word named.
fn lines_with(
    is_meant: fn(&str) -> bool,
    words: fn(&str) -> Vec<String>,
    folder: &Path,
    files: &Files,
) -> Vec<String> {
    let lines = files
        .iter()
        .flat_map(|(file, text)| text.lines().enumerate().map(move |(index, line)| (file, index + 1, line)));
    let say = |(file, line, text)| {
        let word = words(text).into_iter().find(|word| is_meant(word))?;
        Some(format!("{}:{line}: `{word}`", folder.join(file).display()))
    };
    lines.filter_map(say).collect()
}

/// Each line with a word of the bench, in code or comment, alone or as a part of a name.
fn foreign(folder: &Path, files: &Files) -> Vec<String> {
    lines_with(is_foreign, words, folder, files)
}

/// Each line with a word for a person, in comment, string or code. A name is one word, whatever it is made of: some models
/// are named by mutants.
fn persons(folder: &Path, files: &Files) -> Vec<String> {
    lines_with(is_person, names, folder, files)
}

/// The words of a line, in lower case: `RowKind` and `row_kind` are two each.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in line.chars() {
        if !c.is_alphabetic() || (was_lower && c.is_uppercase()) {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().expect("there is one").extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase();
    }
    words
}

/// The names and words of a line, in lower case: `row_kind` is one.
fn names(line: &str) -> Vec<String> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_lowercase).collect()
}

#[test]
fn src_does_not_speak_of_its_bench() {
    let foreign = foreign(Path::new("src"), &tree::read(&tree::root().join("src")).unwrap());
    assert!(
        foreign.is_empty(),
        "{} words of the bench in src/:\n{}\n\
         Say what it is to the protocol; what belongs to an experiment belongs to tools/bench.",
        foreign.len(),
        foreign.join("\n"),
    );
}

#[test]
fn whole_words_are_found_in_code_and_comments() {
    let text = "\
// Two Roles in a row.
fn report_narrowly() -> RowKind {
fn throw(arrow: Controller) -> Reported {
    let scenarios = 1;
";
    assert_eq!(
        foreign(Path::new("src"), &tree::made_up(&[("a.rs", text)])),
        ["src/a.rs:1: `roles`", "src/a.rs:2: `report`", "src/a.rs:4: `scenarios`"]
    );
}

#[test]
fn actors_are_named() {
    let root = tree::root();
    let others = ["limine.conf", ".ci/run", "tools/gupsync"];
    let others = others.map(|file| (file.into(), fs::read_to_string(root.join(file)).unwrap()));
    let mut found = persons(Path::new(""), &Files::from(others));
    for folder in ["src", "arch", "tools", "tests"] {
        let mut files = tree::read(&root.join(folder)).unwrap();
        assert!(folder != "tests" || files.remove(OWN).is_some(), "this file has moved");
        found.extend(persons(Path::new(folder), &files));
    }
    assert!(
        found.is_empty(),
        "{} words for persons:\n{}\nName the actor: the sender, the target, the unlinker, the walker, a CPU, an mm, the host.",
        found.len(),
        found.join("\n"),
    );
}

#[test]
fn persons_are_found_in_comments_and_strings() {
    let text = "\
// A walker, whoever sent the interrupt.
fn nobody_waits() { call_anyone(the, history) }
const TEXT: &str = \"He's waiting\";
";
    assert_eq!(
        persons(Path::new("src"), &tree::made_up(&[("a.rs", text)])),
        ["src/a.rs:1: `whoever`", "src/a.rs:3: `he`"]
    );
}
