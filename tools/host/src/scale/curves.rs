//! Rows of many sizes as tables: a line for each size, a column for the policies that cost the same in all of them.

use comfy_table::{CellAlignment, Table, presets};
use gupsync_bench::Row;
use gupsync_bench::spec::Status;
use gupsync_sim::{COSTS, Cost};

use crate::document::Document;
use crate::table::{self, Look, number};

/// Sizes that machines have, and how they come to them.
pub const MACHINES: &[(usize, &str)] = &[
    (768, "2 sockets of 192 cores, 2 threads each"),
    (1024, "16 sockets of 32 cores, 2 threads each"),
    (1792, "32 sockets of 28 cores, 2 threads each"),
];

/// The policies that have sent as much in every size, and their rows, the smallest machine first.
pub struct Curve<'a> {
    /// Their names.
    pub policies: Vec<String>,
    /// The rows of the first of them.
    pub rows: Vec<&'a Row>,
}

/// What a policy has sent in each size.
fn sent(rows: &[&Row]) -> Vec<[Option<u64>; 4]> {
    let of = |row: &&Row| {
        let c = &row.counts;
        [c.flush_ipis, c.sync_ipis, c.other_ipis, isolated(row)]
    };
    rows.iter().map(of).collect()
}

/// The requests that isolated CPUs have carried out.
pub fn isolated(row: &Row) -> Option<u64> {
    let c = &row.counts;
    Some(c.isolated_flush_requests? + c.isolated_sync_requests? + c.isolated_other_requests?)
}

/// The rows of some sizes, by what the policies have sent.
pub fn curves<'a>(rows: &[&'a Row]) -> Vec<Curve<'a>> {
    let mut curves: Vec<Curve<'_>> = Vec::new();
    let mut names: Vec<_> = rows.iter().map(|row| row.policy).collect();
    names.sort_by_key(|name| rows.iter().position(|row| row.policy == *name));
    names.dedup();
    for name in names {
        let rows: Vec<_> = rows.iter().copied().filter(|row| row.policy == name).collect();
        match curves.iter_mut().find(|curve| sent(&curve.rows) == sent(&rows)) {
            Some(curve) => curve.policies.push(name.to_string()),
            None => curves.push(Curve { policies: vec![name.to_string()], rows }),
        }
    }
    curves
}

/// What the handler of an interrupt takes, modelled.
pub fn handler() -> &'static Cost {
    COSTS.iter().find(|cost| cost.name == "handle").expect("it is a cost")
}

/// The CPU time that an operation interrupts, in microseconds: its targets times the handler, from the least to the most.
pub fn interrupted(row: &Row) -> Option<[f64; 2]> {
    let c = &row.counts;
    let targets = (c.flush_ipis? + c.sync_ipis? + c.other_ipis?) as f64 / c.ops.filter(|ops| *ops > 0)? as f64;
    let [low, _, high] = handler().values;
    Some([low, high].map(|handle| targets * handle as f64 / 1000.0))
}

fn band(row: &Row) -> String {
    match interrupted(row) {
        Some([low, high]) if high > 0.0 => format!("{low:.1}-{high:.1}"),
        Some(_) => "0".to_owned(),
        None => "-".to_owned(),
    }
}

fn per_op(row: &Row) -> String {
    match (isolated(row), row.counts.ops) {
        (Some(requests), Some(ops)) if ops > 0 && requests % ops == 0 => number(Some(requests / ops)),
        (Some(requests), Some(ops)) if ops > 0 => format!("{:.3}", requests as f64 / ops as f64),
        _ => "-".to_owned(),
    }
}

/// The name of a column.
pub fn letter(index: usize) -> String {
    char::from(b'A' + index as u8).to_string()
}

/// A line for each size, what `show` says of each curve in it.
fn lines(curves: &[Curve<'_>], look: Look, show: impl Fn(&Row) -> String) -> String {
    let mut table = Table::new();
    table.load_preset(if look.is_markdown { presets::ASCII_MARKDOWN } else { presets::NOTHING });
    let has_orders = curves[0].rows.iter().any(|row| row.order != curves[0].rows[0].order);
    let head = ["CPUs", "mm on"].into_iter().chain(has_orders.then_some("order")).map(str::to_owned);
    table.set_header(head.chain((0..curves.len()).map(letter)));
    for (at, row) in curves[0].rows.iter().enumerate() {
        let size = [row.cpus as u64, row.mm_cpus as u64].into_iter().chain(has_orders.then_some(row.order));
        let size = size.map(|size| number(Some(size)));
        table.add_row(size.chain(curves.iter().map(|curve| show(curve.rows[at]))));
    }
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// What a workload costs, with INVLPGB on or off.
fn render(rows: &[&Row], rate: f64, look: Look) -> String {
    let curves = curves(rows);
    let largest = rows.iter().max_by_key(|row| row.cpus).expect("there is a row");
    let title = table::title(&[(*largest).clone()], largest);
    let ops = number(largest.counts.ops);
    let mut parts = vec![format!("{title}, simulated, {ops} operations each")];
    let named = curves.iter().enumerate();
    parts.push(
        named
            .map(|(index, curve)| format!("{}: {}", letter(index), curve.policies.join(", ")))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    parts.push(format!("sync IPIs:\n{}", lines(&curves, look, |row| number(row.counts.sync_ipis))));
    let [low, mid, high] = handler().values;
    parts.push(format!(
        "CPU time interrupted by an operation, in us, modelled (targets of flush and sync, {low} to {high} ns each, {mid} usually):\n{}",
        lines(&curves, look, band)
    ));
    if rows.iter().any(|row| isolated(row).is_some()) {
        let at_rate = curves.iter().enumerate().filter_map(|(index, curve)| {
            let row = curve.rows.iter().rev().find(|row| isolated(row).is_some())?;
            let a_second = rate * isolated(row)? as f64 / row.counts.ops.filter(|ops| *ops > 0)? as f64;
            Some(format!("{} {a_second:.2}", letter(index)))
        });
        let at_rate = at_rate.collect::<Vec<_>>().join(", ");
        parts.push(format!(
            "interrupts of an isolated CPU by an operation; at {rate} operations a second, each second: {at_rate}\n{}",
            lines(&curves, look, per_op)
        ));
    }
    let wrapped = |part: &String| match part.split_once('\n') {
        Some((head, rest)) => format!("{}\n{rest}", textwrap::fill(head, look.width())),
        None => textwrap::fill(part, look.width()),
    };
    parts.iter().map(wrapped).collect::<Vec<_>>().join("\n\n")
}

/// All of a document.
pub fn document(document: &Document, rate: f64, look: Look) -> String {
    let groups = document.rows.chunk_by(|a, b| a.workload == b.workload && a.invlpgb == b.invlpgb);
    let mut text = Vec::new();
    for rows in groups {
        // A row that did not come is said by the verdict.
        let rows: Vec<_> = rows.iter().filter(|row| row.status != Status::Died).collect();
        if !rows.is_empty() {
            text.push(render(&rows, rate, look));
        }
    }
    let is_there = |(cpus, _): &&(usize, _)| document.rows.iter().any(|row| row.cpus == *cpus);
    let machines = MACHINES
        .iter()
        .filter(is_there)
        .map(|(cpus, how)| format!("{} CPUs: {how}", number(Some(*cpus as u64))));
    text.push(machines.collect::<Vec<_>>().join("\n"));
    text.push(textwrap::fill(&document.footer(), look.width()));
    text.retain(|part| !part.is_empty());
    text.join("\n\n")
}
