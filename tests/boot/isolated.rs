//! What reaches an isolated CPU that runs a thread of the mm and never walks it.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![trial("isolated::a_member_is_spared_by_trackers_alone", a_member)]
}

const OPS: u64 = 40;

/// Interrupts for the flush of a collapse, and for its sync.
fn reaches(policy: &str, is_global: bool) -> (u64, u64) {
    let flush = if is_global { 0 } else { OPS };
    let sync = match policy {
        // They know of each CPU whether it walks; or interrupt no CPU.
        "targeted" | "pending+targeted" | "rcu" => 0,
        "broadcast" | "broadcast-per-table" | "mask" => OPS,
        // The flush has reached every walker, if it was an interrupt.
        _ => OPS - flush,
    };
    (flush, sync)
}

fn a_member() -> Result<()> {
    let words = |invlpgb| format!("isolated_members=1 mm_cpus=4 invlpgb={invlpgb} ops={OPS}");
    for row in judged(&machine(8), &["off", "on"].map(|invlpgb| spec(&words(invlpgb))))? {
        let c = &row.counts;
        let (flush, sync) = reaches(&row.policy, row.invlpgb.is_on());
        ensure!(c.isolated_flush_requests == Some(flush), "{row:#?}");
        ensure!(c.isolated_sync_requests == Some(sync), "{row:#?}");
        ensure!(c.isolated_interrupts == Some(flush + sync), "{row:#?}");
    }
    Ok(())
}
