//! `src/` does not speak of its bench: a scenario, a role, a row and a report are words of `tools/bench`.

use std::path::Path;

use crate::tree::{self, Files};

const FOREIGN: &[&str] = &["scenario", "role", "row", "report"];

/// Each line with a foreign word, in code or comment, alone or as a part of a name.
fn foreign(folder: &Path, files: &Files) -> Vec<String> {
    let lines = files
        .iter()
        .flat_map(|(file, text)| text.lines().enumerate().map(move |(index, line)| (file, index + 1, line)));
    let say = |(file, line, text)| {
        let word =
            words(text).into_iter().find(|word| FOREIGN.contains(&word.strip_suffix('s').unwrap_or(word)))?;
        Some(format!("{}:{line}: `{word}`", folder.join(file).display()))
    };
    lines.filter_map(say).collect()
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
// Two Roles, played in a row.
fn report_narrowly() -> RowKind {
fn throw(arrow: Controller) -> Reported {
    let scenarios = 1;
";
    assert_eq!(
        foreign(Path::new("src"), &tree::made_up(&[("a.rs", text)])),
        ["src/a.rs:1: `roles`", "src/a.rs:2: `report`", "src/a.rs:4: `scenarios`"]
    );
}
