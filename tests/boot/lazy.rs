//! Lazy CPUs of an mm with a global ASID: a sync leaves them out, if they pass a fence on their way back.

use anyhow::{Result, ensure};
use gupsync_bench::choice::UnlazyFence;
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![trial("lazy::a_sync_leaves_them_out_if_they_pass_a_fence", syncs)]
}

/// No flush interrupts them, so they stay lazy all along.
fn syncs() -> Result<()> {
    let specs = ["added", "linux"].map(|fence| {
        spec(&format!("invlpgb=on unlazy_fence={fence} mm_cpus=4 lazy=2 ops=20 policy=broadcast,mask,pending"))
    });
    for row in judged(&machine(8), &specs)? {
        let lazy = if row.unlazy_fence == UnlazyFence::Linux { 2 } else { 0 };
        let round = if *row.policy == *"broadcast" { 7 } else { 3 + lazy };
        ensure!(row.counts.sync_ipis == Some(20 * round), "{row:#?}");
    }
    Ok(())
}
