//! CPUs that go offline before an operation and come back after it: who is interrupted, exactly; and that all is safe when they
//! go and come while it is done.
//!
//! N CPUs; T of them run the mm, the mutator's among them, and K of these are offline in each operation.

use anyhow::{Result, ensure};
use gupsync_bench::Row;
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hotplug::item_1_7_no_cpu_that_is_offline_is_called", exact),
        trial("hotplug::a_vcpu_that_is_preempted_while_others_go_keeps_its_flush", preempted),
        trial("hotplug::item_1_7_cpus_that_go_and_come_among_races_are_safe", races),
    ]
}

/// N, T and K.
const SIZES: [(u64, u64, u64); 4] = [(4, 3, 1), (8, 4, 1), (8, 4, 2), (16, 16, 5)];
const OPS: u64 = 12;

/// What each operation does to the CPUs that run the mm, and to all that are online, its own apart.
struct Case {
    words: &'static str,
    /// Flushes by interrupts.
    flushes: u64,
    /// Syncs of `broadcast`.
    syncs: u64,
    /// Syncs of `mask` and of `pending`. A CPU that is lazy drops the mm when it is flushed.
    mask: u64,
    pending: u64,
}

const CASES: &[Case] = &[
    Case { words: "workload=collapse", flushes: 1, syncs: 1, mask: 1, pending: 0 },
    Case { words: "workload=collapse sender=preemptible", flushes: 1, syncs: 1, mask: 1, pending: 0 },
    Case { words: "workload=collapse naps=on", flushes: 1, syncs: 1, mask: 0, pending: 0 },
    Case { words: "workload=collapse invlpgb=on threshold=2", flushes: 0, syncs: 1, mask: 1, pending: 1 },
    Case { words: "workload=protect", flushes: 1, syncs: 0, mask: 0, pending: 0 },
    Case { words: "workload=unmap hold=0", flushes: 1, syncs: 0, mask: 0, pending: 0 },
    Case { words: "workload=unshare", flushes: 1, syncs: 1, mask: 1, pending: 0 },
];

fn exact() -> Result<()> {
    for (n, t, k) in SIZES {
        let size = format!("mm_cpus={t} hotplug={k} hold=0 ops={OPS} policy=broadcast,mask,pending");
        let specs: Vec<_> = CASES.iter().map(|case| spec(&format!("{size} {}", case.words))).collect();
        let rows = judged(&machine(n as usize), &specs)?;
        ensure!(rows.len() == CASES.len() * 3);
        for (case, rows) in CASES.iter().zip(rows.chunks(3)) {
            let (of_mm, online) = (t - 1 - k, n - 1 - k);
            let syncs = [case.syncs * online, case.mask * of_mm, case.pending * of_mm];
            for (row, syncs) in rows.iter().zip(syncs) {
                is_exact(row, case.flushes * of_mm, syncs, n, k)?;
            }
        }
    }
    Ok(())
}

fn is_exact(row: &Row, flushes: u64, syncs: u64, n: u64, k: u64) -> Result<()> {
    let counts = &row.counts;
    // Each that goes calls all that are online, but for itself; one goes at a time.
    let stops: u64 = (0..k).map(|gone| n - 1 - gone).sum();
    for (name, count, expected) in [
        ("offlined", counts.offlined, k),
        ("flush_ipis", counts.flush_ipis, flushes),
        ("sync_ipis", counts.sync_ipis, syncs),
        ("other_ipis", counts.other_ipis, stops),
    ] {
        ensure!(count == Some(OPS * expected), "{name}: {OPS} times {expected} expected in {row:#?}");
    }
    Ok(())
}

/// Those that go call all that are online, and so let the walker go on: it is to be back, and preempted, when the flush comes.
fn preempted() -> Result<()> {
    let specs: Vec<_> = (1..=4)
        .flat_map(|seed| ["protect", "unmap", "reclaim"].map(|workload| (seed, workload)))
        .map(|(seed, workload)| {
            let how = "flush=hypercall hotplug=1 preempted=1 mm_cpus=4 ops=18 policy=pending";
            spec(&format!("workload={workload} {how} seed={seed}"))
        })
        .collect();
    let rows = judged(&machine(8), &specs)?;
    ensure!(rows.iter().all(|row| row.counts.hypercalls > Some(0)), "{rows:#?}");
    Ok(())
}

fn races() -> Result<()> {
    let specs: Vec<_> = (1..=8)
        .flat_map(|seed| {
            let invlpgb = if seed % 2 == 0 { "off" } else { "on" };
            let how = format!("eager=on hotplug=1 invlpgb={invlpgb} seed={seed} switchers=1 flushers=1");
            [
                format!("mm_cpus=4 naps=on remap=on ops=40 {how}"),
                format!("mm_cpus=4 visits=on sender=preemptible ops=40 {how}"),
                format!("workload=mixed threshold=3 migrate=on ops=8 {how}"),
            ]
        })
        .map(|words| spec(&words))
        .collect();
    judged(&machine(16), &specs).map(drop)
}
