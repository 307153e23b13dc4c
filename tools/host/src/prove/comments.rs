//! What the comment above an ordering says of it.
//!
//! Every ordering stronger than Relaxed has a comment directly above it, or above the statement it is in. The comment has a
//! clause for it:
//!
//! ```text
//! // Release: pairs with the Acquire in `begin`; what it is for.
//! // Acquire: what it is for. Pairs with the Release in `unlink`: more about it. Relaxed on failure: not looked at.
//! // F3: what is visible before what. Pairs with F1 and F2: more. With the Acquire in `look`: a partner besides.
//! ```
//!
//! An AcqRel has a clause for each half, or one that begins with `Acquire and Release:`. A full fence has a number.

use super::sites::Site;

/// An ordering, or half of one, and what its comment says.
#[derive(Debug, PartialEq, Eq)]
pub struct Pairing {
    pub site: Site,
    /// The ordering, or the number of a fence.
    pub name: String,
    pub partner: String,
    pub purpose: String,
}

/// The comment above line number `line`, or above the statement that the line is in.
pub fn comment_above(lines: &[&str], line: usize) -> String {
    let is_comment = |line: &&&str| line.trim_start().starts_with("// ");
    let is_arm = |line: &str| line.contains("=>") && line.ends_with(',');
    let is_outside = |line: &str| line.is_empty() || line.ends_with([';', '{', '}']) || is_arm(line);
    let above = lines[..line - 1].iter().rev();
    let mut before = above.skip_while(|line| !is_comment(line) && !is_outside(line)).peekable();
    if before.peek().is_none_or(|line| !is_comment(line)) {
        return String::new();
    }
    let mut comment: Vec<_> =
        before.take_while(is_comment).map(|line| line.trim_start()[3..].trim_end()).collect();
    comment.reverse();
    comment.join(" ")
}

/// What a comment says of an ordering: each half of an AcqRel apart, unless one clause is about both.
pub fn pairings_of(site: &Site, comment: &str) -> Option<Vec<Pairing>> {
    let clauses = clauses(comment);
    let clause = |wanted: &str| clauses.iter().find(|(name, _)| name == wanted);
    let found = match site.ordering.as_str() {
        _ if site.is_fence() => vec![clauses.iter().find(|(name, _)| is_fence_number(name))?],
        "AcqRel" => match clause("Acquire and Release") {
            Some(both) => vec![both],
            None => vec![clause("Acquire")?, clause("Release")?],
        },
        ordering => vec![clause(ordering)?],
    };
    found.into_iter().map(|(name, body)| pairing(site, name, body)).collect()
}

/// `Name: body`, by name: a sentence that begins with an ordering or with the number of a fence begins a clause.
fn clauses(comment: &str) -> Vec<(String, String)> {
    let mut clauses: Vec<(String, String)> = Vec::new();
    for sentence in comment.split_inclusive(". ") {
        let begins = sentence.split_once(": ").filter(|(name, _)| {
            let first = name.split([' ', ',']).next().unwrap_or_default();
            ["Acquire", "Release", "AcqRel", "SeqCst", "Relaxed"].contains(&first) || is_fence_number(name)
        });
        match (begins, clauses.last_mut()) {
            (Some((name, body)), _) => clauses.push((name.to_owned(), body.to_owned())),
            (None, Some((_, body))) => body.push_str(sentence),
            (None, None) => {}
        }
    }
    clauses
}

pub fn is_fence_number(name: &str) -> bool {
    name.strip_prefix('F').is_some_and(|number| number.parse::<u32>().is_ok())
}

fn pairing(site: &Site, name: &str, body: &str) -> Option<Pairing> {
    /// Without its first letter, which may be large.
    const FIRST: &str = "airs with ";
    /// Begins a sentence about a partner besides.
    const NEXT: &str = "With ";
    let mut partners = Vec::new();
    let mut sentences = Vec::new();
    for sentence in body.split(". ").map(|sentence| sentence.trim().trim_end_matches('.')) {
        let mark = sentence.find(FIRST).map(|at| (at - 1, at + FIRST.len()));
        let also = || sentence.starts_with(NEXT).then_some((0, NEXT.len()));
        let Some((start, from)) = mark.or_else(|| also().filter(|_| !partners.is_empty())) else {
            sentences.push(sentence);
            continue;
        };
        let end = ["; ", ": "].iter().filter_map(|end| sentence[from..].find(end)).min();
        let (partner, rest) = match end {
            Some(end) => (&sentence[from..from + end], &sentence[from + end + 2..]),
            None => (&sentence[from..], ""),
        };
        partners.push(without_asides(partner));
        sentences.push(sentence[..start].trim_end_matches(['(', ' ', ',', ';']));
        sentences.push(rest);
    }
    let purpose = sentences.into_iter().filter(|sentence| !sentence.is_empty()).collect::<Vec<_>>().join(". ");
    (!partners.is_empty()).then(|| Pairing {
        site: site.clone(),
        name: name.replace("Acquire and Release", "AcqRel"),
        partner: partners.join("; "),
        purpose,
    })
}

/// A partner without what is said about it in parentheses, unless they name another.
fn without_asides(partner: &str) -> String {
    let mut text = partner.trim_start_matches("the ").replace(" and with the ", " and the ");
    let mut from = 0;
    while let Some(open) = text[from..].find(" (").map(|at| from + at) {
        let Some(close) = text[open..].find(')').map(|at| open + at + 1) else { break };
        if names_a_partner(&text[open..close]) {
            from = close;
        } else {
            text.replace_range(open..close, "");
        }
    }
    text
}

fn names_a_partner(text: &str) -> bool {
    text.contains('`') || words(text).any(is_fence_number)
}

pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
}
