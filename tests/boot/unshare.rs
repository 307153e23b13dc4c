//! Unshare: one sync settles a table that several mms have left, and it finds their walkers.

use anyhow::{Result, ensure};
use gupsync_bench::row::Status;
use libtest_mimic::Trial;

use crate::{boot, judge, judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("unshare::one_sync_settles_all_sharers_and_all_tables", settles_once),
        trial("unshare::once_one_broadcast_for_each_table_and_leaver", settles_per_table),
        trial("unshare::cpus_of_an_mm_that_has_left_are_interrupted", finds_who_left),
        trial("unshare::the_posted_forms_are_caught_in_20_of_20_runs", posted_are_caught),
        trial("unshare::safe_ones_hold_in_20_interleaved_runs", safe_ones_hold),
    ]
}

fn settles_once() -> Result<()> {
    let (n, ops) = (8, 20);
    let specs = ["sharers=4", "sharers=6", "tables=4", "sharers=4 tables=4"].map(|words| {
        spec(&format!("workload=unshare policy=broadcast,property,gather,pending ops={ops} {words}"))
    });
    let rows = judged(&machine(n as usize), &specs)?;
    ensure!(rows.len() == 4 * specs.len());
    for row in &rows {
        let everyone = if *row.policy == *"broadcast" { ops * (n - 1) } else { 0 };
        ensure!(row.counts.sync_ipis == Some(everyone), "sync_ipis: {everyone} expected in {row:#?}");
        ensure!(row.counts.syncs_asked == Some(ops), "{row:#?}");
        // All the sharers have left, each with a ticket for all of its tables.
        ensure!(row.counts.set == Some(ops * row.sharers as u64), "{row:#?}");
    }
    Ok(())
}

/// The regression of 6.16: each leaver but the last interrupts every CPU, for each table.
fn settles_per_table() -> Result<()> {
    let (n, ops) = (8, 20);
    let specs = ["", "sharers=6", "tables=4", "sharers=4 tables=4"]
        .map(|words| spec(&format!("workload=unshare policy=broadcast-per-table ops={ops} {words}")));
    for row in &judged(&machine(n as usize), &specs)? {
        let leaves = ops * row.tables * (row.sharers as u64 - 1);
        let sent = leaves * (n - 1);
        ensure!(row.counts.sync_ipis == Some(sent), "sync_ipis: {sent} expected in {row:#?}");
        ensure!(row.counts.syncs_sent == Some(leaves), "{row:#?}");
    }
    Ok(())
}

/// The mm is flushed by INVLPGB, and others leave after it: their flushes say nothing about its walkers.
fn finds_who_left() -> Result<()> {
    let specs = [3, 4, 6].map(|sharers| {
        spec(&format!("workload=unshare policy=pending invlpgb=on sharers={sharers} ops=80 mm_cpus=5"))
    });
    for row in judged(&machine(8), &specs)? {
        let counts = &row.counts;
        ensure!(counts.sync_ipis.is_some_and(|count| count > 0), "{row:#?}");
        ensure!(counts.at_risk.is_some_and(|count| count > 0), "{row:#?}");
        ensure!(counts.foreign_interrupts == Some(0), "{row:#?}");
    }
    Ok(())
}

fn posted_are_caught() -> Result<()> {
    // Of two sharers, the last flush is that of the only one that has left.
    let specs: Vec<_> = (1..=20)
        .map(|seed| {
            let sharers = 3 + seed % 4;
            spec(&format!(
                "workload=unshare policy=gather-posted,targeted-posted invlpgb=on sharers={sharers} seed={seed}"
            ))
        })
        .collect();
    let outcome = boot(&machine(8), &specs)?;
    ensure!(outcome.rows.len() == 40);
    for row in &outcome.rows {
        ensure!(row.status == Status::Violation, "{row:#?}");
        ensure!(row.counts.sync_violations.is_some_and(|count| count > 0), "{row:#?}");
        judge(row)?;
    }
    Ok(())
}

/// Which mm takes the next step, and on which CPU, is drawn: no race is needed to have them in any order.
fn safe_ones_hold() -> Result<()> {
    let specs: Vec<_> = (1..=20)
        .map(|seed| {
            let invlpgb = if seed % 4 == 0 { "off" } else { "on" };
            let sharers = 2 + seed % 5;
            spec(&format!(
                "workload=unshare interleave=on migrate=on invlpgb={invlpgb} sharers={sharers} ops=100 seed={seed}"
            ))
        })
        .collect();
    let rows = judged(&machine(4), &specs)?;
    ensure!(rows.len() == specs.iter().map(|spec| spec.policy.len()).sum::<usize>());
    Ok(())
}
