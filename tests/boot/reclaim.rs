//! Reclaim: whom the flush of a batch interrupts, exactly as in Linux; and that it neither syncs nor covers anything.
//!
//! T CPUs are what a case is about, the mutator's and T-1 others; a *round* is an interrupt to each of those T-1.

use anyhow::{Result, ensure};
use gupsync_bench::Row;
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("reclaim::a_batch_interrupts_who_is_not_lazy", interrupts),
        trial("reclaim::a_batch_by_invlpgb_interrupts_no_cpu", by_invlpgb),
        trial("reclaim::a_batch_leaves_preempted_vcpus_to_the_hypervisor", by_hypercall),
        trial("reclaim::a_batch_of_hyper_v_interrupts_no_cpu", by_hypervisor),
        trial("reclaim::no_cpu_uses_a_page_after_the_flush_of_its_batch", held),
    ]
}

const T: u64 = 4;
const OPS: u64 = 20;
const RUN: &str = "mm_cpus=4";
const LAZY: &str = "mm_cpus=1 lazy=3";
const STALE: &str = "mm_cpus=1 stale=3";

/// The rows of each of `cases`, under a policy that skips and one that always sends.
fn rows<C>(cases: &[C], words: impl Fn(&C) -> String) -> Result<Vec<Row>> {
    let specs: Vec<_> = cases
        .iter()
        .map(|case| spec(&format!("workload=reclaim policy=broadcast,pending ops={OPS} {}", words(case))))
        .collect();
    judged(&machine(8), &specs)
}

/// No table is unlinked but by an unmap: nothing is to be synced, and a batch covers nothing.
fn has_no_sync(row: &Row, unmaps: bool) -> Result<()> {
    let (counts, set) = (&row.counts, if unmaps { OPS } else { 0 });
    ensure!(counts.sync_ipis == Some(0) && counts.syncs_asked == Some(0), "{row:#?}");
    ensure!(counts.set == Some(set) && counts.cleared_by_own_flush <= Some(set), "{row:#?}");
    ensure!(counts.cleared_by_other_flush == Some(0) || unmaps, "{row:#?}");
    Ok(())
}

/// Words, and rounds: of all, and of those that found another mm loaded where the request named one.
const INTERRUPTS: [(&str, &str, u64, u64); 10] = [
    (RUN, "", OPS, 0),
    (RUN, "sharers=6 touch=on", OPS, 0),
    // Lazy CPUs catch up when they come back.
    (RUN, "naps=on hold=0", 0, 0),
    (LAZY, "", 0, 0),
    // A request that names no mm is for those too that have another one loaded, and they stay in the cpumask.
    (RUN, "visits=on hold=0", OPS, 0),
    (STALE, "", OPS, 0),
    // A protect finds every page cleared. Before, it flushes the mm as if tables were freed.
    (RUN, "between=protect", 2 * OPS, 0),
    // Those drop the mm in the first flush, and leave in the second; these leave in the first, and are in its batch.
    (LAZY, "between=protect", 2, 1),
    (STALE, "between=protect", 2, 1),
    // An unmap flushes for its table as well.
    (RUN, "between=unmap", 3 * OPS, 0),
];

fn interrupts() -> Result<()> {
    let rows = rows(&INTERRUPTS, |(who, words, ..)| format!("{who} {words}"))?;
    ensure!(rows.len() == 2 * INTERRUPTS.len());
    for (rows, (_, words, rounds, foreign)) in rows.chunks(2).zip(INTERRUPTS) {
        for row in rows {
            let count = |rounds| Some(rounds * (T - 1));
            ensure!(row.counts.flush_ipis == count(rounds), "{rounds} rounds expected in {row:#?}");
            ensure!(row.counts.foreign_interrupts == count(foreign), "{foreign} rounds expected in {row:#?}");
            has_no_sync(row, words.contains("unmap"))?;
        }
    }
    Ok(())
}

