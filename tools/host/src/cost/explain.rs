//! What each policy adds to a piece, an instruction a line.

use std::collections::BTreeMap;
use std::fmt::Write;

use gupsync_bench::cost::Piece;

use super::row::{CostRow, Costs, Difference, NOTHING};

/// The differences of all policies at `piece`; those that are the same for several, once.
#[must_use]
pub fn piece(costs: &Costs, piece: Piece) -> String {
    let mut text = format!("{piece}: {}", piece.about().trim());
    let rows: Vec<_> = costs.rows.iter().filter(|row| row.piece == piece).collect();
    let mut groups: BTreeMap<usize, Vec<&CostRow>> = BTreeMap::new();
    for row in &rows {
        let first = rows.iter().position(|other| other.differs == row.differs).unwrap_or(0);
        groups.entry(first).or_default().push(row);
    }
    for group in groups.into_values() {
        let names: Vec<_> = group.iter().filter_map(|row| Some(row.policy?.to_string())).collect();
        let [CostRow { instructions, differs, is_that_of_never, .. }, ..] = group.as_slice() else { continue };
        let _ = write!(text, "\n{}: {instructions} instructions", names.join(", "));
        if *is_that_of_never {
            let _ = write!(text, ", those of {NOTHING}");
        }
        let width = differs.iter().map(|one| one.instruction.len()).max().unwrap_or(0).min(60);
        for Difference { times, instruction, place } in differs {
            let _ = write!(text, "\n  {times:>+5}  {instruction:width$}  {place}");
        }
    }
    text
}
