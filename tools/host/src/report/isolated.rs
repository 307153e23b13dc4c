//! What an isolated CPU is interrupted by, under each policy.

use gupsync_bench::Row;
use maud::{Markup, html};

use super::rows::{boxed, from};
use super::scale::{each, said};
use super::source::Source;

/// khugepaged's own rate at its defaults: 4,096 pages, so 8 ranges, each 10 seconds.
const RATE: f64 = 0.8;

/// The two kinds of isolated CPUs: the rows of each, and where they come from.
pub fn tables(outside: (&Source, usize), member: (&Source, usize)) -> Markup {
    html! {
        p { "Interrupts that one isolated CPU takes for one collapse; and, at khugepaged's default rate of " (RATE)
            " collapses a second, each second. The mm runs on 4 of 8 CPUs." }
        h3 { "A CPU that runs nothing of the mm" }
        (table(outside.0.rows(), outside.1))
        h3 { "A CPU that runs a thread of the mm, which never enters the kernel and so never walks" }
        (table(member.0.rows(), member.1))
        p.note { "Where flushes are interrupts, the second is interrupted by each flush, whatever the policy: that is no sync, "
            "and no policy can spare it. INVLPGB spares it the flush; the sync is what is left." }
    }
}

fn table(rows: &[Row], source: usize) -> Markup {
    let [off, on]: [Vec<_>; 2] =
        [false, true].map(|is_on| rows.iter().filter(|row| row.invlpgb.is_on() == is_on).collect());
    boxed(
        &html! { "Counted on: " b { "simulator" } ". " (from(source)) },
        &html! {
            table {
                thead {
                    tr {
                    td {}
                    @for flush in ["interrupts", "INVLPGB"] { th colspan="3" scope="colgroup" { "flush by " (flush) } }
                }
                    tr {
                        th scope="col" { "policy" }
                        @for header in ["flush", "sync", "a second"].repeat(2) { th.num scope="col" { (header) } }
                    }
                }
                tbody { @for (off, on) in off.iter().zip(&on) { tr {
                    th scope="row" { (off.policy) }
                    @for row in [off, on] {
                        @let [flush, sync] = taken(row);
                        td.num { (shown(flush)) }
                        td.num { (shown(sync)) }
                        td.num { (shown(flush.zip(sync).map(|(flush, sync)| RATE * (flush + sync)))) }
                    }
                } } }
            }
        },
    )
}

/// The requests that an isolated CPU has carried out by operation: of flushes, and of syncs.
fn taken(row: &Row) -> [Option<f64>; 2] {
    let c = &row.counts;
    [c.isolated_flush_requests, c.isolated_sync_requests].map(|count| each(count, c.ops))
}

fn shown(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), said)
}
