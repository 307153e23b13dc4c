//! What policies promise: the unsafe one is caught every time, the safe ones never.

use anyhow::{Result, ensure};
use gupsync::policy;
use gupsync_bench::row::Status;
use gupsync_bench::spec::Workload;
use gupsync_host::qemu::{Accel, Machine};
use libtest_mimic::Trial;

use crate::{boot, judge, judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("policies::never_is_caught_in_20_of_20_runs", || never_is_caught("invlpgb=on")),
        trial("policies::never_shows_nothing_where_the_flush_interrupts", never_is_saved_by_the_flush),
        trial("policies::safe_ones_hold_in_20_racing_runs", safe_ones_hold),
        trial("policies::a_lost_flush_is_caught_under_each", || lost_flush("flush=ipi")),
        trial("policies::a_caller_that_did_not_flush", unflushed),
        trial("policies::mixed_holds_in_racing_runs_with_every_role", mixed_races),
    ]
}

/// Where flushes prove nothing.
pub fn never_is_caught(by: &str) -> Result<()> {
    let specs: Vec<_> =
        (1..=20).map(|seed| spec(&format!("policy=never {by} mm_cpus=6 seed={seed}"))).collect();
    let outcome = boot(&machine(8), &specs)?;
    ensure!(outcome.rows.len() == 20);
    for row in &outcome.rows {
        ensure!(row.status == Status::Violation, "{row:#?}");
        ensure!(row.counts.sync_violations.is_some_and(|count| count > 0), "{row:#?}");
        ensure!(row.detail.as_deref().is_some_and(|detail| detail.contains("ticket")), "{row:#?}");
        judge(row)?;
    }
    Ok(())
}

fn never_is_saved_by_the_flush() -> Result<()> {
    let outcome = boot(&machine(8), &[spec("policy=never invlpgb=off mm_cpus=6 ops=200")])?;
    outcome.rows.iter().try_for_each(judge)
}

/// The other detector: CPUs, or a hypervisor, that do not flush when they are asked to.
pub fn lost_flush(by: &str) -> Result<()> {
    let specs = ["collapse", "unmap", "protect"]
        .map(|workload| spec(&format!("workload={workload} {by} ops=40 fail=no-flush")));
    let outcome = boot(&machine(8), &specs)?;
    ensure!(outcome.rows.len() == specs.len() * policy::safe_names().count());
    for row in &outcome.rows {
        ensure!(row.status == Status::Violation, "{row:#?}");
        ensure!(row.counts.stale_translations.is_some_and(|count| count > 0), "{row:#?}");
        ensure!(row.detail.as_deref().is_some_and(|detail| detail.contains("after its flush")), "{row:#?}");
        ensure!(row.judge().is_err_and(|fault| fault.starts_with("caught: ")), "{row:#?}");
    }
    Ok(())
}

/// Nothing guarantees that a flush precedes a sync: who concludes that from the machine's kind of flush is caught at once.
fn unflushed() -> Result<()> {
    let specs = ["collapse", "unshare"]
        .map(|workload| spec(&format!("workload={workload} flush=none mm_cpus=4 ops=40")));
    let rows = judged(&machine(8), &specs)?;
    ensure!(rows.len() == 2 * policy::safe_names().count());
    for row in rows {
        let is_caught = *row.policy == *"property";
        ensure!((row.status == Status::Violation) == is_caught, "{row:#?}");
        let is_collapse = row.workload == Workload::Collapse;
        // In an unshare the mm whose walker is held has to leave early.
        ensure!(!is_caught || !is_collapse || row.counts.ops == Some(1), "{row:#?}");
        ensure!(row.counts.flush_ipis == Some(0) && row.counts.cleared_by_own_flush == Some(0), "{row:#?}");
        let round = match &*row.policy {
            "broadcast" | "gather" => 7,
            "mask" | "gather+mask" | "pending" => 3,
            _ => continue,
        };
        ensure!(!is_collapse || row.counts.sync_ipis == Some(40 * round), "{row:#?}");
    }
    Ok(())
}

fn mixed_races() -> Result<()> {
    let specs: Vec<_> = (1..=3)
        .map(|seed| {
            spec(&format!(
                "workload=mixed threshold=2 invlpgb=on eager=on ops=20 seed={seed} \
                 flushers=2 switchers=1 lazy=1 preempted=2 policy=broadcast,gather,targeted,pending"
            ))
        })
        .collect();
    let outcome = boot(&Machine { accel: Accel::TcgMulti, ..machine(16) }, &specs)?;
    outcome.rows.iter().try_for_each(judge)
}

fn safe_ones_hold() -> Result<()> {
    let specs: Vec<_> = (1..=20)
        .map(|seed| {
            let invlpgb = if seed % 2 == 0 { "off" } else { "on" };
            spec(&format!("invlpgb={invlpgb} eager=on mm_cpus=4 ops=20 seed={seed}"))
        })
        .collect();
    let outcome = boot(&Machine { accel: Accel::TcgMulti, ..machine(4) }, &specs)?;
    ensure!(outcome.rows.len() == 20 * policy::safe_names().count());
    outcome.rows.iter().try_for_each(judge)
}
