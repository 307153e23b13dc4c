//! Rows as a table for people.

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};
use gupsync_bench::row::{Counts, Status};
use gupsync_bench::spec::Workload;
use gupsync_bench::{Row, Spec};

/// A number with its thousands apart, or a dash for what was not counted.
pub fn number(value: Option<u64>) -> String {
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

/// Each setting that only some tables are about: its name with what joins it to its value, and the value.
fn settings(row: &Row) -> [(&'static str, String); 18] {
    [
        ("asids ", row.asids.to_string()),
        ("invlpgb_max ", row.invlpgb_max.to_string()),
        ("unshare_flush=", row.unshare_flush.clone()),
        ("trim ", row.trim.clone()),
        ("lazy ", row.lazy.to_string()),
        ("stale ", row.stale.to_string()),
        ("preempted ", row.preempted.to_string()),
        ("isolated ", row.isolated.to_string()),
        ("switchers ", row.switchers.to_string()),
        ("flushers ", row.flushers.to_string()),
        ("hold ", row.hold.to_string()),
        ("naps=", row.naps.clone()),
        ("tables ", row.tables.to_string()),
        ("gather ", row.gather.to_string()),
        ("sharers ", row.sharers.to_string()),
        ("interleave=", row.interleave.clone()),
        ("migrate=", row.migrate.clone()),
        ("operations=", row.operations.clone()),
    ]
}

/// What the rows of one table have in common: every setting that shaped them.
fn title(rows: &[Row], row: &Row) -> String {
    let invlpgb = match row.invlpgb.as_str() {
        "on" => format!("on ({}, global ASID from {} CPUs)", row.backend, row.threshold),
        other => other.to_owned(),
    };
    let mms = mms(rows).len();
    let mm = if mms > 1 { format!("{} mms", mms - 1) } else { format!("mm on {}", row.mm_cpus) };
    let mut said = format!(
        "{}, {} CPUs, {mm}, mutator {}, invlpgb={invlpgb}, flush={}",
        row.workload, row.cpus, row.mutator, row.flush
    );
    let workload = row.workload.parse().unwrap_or(Workload::Collapse);
    let usual = Row::without_counts(&Spec { workload, ..Spec::default() }, "", 0, Status::Ok);
    for ((name, value), (_, usual)) in settings(row).into_iter().zip(settings(&usual)) {
        if value != usual {
            said += &format!(", {name}{value}");
        }
    }
    format!("{said}, seed {}", row.seed)
}

/// The mms of a table, in order; that of all together is the last one.
fn mms(rows: &[Row]) -> Vec<&str> {
    let mut mms = Vec::new();
    for row in rows {
        if !mms.contains(&row.mm.as_str()) {
            mms.push(&row.mm);
        }
    }
    mms.sort_by_key(|mm| *mm == "total");
    mms
}

/// The rows of each table: those of one workload.
pub fn groups(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|a, b| a.workload == b.workload && a.invlpgb == b.invlpgb)
}

/// When a column is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Always,
    /// If some row has more than nothing to say there.
    IfAny,
}

type Column<'a> = (&'a str, Shown, Box<dyn Fn(&Row) -> String + 'a>);

