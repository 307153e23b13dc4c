//! Rows as a table for people.

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};
use gupsync::scenario::Row;

/// A number with its thousands apart, or a dash for what was not counted.
fn number(value: Option<u64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// What the rows of one table have in common.
fn title(row: &Row) -> String {
    let invlpgb = match row.invlpgb.as_str() {
        "on" => format!("on ({}, global ASID from {} CPUs)", row.backend, row.threshold),
        other => other.to_owned(),
    };
    format!(
        "{}, {} CPUs, mm on {}, mutator {}, invlpgb={invlpgb}, flush={}, seed {}",
        row.workload, row.cpus, row.mm_cpus, row.mutator, row.flush, row.seed
    )
}

/// The rows of each table: those of one workload.
pub fn groups(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|a, b| a.workload == b.workload && a.invlpgb == b.invlpgb)
}

/// A table of the rows of one setting.
pub fn render(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let broadcast = rows.iter().find(|row| row.policy == "broadcast").and_then(|row| row.counts.sync_ipis);
    let ratio = |row: &Row| match (row.counts.sync_ipis, broadcast) {
        (Some(sync), Some(all)) if all != 0 => format!("{:.3}", sync as f64 / all as f64),
        _ => "-".to_owned(),
    };
    type Column<'a> = (&'a str, Box<dyn Fn(&Row) -> String + 'a>);
    let columns: [Column<'_>; 13] = [
        ("policy", Box::new(|row| row.policy.clone())),
        ("ops", Box::new(|row| number(row.counts.ops))),
        ("flush IPIs", Box::new(|row| number(row.counts.flush_ipis))),
        ("sync IPIs", Box::new(|row| number(row.counts.sync_ipis))),
        ("/broadcast", Box::new(ratio)),
        ("skipped", Box::new(|row| number(row.counts.syncs_skipped))),
        ("foreign", Box::new(|row| number(row.counts.foreign_interrupts))),
        ("walking", Box::new(|row| number(row.counts.walking_at_sync))),
        ("at risk", Box::new(|row| number(row.counts.at_risk))),
        ("INVLPGB", Box::new(|row| number(row.counts.invlpgb_ops))),
        ("held", Box::new(|row| number(row.counts.held_at_unlink))),
        ("walks", Box::new(|row| number(row.counts.walks))),
        ("status", Box::new(|row| row.status.name().to_owned())),
    ];
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(columns.iter().map(|(name, _)| *name));
    for row in rows {
        table.add_row(columns.iter().map(|(_, show)| show(row)));
    }
    let last = columns.len() - 1;
    for (index, column) in table.column_iter_mut().enumerate() {
        let left = index == 0 || index == last;
        column.set_cell_alignment(if left { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((0, 2));
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(0)));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n{}", title(first), lines.join("\n"))
}
