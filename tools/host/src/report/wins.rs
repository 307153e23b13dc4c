//! Who wins what: the sync IPIs of `broadcast`, taken apart by what saves them.

use gupsync::policy::{Broadcast, GatherMask, Mask, Pending, Policy};
use gupsync_bench::Row;
use gupsync_bench::spec::{MmName, PolicyName, Status};
use maud::{Markup, html};

use super::rows::{Group, boxed, from, machine};
use crate::table::number;

/// The sync IPIs of a comparison, and which of them are saved by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wins {
    /// What mainline sends.
    pub broadcast: u64,
    /// What the mask alone saves of that.
    pub mask: i64,
    /// What a flag in the gather saves of the rest.
    pub flag: i64,
    /// What the state of the mm saves of the rest.
    pub tracking: i64,
    /// What is left.
    pub left: u64,
}

impl Wins {
    /// That of the rows of all mms, if all four policies are among them.
    pub fn of(rows: &[Row]) -> Option<Self> {
        let sent = |policy: PolicyName| {
            let is_its =
                |row: &&Row| row.policy == policy && row.mm == MmName::Total && row.status == Status::Ok;
            rows.iter().find(is_its)?.counts.sync_ipis
        };
        let broadcast = sent(PolicyName::of::<Broadcast>())?;
        let mask = sent(PolicyName::of::<Mask>())?;
        let flag = sent(PolicyName::of::<GatherMask>())?;
        let left = sent(PolicyName::of::<Pending>())?;
        let less = |from: u64, to: u64| from.cast_signed() - to.cast_signed();
        Some(Wins {
            broadcast,
            mask: less(broadcast, mask),
            flag: less(mask, flag),
            tracking: less(flag, left),
            left,
        })
    }
}

fn signed(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", number(Some(value.unsigned_abs())))
}

/// One line for each comparison that has all four.
pub fn table(groups: &[Group<'_>]) -> Markup {
    let lines: Vec<_> = groups
        .iter()
        .filter(|group| !group.is_scale())
        .flat_map(|group| group.tables().into_iter().map(|rows| (rows, group.source)))
        .filter_map(|(rows, source)| Some((&rows[0], Wins::of(rows)?, source)))
        .collect();
    if lines.is_empty() {
        return html! { p { "No document that was given has rows of " (Broadcast::NAME) ", " (Mask::NAME) ", "
        (GatherMask::NAME) " and " (Pending::NAME) " for the same work." } };
    }
    let caption = html! {
        "Sync IPIs: what " code { (Broadcast::NAME) } " sends, which part of that each idea saves, and what "
        code { (Pending::NAME) } " still sends."
    };
    boxed(
        &caption,
        &html! {
            table {
                thead { tr {
                    th scope="col" { "workload" }
                    th scope="col" { "INVLPGB" }
                    th.num scope="col" { "CPUs" }
                    th.num scope="col" { "operations" }
                    th.num scope="col" { (Broadcast::NAME) }
                    th.num scope="col" { "saved by the mask" }
                    th.num scope="col" { "then by a flag" }
                    th.num scope="col" { "then by tracking" }
                    th.num scope="col" { "left" }
                    th scope="col" { "counted on" }
                    th scope="col" { "" }
                } }
                tbody { @for (row, wins, source) in lines { tr {
                    th scope="row" { (row.workload) }
                    td { (row.invlpgb) }
                    td.num { (number(Some(row.cpus as u64))) }
                    td.num { (number(row.counts.ops)) }
                    td.num { (number(Some(wins.broadcast))) }
                    td.num { (signed(wins.mask)) }
                    td.num { (signed(wins.flag)) }
                    td.num { (signed(wins.tracking)) }
                    td.num { (number(Some(wins.left))) }
                    td { (machine(row)) }
                    td { (from(source)) }
                } } }
            }
        },
    )
}
