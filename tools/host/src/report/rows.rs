//! Rows as tables: one for each workload and setting of INVLPGB, with bars for what is compared.

use gupsync_bench::Row;
use gupsync_bench::spec::{MachineName, MmName};
use maud::{Markup, html};

use crate::table::{self, Shown};

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

/// A box in which a table that is wider than the page can be moved.
pub fn boxed(table: Markup) -> Markup {
    html! { div.scroll tabindex="0" { (table) } }
}

/// A table of rows.
pub fn table(rows: &[Row], source: usize) -> Markup {
    let Some(Shown { title, headers, lines }) = table::shown(rows, false) else { return html! {} };
    let most = lines.iter().filter_map(|(row, _)| row.counts.sync_ipis).max().unwrap_or_default();
    let title = title.replace('\u{a0}', " ");
    boxed(html! {
        table {
            caption { (title) " " (from(source)) }
            thead { tr {
                @for (index, (header, is_name)) in headers.iter().enumerate() {
                    th.num[!is_name] scope="col" { (header) }
                    @if index == 0 { th scope="col" { "counted on" } }
                }
                th.bar scope="col" { "sync IPIs drawn" }
            } }
            tbody { @for (row, cells) in &lines {
                tr.linux[row.policy.is_linux()].bad[row.judge().is_err()] {
                    @for (index, (cell, (_, is_name))) in cells.iter().zip(&headers).enumerate() {
                        @if index == 0 {
                            th scope="row" { (cell) }
                            td { (machine(row)) }
                        } @else {
                            td.num[!is_name] { (cell) }
                        }
                    }
                    td.bar { (bar(row.counts.sync_ipis, most)) }
                }
                @if let Err(fault) = row.judge() {
                    tr.bad { td colspan=(headers.len() + 2) { (row.policy) ": " (fault) } }
                }
            } }
        }
    })
}

/// A bar, as long as a count is large. What was not counted has none.
fn bar(count: Option<u64>, most: u64) -> Markup {
    let Some(count) = count else { return html! {} };
    let width = 100.0 * count as f64 / most.max(1) as f64;
    html! { i style=(format!("width:{width:.1}%")) {} }
}
