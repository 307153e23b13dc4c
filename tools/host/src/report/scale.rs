//! What a workload costs on machines of many sizes: curves, and the figures that they are drawn from.

use gupsync_bench::Row;
use gupsync_bench::spec::Status;
use maud::{Markup, html};

use super::chart::{self, Series};
use super::rows::{Group, boxed, from, machine};
use crate::scale::curves::{self, Curve, MACHINES};
use crate::table::{self, number};

/// Which rows belong together: so many CPUs that run the mm, where there is room for them, and collapses of one order.
fn parts<'a>(rows: &'a [Row]) -> Vec<Vec<&'a Row>> {
    let rows: Vec<_> = rows.iter().filter(|row| row.status != Status::Died).collect();
    let Some(largest) = rows.iter().map(|row| row.cpus).max() else { return Vec::new() };
    let mut kinds: Vec<_> =
        rows.iter().filter(|row| row.cpus == largest).map(|row| (row.order, row.mm_cpus)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let of = |(order, members): (u64, usize)| {
        let fits = |row: &&Row| row.order == order && row.mm_cpus <= members;
        let most = |cpus: usize| {
            let there = rows.iter().copied().filter(fits).filter(|row| row.cpus == cpus);
            there.map(|row| row.mm_cpus).max()
        };
        let is_it = |row: &&'a Row| fits(row) && most(row.cpus) == Some(row.mm_cpus);
        rows.iter().copied().filter(is_it).collect()
    };
    kinds.into_iter().map(of).collect()
}

/// An exact figure by operation.
pub fn each(count: Option<u64>, ops: Option<u64>) -> Option<f64> {
    Some(count? as f64 / ops.filter(|ops| *ops > 0)? as f64)
}

/// It in words: whole, or to a thousandth.
pub fn said(value: f64) -> String {
    if value.fract() == 0.0 { number(Some(value as u64)) } else { format!("{value:.3}") }
}

/// All of a group.
pub fn charts(group: &Group<'_>) -> Markup {
    html! { @for rows in parts(group.rows) { (one(&rows, group.source)) } }
}

fn one(rows: &[&Row], source: usize) -> Markup {
    let curves = curves::curves(rows);
    let Some(largest) = rows.iter().max_by_key(|row| row.cpus) else { return html! {} };
    let title = table::title(&[(**largest).clone()], largest);
    let series = |values: &dyn Fn(&Row) -> Option<[f64; 2]>| -> Vec<Series> {
        let one = |(index, curve): (usize, &Curve<'_>)| Series {
            letter: curves::letter(index),
            points: curve.rows.iter().filter_map(|row| Some((row.cpus, values(row)?))).collect(),
        };
        curves.iter().enumerate().map(one).collect()
    };
    let syncs = series(&|row| each(row.counts.sync_ipis, row.counts.ops).map(|each| [each, each]));
    let [low, mid, high] = curves::handler().values;
    html! {
        figure {
            figcaption { "At the largest size: " (title) "; " (machine(largest)) ", " (number(largest.counts.ops))
                " operations in each row. " (from(source)) }
            ul.legend { @for (index, curve) in curves.iter().enumerate() {
                li { (key(index)) " " b { (curves::letter(index)) } " " (curve.policies.join(", ")) }
            } }
            div.pair {
                (chart::log_log(&syncs, "sync IPIs by operation", |[each, _]| format!("{} by operation", said(each))))
                (chart::log_log(&series(&curves::interrupted), "CPU time interrupted by operation, us, modelled",
                    |[low, high]| format!("{low:.1} to {high:.1} us")))
            }
            p.note { "The second chart is modelled, not measured: the targets of flush and sync, which are counted, times a handler of "
                (low) " to " (high) " ns (usually " (mid) "), which is an assumption." }
            details { summary { "The figures: sync IPIs" } (figures(&curves)) }
        }
    }
}

/// A piece of a curve.
fn key(index: usize) -> Markup {
    html! { svg.key viewBox="0 0 24 10" aria-hidden="true" { g class=(chart::class(index)) { path.line d="M1 5H23" {} } } }
}

fn figures(curves: &[Curve<'_>]) -> Markup {
    let rows = curves.first().map(|curve| curve.rows.as_slice()).unwrap_or_default();
    boxed(
        &html! { "Of all operations together." },
        &html! {
            table {
                thead { tr {
                    th.num scope="col" { "CPUs" }
                    th.num scope="col" { "mm on" }
                    @for index in 0..curves.len() { th.num scope="col" { (curves::letter(index)) } }
                    th scope="col" { "" }
                } }
                tbody { @for first in rows { tr {
                    th.num scope="row" { (number(Some(first.cpus as u64))) }
                    td.num { (first.mm_cpus) }
                    @for curve in curves {
                        @let row = curve.rows.iter().find(|row| row.cpus == first.cpus);
                        td.num { (number(row.and_then(|row| row.counts.sync_ipis))) }
                    }
                    td { @for (_, how) in MACHINES.iter().filter(|(cpus, _)| *cpus == first.cpus) { (how) } }
                } } }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_cpus_that_run_the_mm_are_kept_apart_where_there_is_room() {
        let row = |cpus: usize, words: &str| {
            let spec: gupsync_bench::Spec = words.parse().expect("a spec");
            Row { cpus, ..Row::without_counts(&spec, spec.policy[0], cpus, Status::Ok) }
        };
        let rows = [
            row(1, "mm_cpus=1"),
            row(8, "mm_cpus=3"),
            row(8, "mm_cpus=8"),
            row(64, "mm_cpus=3"),
            row(64, "mm_cpus=8"),
            row(64, "mm_cpus=8 order=4"),
        ];
        let sizes = |rows: Vec<&Row>| rows.iter().map(|row| (row.cpus, row.mm_cpus)).collect::<Vec<_>>();
        let parts: Vec<_> = parts(&rows).into_iter().map(sizes).collect();
        assert_eq!(parts, [vec![(64, 8)], vec![(1, 1), (8, 3), (64, 3)], vec![(1, 1), (8, 8), (64, 8)]]);
    }
}
