//! NMI handlers that walk: which policies are caught without the guard, which do not need it, and that with it none is.

use anyhow::{Result, ensure};
use gupsync_bench::Spec;
use gupsync_bench::row::Status;
use libtest_mimic::Trial;

use crate::{boot, judge, judged, machine, spec, trial};

/// What a policy concludes from, and so who is caught where no guard is.
const NEEDS_NO_GUARD: &str = "broadcast,broadcast-per-table,rcu,targeted";
/// They interrupt the CPUs that may walk, by what is loaded.
const TRUSTS_ROUNDS: &str = "mask,gather+mask,pending";
/// They skip a sync, since a flush has interrupted the CPUs that may walk, by what is loaded.
const TRUSTS_FLUSHES: &str = "property,gather,gather+mask,pending,pending+targeted";

pub fn trials() -> Vec<Trial> {
    vec![
        trial("nmi::without_the_guard_who_trusts_what_is_loaded_is_caught", caught),
        trial("nmi::with_the_guard_nobody_is_caught", guarded),
        trial("nmi::a_walk_in_a_walk_ends_no_tracking", nested),
        trial("nmi::a_sampled_worker_that_is_released_runs_errands", released),
    ]
}

/// What is caught without the guard is caught in every one of so many runs, and never with it.
const SEEDS: u64 = 20;

fn each_seed(spec: &Spec) -> Vec<Spec> {
    (1..=SEEDS).map(|seed| Spec { seed, ..spec.clone() }).collect()
}

fn caught() -> Result<()> {
    let unguarded = |words: &str, policies: &str| {
        ["switch", "lazy"]
            .map(|at| spec(&format!("{words} sample={at} nmi_guard=off mm_cpus=4 ops=40 policy={policies}")))
    };
    let specs = [
        // No flush interrupts: what a round leaves out is walked.
        unguarded("invlpgb=on", TRUSTS_ROUNDS),
        // The flush of an unshare does, but leaves out who is lazy, or elsewhere.
        unguarded("invlpgb=off workload=unshare", TRUSTS_FLUSHES),
    ];
    let runs: Vec<_> = specs.concat().iter().flat_map(each_seed).collect();
    let outcome = boot(&machine(8), &runs)?;
    ensure!(outcome.rows.len() == 2 * (3 + 5) * SEEDS as usize);
    for row in &outcome.rows {
        ensure!(row.status == Status::Violation, "{row:#?}");
        ensure!(row.counts.sync_violations.is_some_and(|count| count > 0), "{row:#?}");
        judge(row)?;
    }
    let specs = [
        unguarded("invlpgb=on", &format!("{NEEDS_NO_GUARD},property,gather,pending+targeted")),
        // The flush of a collapse goes to all of the cpumask.
        unguarded("invlpgb=off", &format!("{NEEDS_NO_GUARD},{TRUSTS_FLUSHES},mask")),
        unguarded("invlpgb=off workload=unshare", NEEDS_NO_GUARD),
        unguarded("invlpgb=on workload=unshare", NEEDS_NO_GUARD),
        unguarded("invlpgb=on workload=unmap", NEEDS_NO_GUARD),
    ];
    for row in boot(&machine(8), &specs.concat())?.rows {
        ensure!(row.status == Status::Ok, "{row:#?}");
        ensure!(row.counts.nmi_walks.is_some_and(|walks| walks >= 10), "{row:#?}");
        judge(&row)?;
    }
    Ok(())
}

fn guarded() -> Result<()> {
    let specs: Vec<_> = ["switch", "lazy"]
        .into_iter()
        .flat_map(|at| {
            let guarded = |words: &str| spec(&format!("{words} sample={at} mm_cpus=4 ops=40"));
            let as_caught = [("collapse invlpgb=on", TRUSTS_ROUNDS), ("unshare invlpgb=off", TRUSTS_FLUSHES)];
            let runs = as_caught
                .map(|(words, policies)| each_seed(&guarded(&format!("workload={words} policy={policies}"))));
            let others = ["collapse invlpgb=on", "unshare invlpgb=off", "unmap invlpgb=on"];
            let others = others.map(|words| guarded(&format!("workload={words}")));
            runs.into_iter().flatten().chain(others).collect::<Vec<_>>()
        })
        .collect();
    for row in judged(&machine(8), &specs)? {
        ensure!(row.counts.nmi_walks == Some(0), "{row:#?}");
        ensure!(row.counts.nmi_refused.is_some_and(|refused| refused >= 10), "{row:#?}");
    }
    Ok(())
}

fn nested() -> Result<()> {
    let specs =
        ["on", "off"].map(|guard| spec(&format!("invlpgb=on sample=walk nmi_guard={guard} mm_cpus=4 ops=40")));
    for row in judged(&machine(8), &specs)? {
        ensure!(row.counts.nmi_walks.is_some_and(|walks| walks >= 10), "{row:#?}");
        ensure!(row.counts.nmi_refused == Some(0), "{row:#?}");
    }
    Ok(())
}

/// The sibling of a piggyback is among those that are sampled. Once it is released it is not sampled again, and so can
/// do what it was sent for.
fn released() -> Result<()> {
    const OPS: u64 = 20;
    let specs: Vec<_> = ["switch", "lazy", "walk"]
        .into_iter()
        .flat_map(|at| {
            let words = format!("sample={at} mm_cpus=3 hold=2 ops={OPS} policy=broadcast,pending");
            [("protect", "hypercall preempted=2"), ("kernel", "ipi"), ("everyone", "hypercall preempted=2")]
                .map(|(sibling, flush)| spec(&format!("workload=piggyback-{sibling} flush={flush} {words}")))
        })
        .collect();
    let rows = judged(&machine(8), &specs)?;
    ensure!(rows.len() == 2 * specs.len());
    for row in rows {
        ensure!(row.counts.ops == Some(OPS), "{row:#?}");
        let samples = [row.counts.nmi_refused, row.counts.nmi_walks].into_iter().flatten().sum::<u64>();
        // Each of the two once; and again where the flush has called it, so that it came back.
        ensure!(samples == 2 * OPS || row.preempted == 0 && samples > 2 * OPS, "{row:#?}");
    }
    Ok(())
}
