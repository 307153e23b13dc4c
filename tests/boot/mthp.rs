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
    let words = |order| {
        ["off", "on"].map(|invlpgb| {
            spec(&format!("order={order} invlpgb={invlpgb} mm_cpus=4 ops=4 policy=broadcast,mask,pending"))
        })
    };
    let rows = judged(&machine(8), &[2, 4, 8].map(words).concat())?;
    ensure!(rows.len() == 3 * 2 * 3);
    for row in rows {
        let unlinks = 4 * (512 >> row.order);
        let (by_flush, round) = match (&*row.policy, row.invlpgb.is_on()) {
            ("broadcast", false) => (3, 7),
            ("broadcast", true) => (0, 7),
            ("pending", false) => (3, 0),
            (_, false) => (3, 3),
            (_, true) => (0, 3),
        };
        ensure!(row.counts.set == Some(unlinks), "{row:#?}");
        ensure!(row.counts.flush_ipis == Some(by_flush * unlinks), "{row:#?}");
        ensure!(row.counts.sync_ipis == Some(round * unlinks), "{row:#?}");
    }
    Ok(())
}

/// At any order, one ticket and one sync for each range, if the batch is all of it; with a batch of 8 of 32, four.
fn batches() -> Result<()> {
    let words = |(order, batch)| {
        ["off", "on"].map(|invlpgb| {
            spec(&format!("order={order} batch={batch} invlpgb={invlpgb} mm_cpus=4 ops=8 policy=pending"))
        })
    };
    let specs = [(2, 128), (4, 128), (8, 2), (4, 8), (4, 5)].map(words).concat();
    let rows = judged(&machine(8), &specs)?;
    ensure!(rows.len() == specs.len());
    for row in rows {
        let unlinks = 8 * (512_u64 >> row.order).div_ceil(row.batch);
        let round = if row.invlpgb.is_on() { 3 } else { 0 };
        ensure!(row.counts.set == Some(unlinks), "{row:#?}");
        ensure!(row.counts.sync_ipis == Some(unlinks * round), "{row:#?}");
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
