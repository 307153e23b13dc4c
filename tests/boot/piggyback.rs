//! An interrupt for another reason, between flush and sync, saves the sync: only `pending` sees that.
//!
//! A walker is on a vCPU that was preempted, so that the flush of the collapse leaves it out.

use anyhow::{Result, ensure};
use gupsync_bench::Row;
use gupsync_bench::spec::Workload;
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

const CPUS: u64 = 8;
const OPS: u64 = 40;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("piggyback::a_sibling_s_interrupt_saves_the_sync", saves),
        trial("piggyback::without_it_the_sync_is_sent", is_needed),
    ]
}

fn rows(workloads: &[&str], policies: &str) -> Result<Vec<Row>> {
    let specs: Vec<_> = workloads
        .iter()
        .map(|workload| {
            spec(&format!("workload={workload} policy={policies} flush=hypercall preempted=1 ops={OPS}"))
        })
        .collect();
    judged(&machine(CPUS as usize), &specs)
}

fn saves() -> Result<()> {
    let workloads = ["piggyback-protect", "piggyback-kernel", "piggyback-everyone"];
    let rows = rows(&workloads, "broadcast,property,gather,pending,pending+targeted")?;
    ensure!(rows.len() == 5 * workloads.len());
    for row in &rows {
        let (sync_ipis, skipped) =
            if row.policy.starts_with("pending") { (0, OPS) } else { (OPS * (CPUS - 1), 0) };
        let counts = &row.counts;
        ensure!(counts.sync_ipis == Some(sync_ipis), "sync_ipis: {sync_ipis} expected in {row:#?}");
        ensure!(counts.syncs_skipped == Some(skipped), "syncs_skipped: {skipped} expected in {row:#?}");
        ensure!(counts.hypercalls == Some(OPS) && counts.ops == Some(OPS), "{row:#?}");
        // To every CPU but the sibling, and for no mm.
        let other_ipis = if row.workload == Workload::PiggybackProtect { 0 } else { OPS * (CPUS - 1) };
        ensure!(counts.other_ipis == Some(other_ipis), "other_ipis: {other_ipis} expected in {row:#?}");
    }
    Ok(())
}

fn is_needed() -> Result<()> {
    for row in rows(&["collapse"], "pending,pending+targeted")? {
        ensure!(row.counts.sync_ipis.is_some_and(|count| count > 0), "{row:#?}");
        // As often as a vCPU was left out.
        ensure!(row.counts.hypercalls.is_some_and(|count| count > 0), "{row:#?}");
        ensure!(row.counts.syncs_sent == row.counts.hypercalls, "{row:#?}");
    }
    Ok(())
}
