//! A real Linux beside `broadcast`, which is to do what mainline does.

use gupsync::policy::{Broadcast, Policy};
use gupsync_bench::Row;
use gupsync_bench::spec::{MmName, PolicyName, Status};
use maud::{Markup, html};

use super::rows::{Group, boxed, from};
use super::scale::{each, said};

/// A row of Linux, that of `broadcast` for the same work if it is there, and where they come from.
fn pairs<'a>(groups: &[Group<'a>]) -> Vec<(&'a Row, Option<&'a Row>, usize)> {
    let of = |group: &Group<'a>| {
        let (rows, source) = (group.rows, group.source);
        let is_beside = |row: &&Row| {
            row.policy == PolicyName::of::<Broadcast>() && row.mm == MmName::Total && row.status == Status::Ok
        };
        let broadcast = rows.iter().find(is_beside);
        rows.iter().filter(|row| row.policy.is_linux()).map(move |row| (row, broadcast, source))
    };
    groups.iter().flat_map(of).collect()
}

/// A line for each workload that a Linux has done.
pub fn table(groups: &[Group<'_>]) -> Markup {
    let pairs = pairs(groups);
    if pairs.is_empty() {
        return html! { p {
            "No document that was given has rows of a real Linux: " code { "tools/gupsync compare --with-linux" } " "
            "writes some."
        } };
    }
    let caption = html! {
        "Calls of other CPUs by operation, on average; in those of Linux is what an mm costs once, when it comes to rest."
    };
    boxed(
        &caption,
        &html! {
            table {
                thead { tr {
                    th scope="col" { "workload" }
                    th scope="col" { "Linux" }
                    @for what in ["flush", "sync"] {
                        th.num scope="col" { (what) ", Linux" }
                        th.num scope="col" { (what) ", " (Broadcast::NAME) }
                    }
                    th scope="col" { "status" }
                    th scope="col" {}
                } }
                tbody { @for (linux, broadcast, source) in pairs { tr.bad[linux.judge().is_err()] {
                    th scope="row" { (linux.workload) }
                    td { (linux.policy) }
                    @for count in [|row: &Row| row.counts.flush_ipis, |row: &Row| row.counts.sync_ipis] {
                        td.num { (by_operation(Some(linux), count)) }
                        td.num { (by_operation(broadcast, count)) }
                    }
                    td { (linux.status) }
                    td { (from(source)) }
                } } }
            }
        },
    )
}

fn by_operation(row: Option<&Row>, count: fn(&Row) -> Option<u64>) -> String {
    row.and_then(|row| each(count(row), row.counts.ops)).map_or("-".to_owned(), said)
}
