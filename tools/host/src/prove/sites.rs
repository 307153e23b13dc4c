//! Every ordering and every fence of `src/`, found in its text.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::artifacts::Tree;

/// An ordering that a call is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub file: String,
    pub function: String,
    pub call: String,
    pub ordering: String,
    /// Where the call's name stands, from 1 up.
    line: usize,
    column: usize,
    /// How many orderings the call is given before this one.
    index: usize,
    /// The line of the ordering itself.
    pub ordering_line: usize,
}

/// One ordering, and one way to weaken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakening {
    /// What does not change when lines move: file, function, operation, ordering, and how it is weakened.
    pub name: String,
    /// What a checker is told: [`gupsync_checker::weaken`].
    pub site: String,
    /// Whether it is a fence: nothing else matters on x86.
    pub is_fence: bool,
}

/// The part of `src/` that is no protocol: the checkers' own door.
const LEFT_OUT: &[&str] = &["atomic.rs"];

/// All weakenings, in order.
///
/// # Errors
///
/// A file that cannot be read.
pub fn weakenings() -> Result<Vec<Weakening>> {
    Ok(sources()?.iter().flat_map(|(file, text)| weakened(&in_text(file, text))).collect())
}

/// The files of `src/` that have orderings, in order, with their text.
///
/// # Errors
///
/// A file that cannot be read.
pub fn sources() -> Result<Vec<(String, String)>> {
    let root = Tree::own().root;
    let mut found = Vec::new();
    visit(&root, &root.join("src"), &mut found)?;
    Ok(found)
}

fn visit(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) -> Result<()> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.file_name().is_some_and(|name| LEFT_OUT.iter().any(|left_out| name == *left_out)) {
            continue;
        }
        if path.is_dir() {
            visit(root, &path, found)?;
        } else {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            found.push((path.strip_prefix(root)?.to_string_lossy().into_owned(), text));
        }
    }
    Ok(())
}

/// Weaker orderings, by strength lost.
fn weaker(ordering: &str) -> &'static [&'static str] {
    match ordering {
        "Acquire" | "Release" => &["Relaxed"],
        "AcqRel" => &["Acquire", "Release"],
        "SeqCst" => &["AcqRel", "Relaxed"],
        _ => &[],
    }
}

/// Every ordering of one file.
pub fn in_text(file: &str, text: &str) -> Vec<Site> {
    const MARK: &str = "Ordering::";
    let code = without_comments(text);
    let line_of = |at: usize| code[..at].matches('\n').count() + 1;
    let site = |at: usize| {
        let (call, start, index) = enclosing_call(&code[..at])?;
        Some(Site {
            file: file.to_owned(),
            function: enclosing_function(&code[..at]).to_owned(),
            call: call.to_owned(),
            ordering: code[at + MARK.len()..].chars().take_while(char::is_ascii_alphanumeric).collect(),
            line: line_of(start),
            column: start - code[..start].rfind('\n').map_or(0, |newline| newline + 1) + 1,
            index,
            ordering_line: line_of(at),
        })
    };
    code.match_indices(MARK).filter_map(|(at, _)| site(at)).collect()
}

impl Site {
    pub fn is_fence(&self) -> bool {
        self.call == "fence"
    }

    /// What a checker is told to weaken it so: [`gupsync_checker::weaken`].
    pub fn weakened_to(&self, to: &str) -> String {
        let Site { file, line, column, index, .. } = self;
        format!("{file}:{line}:{column}:{index}:{to}")
    }
}

fn weakened(sites: &[Site]) -> Vec<Weakening> {
    let mut found: Vec<Weakening> = Vec::new();
    for site in sites {
        let Site { file, function, call, ordering, .. } = site;
        for to in weaker(ordering) {
            let verb = if site.is_fence() && *to == "Relaxed" { "gone" } else { to };
            let name = format!("{file} {function} {call} {ordering} -> {verb}");
            let earlier = found.iter().filter(|other| other.name.split(" #").next() == Some(&name)).count();
            let name = if earlier == 0 { name } else { format!("{name} #{}", earlier + 1) };
            found.push(Weakening { name, site: site.weakened_to(to), is_fence: site.is_fence() });
        }
    }
    found
}

/// The same text, blanks for comments: lines and columns stay.
fn without_comments(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.find("//") {
            Some(at) => {
                let blank: String = line[at..]
                    .chars()
                    .map(|c| if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) })
                    .collect();
                format!("{}{blank}", &line[..at])
            }
            None => line.to_owned(),
        })
        .collect()
}

/// The call whose argument comes next: its name, where that begins, and how many orderings it was given already.
fn enclosing_call(before: &str) -> Option<(&str, usize, usize)> {
    let mut depth = 0;
    let open = before
        .char_indices()
        .rev()
        .find(|(_, c)| {
            match c {
                ')' | ']' | '}' => depth += 1,
                '(' | '[' | '{' => depth -= 1,
                _ => {}
            }
            depth < 0
        })
        .filter(|(_, c)| *c == '(')?
        .0;
    let start = before[..open].rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    Some((&before[start..open], start, before[open..].matches("Ordering::").count()))
}

/// The function that this is in.
fn enclosing_function(before: &str) -> &str {
    let name = before.rfind("fn ").map_or("", |at| &before[at + 3..]);
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orderings_are_found_where_the_compiler_sees_their_calls() {
        let text = "\
fn first(word: &AtomicU64) {
    // Acquire: a comment about Ordering::SeqCst is none.
    if word.load(Ordering::Acquire) == 1 && word.load(Ordering::Acquire) == 2 {
        word
            .compare_exchange(1, 2, Ordering::AcqRel, Ordering::Relaxed);
    }
    fence(Ordering::SeqCst);
}
";
        let found = weakened(&in_text("src/a.rs", text));
        let found: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.site.as_str())).collect();
        assert_eq!(
            found,
            [
                ("src/a.rs first load Acquire -> Relaxed", "src/a.rs:3:13:0:Relaxed"),
                ("src/a.rs first load Acquire -> Relaxed #2", "src/a.rs:3:50:0:Relaxed"),
                ("src/a.rs first compare_exchange AcqRel -> Acquire", "src/a.rs:5:14:0:Acquire"),
                ("src/a.rs first compare_exchange AcqRel -> Release", "src/a.rs:5:14:0:Release"),
                ("src/a.rs first fence SeqCst -> AcqRel", "src/a.rs:7:5:0:AcqRel"),
                ("src/a.rs first fence SeqCst -> gone", "src/a.rs:7:5:0:Relaxed"),
            ]
        );
    }
}
