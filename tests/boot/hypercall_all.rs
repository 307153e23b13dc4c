//! A flush by the hypervisor of vCPUs that run: who is flushed, and what each policy still interrupts, exactly.
//!
//! Of N CPUs, K others run the mm, and the mutator's; LAZY have it loaded lazily, STALE have run it and have another one
//! loaded. None of these ever leaves the cpumask, or drops the mm: no handler runs there for a flush.

use anyhow::{Result, ensure};
use gupsync::policy;
use gupsync_bench::Row;
use libtest_mimic::Trial;

use crate::{judged, machine, policies, spec, trial};

const BY: &str = "flush=hypercall-all";
const N: u64 = 10;
const K: u64 = 3;
const LAZY: u64 = 2;
const STALE: u64 = 1;
const OPS: u64 = 40;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hypercall_all::each_policy_sends_the_syncs_that_are_due", counts),
        trial("hypercall_all::never_is_caught_in_20_of_20_runs", || policies::never_is_caught(BY)),
        trial("hypercall_all::a_lost_flush_is_caught_under_each", || policies::lost_flush(BY)),
    ]
}

/// An operation, whether its flush is one after freeing tables, and how many of its syncs are asked for.
const CASES: [(&str, bool, u64); 5] = [
    ("collapse", true, OPS),
    ("unmap", true, 0),
    ("protect", false, 0),
    ("unshare", false, OPS),
    ("unshare unshare_flush=series", true, OPS),
];

/// Of as many unshares, those in which an mm that others run leaves before the survivor is alone. In the rest both mms
/// that leave are loaded on one CPU, which flushes itself: that proves something, without a hypercall.
const UNPROVED: u64 = 26;

fn counts() -> Result<()> {
    let specs =
        CASES.map(|(words, ..)| spec(&format!("workload={words} {BY} lazy={LAZY} stale={STALE} ops={OPS}")));
    let rows = judged(&machine(N as usize), &specs)?;
    let policies = policy::safe_names().count();
    ensure!(rows.len() == specs.len() * policies);
    for (rows, case) in rows.chunks(policies).zip(CASES) {
        rows.iter().try_for_each(|row| check(row, case))?;
    }
    Ok(())
}

fn check(row: &Row, (words, freed, asked): (&str, bool, u64)) -> Result<()> {
    let counts = &row.counts;
    ensure!(counts.ops == Some(OPS) && counts.flush_ipis == Some(0), "{row:#?}");
    ensure!(counts.hypercalls == Some(OPS), "{row:#?}");
    let flushed = if freed { K + LAZY + STALE } else { K + STALE };
    ensure!(counts.emulation_nmis == Some(OPS * flushed), "{flushed} CPUs expected in {row:#?}");
    // No flush covers its own ticket, but that of an mm that one CPU alone has loaded.
    let is_shared = words.starts_with("unshare");
    ensure!(is_shared || counts.cleared_by_own_flush == Some(0), "{row:#?}");
    let rounds = if is_shared { UNPROVED } else { asked };
    let syncs = match &*row.policy {
        "broadcast" | "property" => asked * (N - 1),
        // Each leaver but the last, of three sharers.
        "broadcast-per-table" => asked * (N - 1) * if is_shared { 2 } else { 1 },
        "gather" => rounds * (N - 1),
        "mask" => asked * K,
        "gather+mask" | "pending" => rounds * K,
        "rcu" => 0,
        // CPUs that are found inside a walk: those that are held there, at most.
        "targeted" | "pending+targeted" => {
            let most = if asked > 0 { counts.held_at_unlink } else { Some(0) };
            ensure!(counts.sync_ipis <= most && counts.sync_ipis >= counts.at_risk, "{row:#?}");
            return Ok(());
        }
        other => panic!("{other} is not compared here"),
    };
    ensure!(counts.sync_ipis == Some(syncs), "{words}: {syncs} sync IPIs expected in {row:#?}");
    Ok(())
}
