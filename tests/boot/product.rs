//! Every operation under every safe policy and every way to flush, in one boot of a minute at the most.

use std::time::Duration;

use anyhow::{Result, ensure};
use gupsync_bench::choice::Workload;
use libtest_mimic::Trial;

use crate::together::boot_alone;
use crate::{judge, machine, spec, trial};

/// By interrupts, by INVLPGB, by hypercall, and by interrupts because no ASID is left.
const FLUSHES: [&str; 4] =
    ["invlpgb=off", "invlpgb=on threshold=4", "flush=hypercall preempted=1", "invlpgb=on asids=0"];

pub fn trials() -> Vec<Trial> {
    vec![trial("product::every_operation_policy_and_flush_in_a_minute", product)]
}

fn product() -> Result<()> {
    // The mixed one wants more CPUs.
    let workloads = Workload::ALL.iter().filter(|workload| **workload != Workload::Mixed);
    let specs: Vec<_> = workloads
        .flat_map(|workload| FLUSHES.map(|flush| spec(&format!("workload={workload} {flush} ops=8"))))
        .collect();
    let outcome = boot_alone(&machine(4), &specs, Duration::from_secs(60))?;
    let asked = specs.iter().flat_map(|spec| spec.policy.iter().map(move |policy| (spec, policy)));
    ensure!(outcome.rows.len() == asked.clone().count());
    for (row, (spec, policy)) in outcome.rows.iter().zip(asked) {
        ensure!(row.policy == *policy && row.workload == spec.workload, "{row:#?}");
        judge(row)?;
        ensure!(row.counts.ops == Some(8), "{row:#?}");
    }
    Ok(())
}
