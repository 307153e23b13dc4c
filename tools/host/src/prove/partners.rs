//! What each ordering pairs with: `tests/orderings.md`, made from the comments of `src/`.
//!
//! Every ordering stronger than Relaxed has a comment that says it ([`super::comments`]). A function that
//! it names after "in" has such an ordering itself, and a fence that it names exists: a partner that went away is a fault.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};

use super::comments::{Pairing, comment_above, is_fence_number, pairings_of, words};
use super::litmus::model::Model;
use super::litmus::needed::{self, Needed};
use super::sites::{self, Site};
use crate::artifacts::Tree;
use crate::say;

const FILE: &str = "tests/orderings.md";

/// Wider lines do not fit a screen. Only a sentence that is longer by itself is let through.
const WIDEST: usize = 120;

const HEAD: &str = "\
# Orderings

Every ordering of `src/` stronger than Relaxed, and what it pairs with. F1, F2, ... are full fences; `src/proof.rs` says
which of them cost anything on x86. `tools/gupsync prove --table` writes this file from the comments above the orderings,
where there is more to read; `tests/orderings.txt` names the model and the litmus test that fail without each.

Five columns say where a litmus test fails without the ordering (`x`): under x86-TSO, Linux's memory model, RC11 (which is what
Rust promises), Armv8 and RISC-V. A fence marked `~` could be weaker there; `-` is what no litmus test can show. What is marked
under RC11 alone is ordered by a dependency, or by a neighbour, that C11 does not count and the others do.
";

/// Writes the table.
///
/// # Errors
///
/// A comment that does not say what is needed, or a file that cannot be read or written.
pub fn write() -> Result<()> {
    let path = Tree::own().root.join(FILE);
    fs::write(&path, table(&sites::sources()?, &needed::by_site()?)?)
        .with_context(|| path.display().to_string())?;
    say::out(format_args!("{FILE}: written"));
    Ok(())
}

fn table(sources: &[(String, String)], needed: &Needed) -> Result<String> {
    let (mut pairings, mut faults, mut functions) = (Vec::new(), Vec::new(), HashSet::new());
    for (file, text) in sources {
        let lines: Vec<_> = text.lines().collect();
        for site in sites::in_text(file, text).into_iter().filter(|site| site.ordering != "Relaxed") {
            functions.insert(site.function.clone());
            match pairings_of(&site, &comment_above(&lines, site.ordering_line)) {
                Some(found) => pairings.extend(found),
                None => faults.push(format!(
                    "{}: no comment above this {} says `{}: pairs with ...`",
                    place(&site),
                    site.ordering,
                    match site.ordering.as_str() {
                        _ if site.is_fence() => "F1",
                        "AcqRel" => "Acquire and Release",
                        ordering => ordering,
                    }
                )),
            }
        }
    }
    faults.extend(without_partner(&pairings, &functions));
    ensure!(faults.is_empty(), "what an ordering pairs with is not clear:\n{}", faults.join("\n"));
    Ok(render(&pairings, needed))
}

fn place(site: &Site) -> String {
    format!("{}:{} (`{}` in `{}`)", site.file, site.ordering_line, site.call, site.function)
}

/// The pairings whose partner is not there: no fence of that number, or none of the `functions` that have orderings.
fn without_partner(pairings: &[Pairing], functions: &HashSet<String>) -> Vec<String> {
    let fences: HashSet<_> = pairings.iter().map(|pairing| pairing.name.as_str()).collect();
    let fault = |pairing: &Pairing| {
        let number = words(&pairing.partner).find(|word| is_fence_number(word) && !fences.contains(word));
        // `a` and `b` after "in": the odd parts between backticks are names.
        let named = pairing.partner.split_once(" in `").map_or("", |(_, names)| names).split('`').step_by(2);
        let last = |name: &'_ str| name.rsplit([':', '.']).next().map(str::to_owned);
        let function = named.filter_map(last).find(|name| !name.is_empty() && !functions.contains(name));
        let why = match (number, function) {
            (Some(number), _) => format!("no fence is called {number}"),
            (None, Some(function)) => format!("`{function}` has no ordering to pair with"),
            (None, None) => return None,
        };
        Some(format!("{}: pairs with {}: {why}", place(&pairing.site), pairing.partner))
    };
    pairings.iter().filter_map(fault).collect()
}

fn render(pairings: &[Pairing], needed: &Needed) -> String {
    let mut text = HEAD.to_owned();
    let mut file = "";
    for pairing in pairings {
        let Pairing { site, name, partner, .. } = pairing;
        if site.file != file {
            file = &site.file;
            let models = Model::ALL.map(Model::name).join(" | ");
            let columns = format!("| where | ordering | pairs with | {models} | what it is for |");
            let rule = "|---".repeat(4 + Model::ALL.len());
            let _ = write!(text, "\n## {file}\n\n{columns}\n{rule}|\n");
        }
        let cells = needed::cells(site, name, needed).join(" | ");
        let row = format!("| `{}`, {} | {name} | {partner} | {cells} | ", site.function, site.call);
        let room = WIDEST.saturating_sub(row.len() + " |".len());
        let _ = writeln!(text, "{}{} |", row, shortened(&pairing.purpose, room));
    }
    text
}

