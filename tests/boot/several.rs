//! Several ranges collapsed under one lock: one sync for all their tickets, or none.

use anyhow::{Result, ensure};
use gupsync_bench::row::Status;
use libtest_mimic::Trial;

use crate::{boot, judge, judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![trial("several::one_sync_serves_all", one_sync), trial("several::a_missing_sync_is_caught", caught)]
}

fn one_sync() -> Result<()> {
    let words = |ranges| {
        ["off", "on"].map(|invlpgb| spec(&format!("ranges={ranges} invlpgb={invlpgb} mm_cpus=4 ops=8")))
    };
    for row in judged(&machine(8), &[2, 4].map(words).concat())? {
        let by_ipi = u64::from(!row.invlpgb.is_on());
        ensure!(row.counts.set == Some(8 * row.ranges), "{row:#?}");
        ensure!(row.counts.flush_ipis == Some(8 * row.ranges * 3 * by_ipi), "{row:#?}");
        ensure!(row.counts.syncs_asked == Some(8), "{row:#?}");
        let round = match (&*row.policy, row.invlpgb.is_on()) {
            ("broadcast" | "broadcast-per-table", _) => 7,
            ("mask", _) => 3,
            ("property" | "gather", true) => 7,
            ("gather+mask" | "pending", true) => 3,
            ("property" | "gather" | "gather+mask" | "pending", false) => 0,
            _ => continue,
        };
        ensure!(row.counts.sync_ipis == Some(8 * round), "{row:#?}");
    }
    Ok(())
}

fn caught() -> Result<()> {
    let outcome = boot(&machine(8), &[spec("ranges=3 invlpgb=on mm_cpus=4 ops=20 policy=never")])?;
    for row in &outcome.rows {
        ensure!(row.status == Status::Violation, "{row:#?}");
        judge(row)?;
    }
    Ok(())
}
