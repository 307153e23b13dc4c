//! The figures as tables for people.

use comfy_table::{CellAlignment, Table, presets};
use gupsync_bench::cost::{Group, PIECES, Piece};
use gupsync_bench::spec::PolicyName;

use super::row::{CostRow, Costs, NOTHING};
use crate::document::Document;
use crate::table::{Look, number};

/// So many columns of a terminal a table takes at most.
const WIDTH: usize = 80;

/// All of it: a table for each group of pieces, what follows from them, and what they come from.
#[must_use]
pub fn document(costs: &Costs, document: &Document<CostRow>, look: Look) -> String {
    let title = |text: String| textwrap::fill(&text, WIDTH);
    let mut parts = Vec::new();
    for (group, text) in [
        (Group::Walk, "GUP-fast: instructions of one walk, or of several one after the other"),
        (
            Group::Sync,
            "sync: instructions of the sender, the waiting not counted; covered: the flush has interrupted all CPUs of the \
             mm (4 of 8); N of M: nothing has, the mm on N CPUs of M",
        ),
        (
            Group::Operation,
            "c, collapse, and u, unshare: instructions from the unlink until the table may be reused, one CPU, or the mm on \
             4 of 8",
        ),
    ] {
        parts.push(format!("{}{}{}", title(text.to_owned()), end(look), of_policies(costs, group, look)));
    }
    parts.push(format!(
        "{}{}{}",
        title("whatever the policy: it is no part of these".to_owned()),
        end(look),
        shared(costs, look)
    ));
    parts.push(title(summary(costs)));
    parts.push(title(document.footer()));
    parts.join("\n\n")
}

/// A paragraph and a table are kept apart by an empty line in Markdown.
fn end(look: Look) -> &'static str {
    if look.is_markdown { "\n\n" } else { "\n" }
}

fn pieces(group: Group) -> impl Iterator<Item = Piece> {
    PIECES.iter().copied().filter(move |piece| piece.group() == group && *piece != Piece::empty)
}

fn drawn(headers: Vec<String>, rows: Vec<Vec<String>>, look: Look) -> String {
    let mut table = Table::new();
    table.load_preset(if look.is_markdown { presets::ASCII_MARKDOWN } else { presets::NOTHING });
    table.set_header(headers).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if index == 0 { CellAlignment::Left } else { CellAlignment::Right });
        if !look.is_markdown {
            column.set_padding((0, 2));
        }
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A line for each policy, a column for each piece.
fn of_policies(costs: &Costs, group: Group, look: Look) -> String {
    let is_walk = group == Group::Walk;
    let first = pieces(group).next().expect("a group has pieces");
    let mut headers = vec!["policy".to_owned()];
    headers.extend(pieces(group).map(|piece| piece.column().to_owned()));
    if is_walk {
        headers.extend(["fences", "code"].map(str::to_owned));
    }
    let line = |policy: Option<PolicyName>| {
        let mut line = vec![policy.map_or_else(String::new, |policy| policy.to_string())];
        line.extend(pieces(group).map(|piece| number(Some(costs.row(piece, policy).instructions))));
        if is_walk {
            let row = costs.row(first, policy);
            // The kernel is at -2 GiB: the upper half of each address is the same.
            line.extend([number(Some(row.fences)), format!("{:x}", row.code as u32)]);
        }
        line
    };
    drawn(headers, first.policies().map(line).collect(), look)
}

/// A line for each piece that no policy is part of.
fn shared(costs: &Costs, look: Look) -> String {
    let headers = ["piece", "instructions", "atomics", "fences"].map(str::to_owned);
    let line = |piece: Piece| {
        let row = costs.row(piece, None);
        let figures = [row.instructions, row.atomics, row.fences].map(|figure| number(Some(figure)));
        [vec![piece.column().to_owned()], figures.into()].concat()
    };
    drawn(headers.into(), pieces(Group::Shared).map(line).collect(), look)
}

/// What follows from the figures.
fn summary(costs: &Costs) -> String {
    let [instructions, atomics, fences] = costs.ticket();
    let same = pieces(Group::Walk).next().expect("there are walks").policies().flatten();
    let same = same
        .filter(|policy| *policy != NOTHING)
        .filter(|policy| pieces(Group::Walk).all(|piece| costs.row(piece, Some(*policy)).is_that_of_never));
    let same: Vec<_> = same.map(|policy| policy.to_string()).collect();
    let sizes = &costs.sizes;
    format!(
        "The walks of {} are the code of {NOTHING}, at the same addresses. A ticket takes {instructions} instructions beyond \
         the clear, {atomics} atomic and {fences} fence of them, and an mm {} bytes of {} for its state. In Linux's form the \
         ticket is the flush's own `tlb_gen`: it takes none of these, and 8 bytes. Sends are those of the {}.",
        same.join(", "),
        sizes.pending,
        sizes.mm,
        sizes.apic,
    )
}
