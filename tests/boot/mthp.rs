//! mTHP collapse: the whole table is taken out for each candidate, with a flush and a sync; or once for all of them.

use anyhow::{Result, ensure};
use gupsync_bench::row::Status;
use libtest_mimic::Trial;

use crate::{boot, judge, judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("mthp::a_broadcast_for_each_candidate", broadcasts),
        trial("mthp::a_batch_takes_one_ticket", batches),
        trial("mthp::a_missing_sync_is_caught_though_the_table_comes_back", caught),
    ]
}

/// 2 MiB of 16 KiB each are 128 of them, and of 64 KiB 32: so often mainline interrupts every CPU.
fn broadcasts() -> Result<()> {
    for (order, candidates) in [(2, 128), (4, 32), (8, 2)] {
        for (invlpgb, by_flush) in [("off", 3), ("on", 0)] {
            let words =
                format!("order={order} invlpgb={invlpgb} mm_cpus=4 ops=4 policy=broadcast,mask,pending");
            for row in judged(&machine(8), &[spec(&words)])? {
                let unlinks = 4 * candidates;
                let round = match (&*row.policy, invlpgb) {
                    ("broadcast", _) => 7,
                    ("pending", "off") => 0,
                    _ => 3,
                };
                ensure!(row.counts.set == Some(unlinks), "{row:#?}");
                ensure!(row.counts.flush_ipis == Some(by_flush * unlinks), "{row:#?}");
                ensure!(row.counts.sync_ipis == Some(round * unlinks), "{row:#?}");
            }
        }
    }
    Ok(())
}

fn batches() -> Result<()> {
    // At any order, one ticket and one sync for each range; with a batch of 8 of 32, four.
    for (order, batch, unlinks) in [(2, 128, 1), (4, 128, 1), (8, 2, 1), (4, 8, 4), (4, 5, 7)] {
        for (invlpgb, round) in [("off", 0), ("on", 3)] {
            let words = format!("order={order} batch={batch} invlpgb={invlpgb} mm_cpus=4 ops=8 policy=pending");
            for row in judged(&machine(8), &[spec(&words)])? {
                ensure!(row.counts.set == Some(8 * unlinks), "{row:#?}");
                ensure!(row.counts.sync_ipis == Some(8 * unlinks * round), "{row:#?}");
            }
        }
    }
    Ok(())
}

fn caught() -> Result<()> {
    let outcome = boot(&machine(8), &[spec("order=4 batch=4 invlpgb=on mm_cpus=4 ops=20 policy=never")])?;
    for row in &outcome.rows {
        ensure!(row.status == Status::Violation, "{row:#?}");
        ensure!(row.detail.as_deref().is_some_and(|detail| detail.contains("inside a table")), "{row:#?}");
        judge(row)?;
    }
    Ok(())
}
