//! Local ASIDs that are kept: how often, exactly; and that what a CPU has kept is not used after its flush.
//!
//! Workers visit another mm in each turn, after they have touched a page and before the operation, and have that mm loaded while
//! they sleep. A plain flush leaves them out then; a flush after freeing tables makes them leave the cpumask.

use anyhow::{Result, ensure};
use gupsync_bench::Spec;
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("kept::item_1_4_as_often_as_an_mm_is_loaded_again", counted),
        trial("kept::item_1_4_with_one_asid_nothing_is_kept", none),
        trial("kept::item_1_4_no_cpu_uses_what_it_kept_after_its_flush", held),
    ]
}

/// Mm 1 on the mutator's CPU and on so many workers.
const WORKERS: u64 = 3;
const OPS: u64 = 40;

fn specs(words: &[String]) -> Vec<Spec> {
    let common = format!("policy=pending visits=on mm_cpus={} ops={OPS}", WORKERS + 1);
    words.iter().map(|words| spec(&format!("{common} {words}"))).collect()
}

/// The kernel's tables take one ASID, mm 1 one, and the mm that is visited another, or that of the kernel.
fn counted() -> Result<()> {
    let words: Vec<_> = [2, 3, 6].map(|pcids| format!("workload=protect pcids={pcids}")).into();
    for row in judged(&machine(8), &specs(&words))? {
        // In a turn each worker loads the other mm twice, and mm 1 twice: the first time after its visit, the second time
        // behind by the flush, unless it was held, and interrupted. The other mm is loaded for the first time once. What the
        // last operation has flushed is not counted any more.
        let (all, held) = (WORKERS * OPS, row.counts.flush_ipis.unwrap_or(0));
        ensure!(held > 0 && row.counts.asids_kept == Some(3 * all + held - WORKERS), "{row:#?}");
        ensure!(row.counts.asids_behind == Some(all - held - WORKERS), "{row:#?}");
    }
    Ok(())
}

fn none() -> Result<()> {
    let words: Vec<_> = [0, 1].map(|pcids| format!("workload=protect pcids={pcids}")).into();
    for row in judged(&machine(8), &specs(&words))? {
        ensure!(row.counts.asids_kept == Some(0) && row.counts.asids_behind == Some(0), "{row:#?}");
    }
    Ok(())
}

/// Everything that makes a CPU find its ASID again, up to date or behind, or not find it.
fn held() -> Result<()> {
    let mut words = Vec::new();
    let besides =
        ["", "invlpgb=on", "remap=on", "naps=on", "touch=on trim=every:2", "flush=hypercall preempted=1"];
    for workload in ["collapse", "unmap", "protect", "protect huge=on", "unshare"] {
        let with = |pcids: u64, besides: &str| format!("workload={workload} pcids={pcids} {besides}");
        words.extend([2, 6].into_iter().flat_map(|pcids| besides.map(|besides| with(pcids, besides))));
        words.extend(["", "switchers=2 flushers=1"].map(|besides| with(1, besides)));
        words.push(with(6, "switchers=2 flushers=1"));
        words.push(with(6, "invlpgb=on remap=on"));
    }
    for specs in specs(&words).chunks(32) {
        judged(&machine(8), specs)?;
    }
    let mixed = ["", "pcids=2", "switchers=2 flushers=1", "remap=on"];
    let mixed = mixed.map(|besides| {
        spec(&format!("workload=mixed policy=pending visits=on invlpgb=on threshold=3 ops={OPS} {besides}"))
    });
    judged(&machine(20), &mixed)?;
    Ok(())
}
