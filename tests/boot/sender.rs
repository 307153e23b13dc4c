//! A mutator whose task goes to other CPUs between a round's snapshot and its look, and before it waits: it is as exact as one
//! that stays, and as safe.

use anyhow::{Result, ensure};
use gupsync_bench::counts::{COUNTERS, Class};
use gupsync_bench::spec::MmName;
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("sender::one_that_moves_counts_what_one_that_stays_counts", exact),
        trial("sender::one_that_moves_among_races_is_safe", races),
        trial("sender::several_that_go_to_the_same_cpus_all_come_back", shares),
    ]
}

/// Nothing races: every exact count is the same, but for the moves themselves.
fn exact() -> Result<()> {
    let mut words = Vec::new();
    for invlpgb in ["off", "on"] {
        for workload in
            ["collapse", "unshare", "unmap", "protect", "piggyback-everyone preempted=1 flush=hypercall"]
        {
            words.push(format!("workload={workload} invlpgb={invlpgb} ops=40 seed=3"));
        }
        words.push(format!("mutator=outside invlpgb={invlpgb} ops=40"));
        words.push(format!(
            "mutator=outside mm_cpus=3 unlazy_fence=linux lazy=1 stale=1 invlpgb={invlpgb} ops=40"
        ));
    }
    let specs =
        |sender: &str| words.iter().map(|words| spec(&format!("{words} sender={sender}"))).collect::<Vec<_>>();
    let [pinned, preemptible] = ["pinned", "preemptible"].map(|sender| judged(&machine(8), &specs(sender)));
    let (pinned, preemptible) = (pinned?, preemptible?);
    ensure!(pinned.len() == preemptible.len() && !pinned.is_empty());
    let mut moved = 0;
    for (stays, moves) in pinned.iter().zip(&preemptible) {
        ensure!(stays.counts.moves == Some(0), "{stays:#?}");
        moved += u64::from(moves.counts.moves > Some(0));
        let is_compared = |counter: &&_| {
            let counter: &gupsync_bench::counts::Counter = counter;
            counter.class == Class::Exact && counter.key != "moves"
        };
        for counter in COUNTERS.iter().filter(is_compared) {
            let [before, after] = [stays, moves].map(|row| (counter.get)(&row.counts));
            ensure!(before == after, "{}: {before:?} without moves, {after:?} in {moves:#?}", counter.key);
        }
    }
    // Where no CPU is interrupted, nothing waits.
    ensure!(moved * 2 > pinned.len() as u64, "{moved} of {} rows have moved", pinned.len());
    Ok(())
}

fn races() -> Result<()> {
    let specs: Vec<_> = (1..=10)
        .flat_map(|seed| {
            let invlpgb = if seed % 2 == 0 { "off" } else { "on" };
            let how = format!("sender=preemptible invlpgb={invlpgb} seed={seed} switchers=1 flushers=1");
            [
                format!("mm_cpus=4 eager=on naps=on ops=40 {how}"),
                format!("workload=mixed threshold=3 migrate=on ops=8 {how}"),
            ]
        })
        .map(|words| spec(&words))
        .collect();
    let rows = judged(&machine(16), &specs)?;
    ensure!(rows.iter().any(|row| row.counts.moves > Some(0)));
    Ok(())
}

/// Five mutators go from their own CPUs to two that run nothing, and from each of these to the other.
fn shares() -> Result<()> {
    let words =
        "workload=mixed threshold=2 mutator=outside sender=preemptible policy=broadcast,mask,pending ops=40";
    let specs: Vec<_> =
        ["off", "on"].map(|invlpgb| spec(&format!("{words} invlpgb={invlpgb}"))).into_iter().collect();
    for row in judged(&machine(16), &specs)? {
        ensure!(row.counts.ops == Some(if row.mm == MmName::Total { 5 * 40 } else { 40 }), "{row:#?}");
        ensure!(row.mm != MmName::Total || row.counts.moves > Some(0), "{row:#?}");
    }
    Ok(())
}
