//! What differs, as a table for people: base, change, new, and the name of the count, under the row that it is of.

use comfy_table::{CellAlignment, Table, presets};
use gupsync_bench::spec::MmName;

use super::compared::{Change, Compared, Diff, Ended};
use super::side::Side;
use crate::table::{self, MAIL_WIDTH, number};

/// How many of so many, in words.
fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", number(Some(count as u64)), if count == 1 { "" } else { "s" })
}

/// All of it.
pub fn text(base: &Side, new: &Side, diff: &Diff<'_>) -> String {
    let footers = [("base", base), ("new", new)].map(|(word, side)| {
        textwrap::fill(
            &format!("{word}: {}", side.footer),
            textwrap::Options::new(MAIL_WIDTH).subsequent_indent("  "),
        )
    });
    let mut text = vec![footers.join("\n")];
    text.extend(diff.rows.iter().filter_map(of_row));
    text.extend(diff.missing.iter().cloned());
    text.push(summary(diff));
    text.join("\n\n")
}

fn of_row(row: &Compared<'_>) -> Option<String> {
    let mm = if row.new.mm == MmName::Total { String::new() } else { format!(", mm {}", row.new.mm) };
    let title = format!("{}{mm}: {}", row.new.policy, table::title(&[], row.new));
    let said = match &row.ended {
        Ended::Badly(how) | Ended::Better(how) => how.clone(),
        Ended::Alike if row.changes.is_empty() => return None,
        Ended::Alike => changes(&row.changes),
    };
    Some(format!("{}\n{said}", textwrap::fill(&title, MAIL_WIDTH)))
}

fn changes(changes: &[Change]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["base", "%change", "new", "metric", "class"]);
    for change in changes {
        let class = if change.is_exact { "exact" } else { "timing" };
        let percent = percent(change.base, change.new);
        table.add_row([&number(change.base), &percent, &number(change.new), change.counter.key, class]);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let is_figure = index < 3;
        column.set_cell_alignment(if is_figure { CellAlignment::Right } else { CellAlignment::Left });
        column.set_padding((2, 0));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// By how much it has changed; a dash where there was nothing to change.
fn percent(base: Option<u64>, new: Option<u64>) -> String {
    match (base, new) {
        (Some(base), Some(new)) if base > 0 => {
            format!("{:+.1}%", (new as f64 - base as f64) * 100.0 / base as f64)
        }
        _ => "-".to_owned(),
    }
}

fn summary(diff: &Diff<'_>) -> String {
    let differ = |is_exact| {
        let changes = diff.rows.iter().flat_map(|row| &row.changes);
        changes.filter(|change| change.is_exact == is_exact).count()
    };
    let exact: usize = diff.rows.iter().map(|row| row.exact).sum();
    let timing: usize = diff.rows.iter().map(|row| row.timing).sum();
    let (exact_differ, timing_differ) = (differ(true), differ(false));
    let mut said = format!(
        "{}: {} equal, {} not; {} within the tolerance, {} not",
        counted(diff.rows.len(), "row"),
        counted(exact - exact_differ, "exact field"),
        exact_differ,
        counted(timing - timing_differ, "other"),
        timing_differ,
    );
    let ended = diff.rows.iter().filter(|row| row.ended != Ended::Alike).count();
    for (count, what) in
        [(ended, "ended otherwise or badly, not compared"), (diff.missing.len(), "on one side only")]
    {
        if count > 0 {
            said += &format!("; {} {what}", counted(count, "row"));
        }
    }
    textwrap::fill(&said, MAIL_WIDTH)
}
