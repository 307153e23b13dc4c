//! What sets and what clears: every covered ticket is counted under the cause that covered it.

use anyhow::{Result, ensure};
use gupsync_bench::Row;
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![trial("cleared::every_cause_is_told_from_the_others", causes)]
}

const OPS: u64 = 24;

/// Own flush, sync, another's flush, another's call of every CPU.
fn causes_of(row: &Row) -> [Option<u64>; 4] {
    let counts = &row.counts;
    [
        counts.cleared_by_own_flush,
        counts.cleared_by_sync,
        counts.cleared_by_other_flush,
        counts.cleared_by_other_ipi,
    ]
}

fn causes() -> Result<()> {
    let hypercall = "flush=hypercall preempted=1";
    let cases = [
        ("workload=collapse".to_owned(), [OPS, 0, 0, 0]),
        ("workload=collapse invlpgb=on".to_owned(), [0, OPS, 0, 0]),
        (format!("workload=piggyback-protect {hypercall}"), [0, 0, OPS, 0]),
        (format!("workload=piggyback-kernel {hypercall}"), [0, 0, 0, OPS]),
        (format!("workload=piggyback-everyone {hypercall}"), [0, 0, 0, OPS]),
    ];
    let mut specs: Vec<_> =
        cases.iter().map(|(words, _)| spec(&format!("{words} policy=pending ops={OPS}"))).collect();
    // A ticket that its own flush does not cover stays pending until the flusher's flush covers it, which is another's.
    specs.push(spec(&format!("workload=unmap policy=pending ops=200 flushers=1 {hypercall}")));
    let rows = judged(&machine(5), &specs)?;
    ensure!(rows.len() == specs.len());
    for (row, (_, causes)) in rows.iter().zip(&cases) {
        ensure!(causes_of(row) == causes.map(Some), "{causes:?} expected in {row:#?}");
        ensure!(row.counts.pending_before == Some(0) && row.counts.pending_after == Some(0), "{row:#?}");
        ensure!(row.counts.set == Some(OPS) && row.counts.cleared == Some(OPS), "{row:#?}");
    }
    let flushed = &rows[cases.len()];
    let [own, sync, other_flush, other_ipi] = causes_of(flushed);
    ensure!(own.is_some_and(|count| count > 0) && other_flush.is_some_and(|count| count > 0), "{flushed:#?}");
    ensure!(sync == Some(0) && other_ipi == Some(0), "{flushed:#?}");
    Ok(())
}