fn columns(rows: &[Row]) -> Vec<Column<'_>> {
    let broadcast = |mm: &str| {
        rows.iter().find(|row| row.policy == "broadcast" && row.mm == mm).and_then(|row| row.counts.sync_ipis)
    };
    let ratio = move |row: &Row| match (row.counts.sync_ipis, broadcast(&row.mm)) {
        (Some(sync), Some(all)) if all != 0 => format!("{:.3}", sync as f64 / all as f64),
        _ => "-".to_owned(),
    };
    let several = mms(rows).len() > 1;
    let mm = move |row: &Row| if several { row.mm.clone() } else { "-".to_owned() };
    fn count<'a>(name: &'a str, shown: Shown, get: fn(&Counts) -> Option<u64>) -> Column<'a> {
        (name, shown, Box::new(move |row| number(get(&row.counts))))
    }
    use Shown::{Always, IfAny};
    vec![
        ("policy", Always, Box::new(|row| row.policy.clone())),
        ("mm", IfAny, Box::new(mm)),
        count("ops", Always, |c| c.ops),
        count("flush IPIs", Always, |c| c.flush_ipis),
        count("sync IPIs", Always, |c| c.sync_ipis),
        ("/broadcast", IfAny, Box::new(ratio)),
        count("other", IfAny, |c| c.other_ipis),
        count("skipped", Always, |c| c.syncs_skipped),
        count("set", IfAny, |c| c.set),
        count("cleared", IfAny, |c| c.cleared),
        count("foreign", Always, |c| c.foreign_interrupts),
        count("walking", IfAny, |c| c.walking_at_sync),
        count("at risk", Always, |c| c.at_risk),
        count("INVLPGB", IfAny, |c| c.invlpgb_ops),
        count("hypercalls", IfAny, |c| c.hypercalls),
        count("isolated", Always, |c| c.isolated_interrupts),
        count("gap", IfAny, |c| c.isolated_gap),
        count("held", Always, |c| c.held_at_unlink),
        count("walks", Always, |c| c.walks),
        ("status", Always, Box::new(|row| row.status.name().to_owned())),
    ]
}

/// A table of the rows of one setting: those of one mm together, those of all mms last.
pub fn render(rows: &[Row]) -> String {
    let Some(first) = rows.iter().find(|row| row.mm == "total") else { return String::new() };
    let says = |cell: &String| cell != "-" && cell != "0";
    let mut columns = columns(rows);
    columns.retain(|(_, shown, show)| *shown == Shown::Always || rows.iter().map(show).any(|cell| says(&cell)));
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(columns.iter().map(|(name, ..)| *name));
    for mm in mms(rows) {
        for row in rows.iter().filter(|row| row.mm == mm) {
            table.add_row(columns.iter().map(|(.., show)| show(row)));
        }
    }
    for (column, (name, ..)) in table.column_iter_mut().zip(&columns) {
        let left = ["policy", "mm", "status"].contains(name);
        column.set_cell_alignment(if left { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((0, 2));
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(0)));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n{}", title(rows, first), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(words: &str, policy: &str, mm: &str, sync_ipis: u64) -> Row {
        let spec = words.parse().expect("a spec");
        let counts = Counts { sync_ipis: Some(sync_ipis), ..Counts::default() };
        Row { mm: mm.to_owned(), counts, ..Row::without_counts(&spec, policy, 16, Status::Ok) }
    }

    #[test]
    fn the_title_names_what_differs() {
        let words = "workload=unshare lazy=3 trim=every:8 unshare_flush=series";
        assert_eq!(
            title(&[], &row(words, "pending", "total", 0)),
            "unshare, 16 CPUs, mm on 4, mutator inside, invlpgb=off, flush=ipi, \
             unshare_flush=series, trim every:8, lazy 3, seed 1"
        );
    }

    #[test]
    fn the_policies_of_an_mm_stand_together() {
        let mut rows = Vec::new();
        for (policy, sync_ipis) in [("broadcast", [10, 20, 30]), ("pending", [1, 5, 6])] {
            for (mm, sync_ipis) in ["global", "ipi", "total"].into_iter().zip(sync_ipis) {
                rows.push(row("workload=mixed", policy, mm, sync_ipis));
            }
        }
        let rendered = render(&rows);
        let cells: Vec<Vec<_>> =
            rendered.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert!(rendered.starts_with("mixed, 16 CPUs, 2 mms,"), "{rendered}");
        assert!(cells[0].starts_with(&["policy", "mm", "ops"]) && !rendered.contains("INVLPGB"), "{rendered}");
        assert!(cells[2].starts_with(&["pending", "global"]) && cells[2].contains(&"0.100"), "{rendered}");
        assert!(cells[4].starts_with(&["pending", "ipi"]) && cells[4].contains(&"0.250"), "{rendered}");
        assert!(cells[6].starts_with(&["pending", "total"]) && cells[6].contains(&"0.200"), "{rendered}");
    }
}