/// Words, and INVLPGBs: of every ASID, so that it does not matter whether the mms have a global one.
const BY_INVLPGB: [(&str, u64); 5] = [
    ("", OPS),
    ("lazy=2 stale=2 mm_cpus=2 threshold=2", OPS),
    ("asids=0", OPS),
    ("between=protect", 2 * OPS),
    ("between=unmap", 3 * OPS),
];

fn by_invlpgb() -> Result<()> {
    let rows = rows(&BY_INVLPGB, |(words, _)| format!("invlpgb=on {words}"))?;
    ensure!(rows.len() == 2 * BY_INVLPGB.len());
    for (rows, (words, invlpgbs)) in rows.chunks(2).zip(BY_INVLPGB) {
        for row in rows {
            ensure!(row.counts.flush_ipis == Some(0), "{row:#?}");
            ensure!(row.counts.invlpgb_ops == Some(invlpgbs), "{invlpgbs} INVLPGBs expected in {row:#?}");
            ensure!(row.counts.tlbsyncs == Some(invlpgbs), "{invlpgbs} TLBSYNCs expected in {row:#?}");
            has_no_sync(row, words.contains("unmap"))?;
        }
    }
    Ok(())
}

/// One vCPU is preempted in one operation of four.
fn by_hypercall() -> Result<()> {
    for row in rows(&["flush=hypercall preempted=1"], |words| words.to_string())? {
        let preempted = OPS / 4;
        ensure!(row.counts.hypercalls == Some(preempted), "{row:#?}");
        ensure!(row.counts.flush_ipis == Some(OPS * (T - 1) - preempted), "{row:#?}");
        has_no_sync(&row, false)?;
    }
    Ok(())
}

/// One hypercall for each batch, and NMIs that stand for what the hypervisor does to each CPU that is not lazy.
fn by_hypervisor() -> Result<()> {
    let cases = [(RUN, OPS, T - 1), ("mm_cpus=2 lazy=1 stale=1", OPS, 2), (LAZY, 0, 0)];
    let rows = rows(&cases, |(words, ..)| format!("flush=hypercall-all {words}"))?;
    ensure!(rows.len() == 2 * cases.len());
    for (rows, (_, hypercalls, flushed)) in rows.chunks(2).zip(cases) {
        for row in rows {
            ensure!(row.counts.flush_ipis == Some(0) && row.counts.hypercalls == Some(hypercalls), "{row:#?}");
            ensure!(row.counts.emulation_nmis == Some(hypercalls * flushed), "{row:#?}");
            has_no_sync(row, false)?;
        }
    }
    Ok(())
}

/// Everything by which a CPU keeps a translation, or forgets it.
fn held() -> Result<()> {
    let besides = [
        "visits=on pcids=3",
        "visits=on pcids=3 hold=0 sharers=2",
        "visits=on naps=on",
        "touch=on",
        "migrate=on between=unmap",
        "sender=preemptible between=protect",
        "hotplug=1 eager=on mm_cpus=5",
        "switchers=2 flushers=1 eager=on",
        "mutator=outside unlazy_fence=linux naps=on",
        "isolated_members=1 trim=every:2 remap=on",
        "flush=hypercall-all visits=on pcids=3",
    ];
    let cases: Vec<_> =
        ["invlpgb=off", "invlpgb=on"].into_iter().flat_map(|by| besides.map(|words| (by, words))).collect();
    let rows = rows(&cases, |(by, words)| format!("{by} {words}"))?;
    ensure!(rows.len() == 2 * cases.len());
    let mixed = ["", "between=protect visits=on", "between=unmap switchers=1 flushers=1"].map(|words| {
        spec(&format!(
            "workload=mixed operations=reclaim,protect,unmap,collapse,unshare policy=pending invlpgb=on threshold=3 \
             ops={OPS} {words}"
        ))
    });
    judged(&machine(20), &mixed)?;
    Ok(())
}
