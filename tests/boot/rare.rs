//! Rare paths: each is gone through where it was asked for, and only there.

use anyhow::{Result, ensure};
use gupsync_bench::spec::Toggle;
use libtest_mimic::Trial;

use crate::{boot, judge, judged, machine, spec, trial};

const OPS: u64 = 40;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("rare::item_5_deferred_tables_go_by_ticket_or_by_grace_period", deferred),
        trial("rare::item_5_requests_of_several_senders_share_an_interrupt", coalesced),
        trial("rare::item_5_held_walkers_back_off", backed_off),
        trial("rare::item_5_never_lets_a_page_be_pinned_after_the_copy", pinned_after_the_copy),
    ]
}

/// An interrupt covers the ticket before the tables are looked after, for a policy that keeps state; INVLPGB does not, and a
/// grace period it is, as for every other policy.
fn deferred() -> Result<()> {
    let specs = ["off", "on"].map(|invlpgb| {
        spec(&format!("workload=unmap invlpgb={invlpgb} ops={OPS} policy=broadcast,gather,targeted,pending"))
    });
    for row in judged(&machine(8), &specs)? {
        let (ticket, grace) = (row.counts.freed_by_ticket, row.counts.freed_by_grace_period);
        // Those of the last operation are freed after counting has ended, if a grace period is to go by.
        if row.invlpgb == Toggle::Off && *row.policy == *"pending" {
            ensure!(ticket == Some(OPS) && grace == Some(0), "{row:#?}");
        } else {
            ensure!(ticket == Some(0) && grace >= Some(OPS - 4) && grace <= Some(OPS), "{row:#?}");
        }
    }
    Ok(())
}

/// A sender awaits its acks before it sends again, so that one alone never has two requests with one CPU.
fn coalesced() -> Result<()> {
    let words = |flushers: u64| format!("ops=200 flushers={flushers} policy=broadcast,pending");
    let specs = [0, 3].map(|flushers| spec(&words(flushers)));
    for row in judged(&machine(10), &specs)? {
        let is_any = row.counts.requests_coalesced > Some(0);
        ensure!(is_any == (row.flushers > 0), "{row:#?}");
    }
    Ok(())
}

fn backed_off() -> Result<()> {
    let specs = ["invlpgb=off", "invlpgb=on", "invlpgb=on workload=unshare", "hold=0"]
        .map(|words| spec(&format!("{words} ops={OPS}")));
    for row in judged(&machine(8), &specs)? {
        let is_any = row.counts.walks_backed_off > Some(0);
        ensure!(is_any == (row.hold > 0), "{row:#?}");
    }
    Ok(())
}

/// A missing sync, and the two ways in which a walker that is still inside does harm: it pins a page that is being
/// copied away, or reads the table that has gone. Each is seen by the detector that is for it.
fn pinned_after_the_copy() -> Result<()> {
    let specs: Vec<_> =
        (1..=20).map(|seed| spec(&format!("policy=never invlpgb=on mm_cpus=6 seed={seed}"))).collect();
    let outcome = boot(&machine(8), &specs)?;
    ensure!(outcome.rows.len() == 20);
    outcome.rows.iter().try_for_each(judge)?;
    for what in
        ["a page was pinned after it had been copied away", "a walker was inside a table taken out of use"]
    {
        let of_kind =
            |detail: &Option<String>| detail.as_deref().is_some_and(|detail| detail.starts_with(what));
        let count = outcome.rows.iter().filter(|row| of_kind(&row.detail)).count();
        ensure!(count == 10, "{what}: in {count} of 20 rows\n{:#?}", outcome.rows);
    }
    Ok(())
}
