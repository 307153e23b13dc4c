//! Which figures can be relied on: the same seed gives the same exact counts.

use anyhow::{Result, ensure};
use gupsync_bench::Row;
use gupsync_bench::counts::{COUNTERS, Class};
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("classes::the_same_seed_gives_the_same_exact_counts", repeats),
        trial("classes::an_invlpgb_wakes_no_walker", wakes_no_walker),
    ]
}

fn run() -> Result<Vec<Row>> {
    let workloads = ["collapse", "unshare", "unmap", "protect"];
    let settings = ["invlpgb=off", "invlpgb=on"];
    let spec = |workload: &str, setting: &str| {
        spec(&format!("workload={workload} {setting} ops=40 seed=5 policy=broadcast,gather,pending"))
    };
    let specs: Vec<_> =
        settings.iter().flat_map(|setting| workloads.map(|workload| spec(workload, setting))).collect();
    judged(&machine(8), &specs)
}

fn repeats() -> Result<()> {
    for (one, other) in run()?.iter().zip(&run()?) {
        for counter in COUNTERS.iter().filter(|counter| counter.class == Class::Exact) {
            let [one_count, other_count] = [one, other].map(|row| (counter.get)(&row.counts));
            let (key, workload, policy) = (counter.key, one.workload, one.policy);
            ensure!(one_count == other_count, "{workload} {policy}: {key} {one_count:?}, then {other_count:?}");
        }
    }
    Ok(())
}

/// An emulated INVLPGB sends NMIs, which must not end the halt of a walker that waits for its turn: the mutator wakes each
/// walker once for each operation, whether flushes interrupt or not.
fn wakes_no_walker() -> Result<()> {
    let specs = ["off", "on"].map(|invlpgb| spec(&format!("invlpgb={invlpgb} ops=200 policy=pending")));
    for row in judged(&machine(8), &specs)? {
        ensure!(row.counts.kicks == Some(3 * 200), "{row:#?}");
    }
    Ok(())
}
