//! Rows as tables: one for each workload and setting of INVLPGB, with bars for what is compared.

use gupsync_bench::Row;
use gupsync_bench::row::Status;
use gupsync_bench::spec::{MachineName, MmName};
use maud::{Markup, html};

use crate::table::{self, Look};

/// Rows that one table or chart is about, and the page's name of their document.
pub struct Group<'a> {
    /// Its rows.
    pub rows: &'a [Row],
    /// Where the command stands that printed them.
    pub source: usize,
}

impl<'a> Group<'a> {
    /// Whether it is about machines of several sizes.
    pub fn is_scale(&self) -> bool {
        self.rows.iter().any(|row| row.cpus != self.rows[0].cpus)
    }

    /// Its rows, those of one table together.
    pub fn tables(&self) -> Vec<&'a [Row]> {
        // Each mm of a mix runs on CPUs of its own number.
        let is_mix = self.rows.iter().any(|row| row.mm != MmName::Total);
        let is_one = |a: &Row, b: &Row| is_mix || (a.mm_cpus, a.order) == (b.mm_cpus, b.order);
        self.rows.chunk_by(is_one).collect()
    }
}

/// What a row was counted on, in words.
pub fn machine(row: &Row) -> &'static str {
    match row.machine {
        MachineName::Kernel => "kernel in QEMU",
        MachineName::Sim => "simulator",
        MachineName::Linux => "Linux in QEMU",
    }
}

/// Where a figure comes from.
pub fn from(source: usize) -> Markup {
    html! { a.from href=(format!("#source-{source}")) { "how to get this" } }
}

/// A table with what it is about above it, in a box in which one that is wider than the page can be moved.
pub fn boxed(caption: &Markup, table: &Markup) -> Markup {
    html! {
        p.caption { (caption) }
        div.scroll tabindex="0" { (table) }
    }
}

/// A table of rows; of a mix that of all mms together, and behind it those of each.
pub fn table(rows: &[Row], source: usize) -> Markup {
    let Some(shown) = table::shown(rows, Look::default()) else { return html! {} };
    let title = shown.title.replace('\u{a0}', " ");
    let first = machine(&rows[0]);
    let is_mixed = rows.iter().any(|row| machine(row) != first);
    let caption = html! {
        (title) @if !is_mixed { "; counted on: " b { (first) } } ". " (from(source))
    };
    let of = |mm: fn(MmName) -> bool| shown.lines.iter().filter(|(row, _)| mm(row.mm)).collect::<Vec<_>>();
    let each = of(|mm| mm != MmName::Total);
    let total = of(|mm| mm == MmName::Total);
    if each.is_empty()
        && !is_mixed
        && let Some(policies) = alike(&total)
    {
        return html! { p.caption { (caption) } p { "All alike, and " b { "ok" } ": " (policies) "." } };
    }
    html! {
        (boxed(&caption, &drawn(&shown.headers, &total, is_mixed)))
        @if !each.is_empty() {
            details {
                summary { "The same for each mm" }
                (boxed(&html! {}, &drawn(&shown.headers, &each, is_mixed)))
            }
        }
    }
}

/// What a row is and what its columns show.
type Line<'a> = (&'a Row, Vec<String>);

/// The policies of `lines`, if all that these would show is that each row is what its policy promises.
fn alike(lines: &[&Line<'_>]) -> Option<Markup> {
    let is_bare = |(row, cells): &&Line<'_>| {
        let is_status = |cell: &String| *cell == row.status.to_string();
        row.status == Status::Ok && row.judge().is_ok() && cells.iter().skip(1).all(is_status)
    };
    let markup = html! {
        @for (index, (row, _)) in lines.iter().enumerate() {
            @if index > 0 { ", " }
            code { (row.policy) }
        }
    };
    (lines.len() > 1 && lines.iter().all(is_bare)).then_some(markup)
}

/// Lines of a table; `is_mixed` if they were not all counted on the same.
fn drawn(headers: &[(&str, bool)], lines: &[&Line<'_>], is_mixed: bool) -> Markup {
    let most = lines.iter().filter_map(|(row, _)| row.counts.sync_ipis).max().unwrap_or_default();
    let has_bars = most > 0;
    let width = headers.len() + usize::from(has_bars) + usize::from(is_mixed);
    html! {
        table {
            thead { tr {
                @for (header, is_name) in headers { th.num[!is_name] scope="col" { (header) } }
                @if has_bars { th.bar scope="col" { "sync IPIs" } }
                @if is_mixed { th scope="col" { "counted on" } }
            } }
            tbody { @for (row, cells) in lines {
                tr.linux[row.policy.is_linux()].bad[row.judge().is_err()] {
                    @for (index, (cell, (_, is_name))) in cells.iter().zip(headers).enumerate() {
                        @if index == 0 { th scope="row" { (cell) } } @else { td.num[!is_name] { (cell) } }
                    }
                    @if has_bars { td.bar { (bar(row.counts.sync_ipis, most)) } }
                    @if is_mixed { td { (machine(row)) } }
                }
                @if let Err(fault) = row.judge() {
                    tr.bad { td.wrap colspan=(width) { (row.policy) ": " (fault) } }
                }
            } }
        }
    }
}

/// A bar, as long as a count is large. Zero, and what was not counted, has none.
fn bar(count: Option<u64>, most: u64) -> Markup {
    let Some(count) = count.filter(|count| *count > 0) else { return html! {} };
    let width = 100.0 * count as f64 / most.max(1) as f64;
    html! { i style=(format!("width:{width:.1}%")) {} }
}