/// As many sentences, or parts up to a semicolon, as there is room for, and one at least.
fn shortened(purpose: &str, room: usize) -> String {
    if purpose.is_empty() {
        return "as its partner".to_owned();
    }
    let is_end = |end: &usize| purpose[*end..].starts_with("; ") || purpose[*end..].starts_with(". ");
    let ends = purpose.char_indices().map(|(at, _)| at).filter(is_end).chain([purpose.len()]);
    let fitting = ends.clone().take_while(|end| *end <= room).last();
    let end = fitting.or_else(|| ends.min()).unwrap_or_default();
    let text = purpose[..end].replace('|', "\\|");
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(chars).collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(text: &str) -> Result<String> {
        let table = table(&[("src/a.rs".to_owned(), text.to_owned())], &Needed::new())?;
        Ok(table.lines().skip_while(|line| !line.starts_with("|---")).skip(1).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn the_table_is_what_the_comments_of_src_say() {
        let made = table(&sites::sources().unwrap(), &needed::by_site().unwrap())
            .unwrap_or_else(|error| panic!("{error}"));
        let kept = fs::read_to_string(Tree::own().root.join(FILE)).unwrap_or_default();
        assert!(made == kept, "{FILE} is out of date; run: tools/gupsync prove --table");
    }

    #[test]
    fn a_comment_says_who_pairs_and_why() {
        let text = "\
fn unlink() {
    // F1: the clears are visible first. Pairs with F2 (and F1): more. With the Acquire in
    // `begin` (as all know): no more of it.
    fence(Ordering::SeqCst);
    // Release: the ticket. Pairs with the Acquire in `x::begin`. Relaxed on failure: not looked at.
    let number = self
        .modified
        .compare_exchange(1, 2, Ordering::Release, Ordering::Relaxed);
}
fn begin() {
    // Relaxed: a hint.
    if word.load(Ordering::Relaxed) == 1 {
        word.fetch_update(
            // Acquire: pairs with the Release in `unlink`. One | two; as long as a line is wide, and so it is cut before this.
            Ordering::Acquire,
        );
    }
    // F2: all. Pairs with F1.
    fence(Ordering::SeqCst);
    // Release: pairs with the Acquire here; one. Acquire: pairs with the Release of an ack; two.
    word.swap(1, Ordering::AcqRel);
    // Acquire and Release: pairs with itself.
    word.swap(1, Ordering::AcqRel);
}
";
        assert_eq!(
            of_text(text).unwrap(),
            "\
| `unlink`, fence | F1 | F2 (and F1); Acquire in `begin` | - | - | - | - | - | the clears are visible first. more |
| `unlink`, compare_exchange | Release | Acquire in `x::begin` | - | - | - | - | - | the ticket |
| `begin`, fetch_update | Acquire | Release in `unlink` | - | - | - | - | - | one \\| two |
| `begin`, fence | F2 | F1 | - | - | - | - | - | all |
| `begin`, swap | Acquire | Release of an ack | - | - | - | - | - | two |
| `begin`, swap | Release | Acquire here | - | - | - | - | - | one |
| `begin`, swap | AcqRel | itself | - | - | - | - | - | as its partner |"
        );
    }

    #[test]
    fn an_ordering_without_its_comment_is_a_fault() {
        let text = "\
fn f() {
    // Acquire: of another statement. Pairs with the Release in `f`.
    a();
    a.load(Ordering::Acquire);
    // Acquire: pairs with one half only.
    a.swap(1, Ordering::AcqRel);
    // A fence without a number. Pairs with F1.
    fence(Ordering::SeqCst);
    // Release: says with whom it goes, in other words.
    a.store(1, Ordering::Release);
}
";
        assert_eq!(
            of_text(text).unwrap_err().to_string(),
            "what an ordering pairs with is not clear:
src/a.rs:4 (`load` in `f`): no comment above this Acquire says `Acquire: pairs with ...`
src/a.rs:6 (`swap` in `f`): no comment above this AcqRel says `Acquire and Release: pairs with ...`
src/a.rs:8 (`fence` in `f`): no comment above this SeqCst says `F1: pairs with ...`
src/a.rs:10 (`store` in `f`): no comment above this Release says `Release: pairs with ...`"
        );
    }

    #[test]
    fn a_partner_that_is_not_there_is_a_fault() {
        let text = "\
fn f() {
    // F1: one. Pairs with F3 in `f`.
    fence(Ordering::SeqCst);
    // Acquire: pairs with the Release in `f`, `gone` and `f`.
    a.load(Ordering::Acquire);
}
";
        assert_eq!(
            of_text(text).unwrap_err().to_string(),
            "what an ordering pairs with is not clear:
src/a.rs:3 (`fence` in `f`): pairs with F3 in `f`: no fence is called F3
src/a.rs:5 (`load` in `f`): pairs with Release in `f`, `gone` and `f`: `gone` has no ordering to pair with"
        );
    }
}
