//! Several mms at once, each flushed in its own way, and the costs of the policies beside each other.

use anyhow::{Context, Result, ensure};
use gupsync_bench::Row;
use gupsync_bench::row::{Counts, MmName};
use libtest_mimic::Trial;

use crate::{judged, machine, spec, trial};

/// One row each, in this order.
const MMS: [MmName; 6] =
    [MmName::Global, MmName::Ipi, MmName::Transition, MmName::Exhausted, MmName::Hypercall, MmName::Total];

/// What the mms' rows add up to the total's in.
const ADD_UP: [fn(&Counts) -> Option<u64>; 4] =
    [|counts| counts.sync_ipis, |counts| counts.flush_ipis, |counts| counts.set, |counts| counts.ops];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("mixed::each_mm_is_flushed_in_its_own_way", own_ways),
        trial("mixed::pending_sends_no_more_than_its_rivals", no_more),
        trial("mixed::guests_cost_no_more_than_their_departures", guests),
        trial("mixed::too_few_asids", few_asids),
        trial("mixed::an_asid_is_considered_after_one_flush_of_so_many", considered),
        trial("mixed::every_role_beyond_cpu_63", high_numbers),
        trial("mixed::grace_periods_pass_while_workers_look", looking),
        trial("mixed::mutators_that_no_worker_keeps_wait_for_their_memory", alone),
    ]
}

const ALL: &str = "";
const PRIVATE: &str = "operations=collapse,unmap policy=broadcast,property,gather,pending";
const GUESTS: &str = "switchers=1 flushers=1 isolated=1";
const ONE_ASID: &str = "asids=1";
const AS_LINUX: &str = "asid_every=32 policy=pending,broadcast";

/// The rows of a run, by policy.
fn rows(words: &str) -> Result<Vec<Vec<Row>>> {
    let spec = spec(&format!("workload=mixed threshold=3 invlpgb=on ops=200 {words}"));
    let rows = judged(&machine(16), &[spec])?;
    for rows in rows.chunks(MMS.len()) {
        ensure!(rows.iter().map(|row| row.mm).eq(MMS), "{rows:#?}");
        ensure!(rows.iter().all(|row| row.policy == rows[0].policy), "{rows:#?}");
    }
    Ok(rows.chunks(MMS.len()).map(<[Row]>::to_vec).collect())
}

fn of<'rows>(by_policy: &'rows [Vec<Row>], policy: &str) -> Result<&'rows [Row]> {
    by_policy
        .iter()
        .find(|rows| *rows[0].policy == *policy)
        .map(Vec::as_slice)
        .context("the policy was asked for")
}

fn count(row: &Row, of: impl Fn(&Counts) -> Option<u64>) -> Result<u64> {
    of(&row.counts).context("a count is missing")
}

fn own_ways() -> Result<()> {
    for rows in &rows(ALL)? {
        let [global, ipi, transition, exhausted, hypercall, total] = &rows[..] else {
            anyhow::bail!("{rows:#?}")
        };
        for of in ADD_UP {
            let sum = rows[..5].iter().map(|row| count(row, of)).sum::<Result<u64>>()?;
            ensure!(sum == count(total, of)?, "{rows:#?}");
        }
        for row in rows {
            let (walking, at_risk) = (row.counts.walking_at_sync, row.counts.at_risk);
            ensure!(at_risk <= walking && at_risk.is_some(), "{row:#?}");
        }
        let uses = |row: &Row| {
            let counts = &row.counts;
            [counts.flush_ipis, counts.invlpgb_ops, counts.hypercalls]
                .map(|count| count.is_some_and(|count| count > 0))
        };
        ensure!(uses(global) == [false, true, false], "{global:#?}");
        ensure!(uses(ipi) == [true, false, false], "{ipi:#?}");
        ensure!(uses(transition) == [true, true, false], "{transition:#?}");
        ensure!(uses(exhausted) == [true, false, false], "{exhausted:#?}");
        ensure!(uses(hypercall) == [true, false, true], "{hypercall:#?}");
    }
    Ok(())
}

fn no_more() -> Result<()> {
    let all = rows(ALL)?;
    // Without unshare, whose debts a broadcast pays for all mms at once, not even `gather` is ever cheaper.
    let private = rows(PRIVATE)?;
    let rivals = [(&all, "broadcast"), (&all, "property"), (&all, "mask")];
    let private_rivals = ["broadcast", "property", "gather"].map(|policy| (&private, policy));
    for (rows, rival) in rivals.into_iter().chain(private_rivals) {
        for (own, other) in of(rows, "pending")?.iter().zip(of(rows, rival)?) {
            let costs = |row| count(row, |counts| counts.sync_ipis);
            ensure!(costs(own)? <= costs(other)?, "{own:#?}\n{other:#?}");
        }
    }
    for row in of(&all, "pending")? {
        ensure!(row.counts.foreign_interrupts == Some(0), "{row:#?}");
    }
    // What must be interrupted at the least, but for a walk that ended in between.
    let total = of(&all, "pending+targeted")?.last().context("rows")?;
    let (sent, walking) =
        (count(total, |counts| counts.sync_ipis)?, count(total, |counts| counts.walking_at_sync)?);
    ensure!(sent.abs_diff(walking) * 20 <= walking, "{total:#?}");
    Ok(())
}

fn guests() -> Result<()> {
    let rows = rows(GUESTS)?;
    let pending = of(&rows, "pending")?;
    for row in pending {
        // A CPU that has another mm loaded is found in the cpumask once, and leaves it.
        let foreign = count(row, |counts| counts.foreign_interrupts)?;
        ensure!(foreign <= count(row, |counts| counts.departures)?, "{row:#?}");
    }
    let total = pending.last().context("rows")?;
    ensure!(total.counts.isolated_interrupts == Some(0), "{total:#?}");
    let total = of(&rows, "broadcast")?.last().context("rows")?;
    ensure!(total.counts.isolated_interrupts.is_some_and(|count| count > 0), "{total:#?}");
    Ok(())
}

/// Senders, preempted and lazy CPUs, flushers and switchers in the second word of each mask, and in the third: what is
/// counted where nothing races is what the same roles count at low numbers.
fn high_numbers() -> Result<()> {
    let (mixed, alone) = ("lazy=2 stale=1 switchers=2 flushers=2 isolated=1", "lazy=2 stale=1");
    let at = |bystanders| {
        let collapse = "policy=gather,pending,pending+targeted workload=collapse ops=20";
        [
            spec(&format!("{collapse} {alone} bystanders={bystanders}")),
            spec(&format!("{collapse} {alone} bystanders={bystanders} invlpgb=on")),
            spec(&format!("{collapse} flush=hypercall preempted=2 bystanders={bystanders}")),
            spec(&format!(
                "policy=broadcast,pending workload=mixed threshold=3 invlpgb=on ops=20 {mixed} bystanders={bystanders}"
            )),
        ]
    };
    let specs: Vec<_> = [0, 63, 127].into_iter().flat_map(at).collect();
    let rows = judged(&machine(160), &specs)?;
    let (low, high) = rows.split_at(rows.len() / 3);
    for rows in high.chunks(low.len()) {
        for (low, high) in low.iter().zip(rows).take(3 * 3) {
            let of = |row: &Row| {
                let counts = &row.counts;
                [
                    counts.flush_ipis,
                    counts.sync_ipis,
                    counts.set,
                    counts.cleared,
                    counts.hypercalls,
                    counts.preemptions,
                ]
            };
            ensure!(of(low) == of(high), "{low:#?}\n{high:#?}");
        }
    }
    Ok(())
}

/// Where an ASID is considered as seldom as in Linux, an mm that begins anew after four operations seldom comes to it: it
/// is flushed by interrupts instead.
fn considered() -> Result<()> {
    let transition = |by_policy: &[Vec<Row>]| Ok::<_, anyhow::Error>(of(by_policy, "pending")?[2].clone());
    let (always, seldom) = (transition(&rows(ALL)?)?, transition(&rows(AS_LINUX)?)?);
    ensure!(always.mm == MmName::Transition && seldom.mm == MmName::Transition, "{seldom:#?}");
    let invlpgbs = |row| count(row, |counts| counts.invlpgb_ops);
    ensure!(4 * invlpgbs(&seldom)? < invlpgbs(&always)?, "{always:#?}\n{seldom:#?}");
    ensure!(seldom.counts.flush_ipis > always.counts.flush_ipis, "{always:#?}\n{seldom:#?}");
    Ok(())
}

fn few_asids() -> Result<()> {
    // Two mms want the only one.
    let of_mms = rows(ONE_ASID)?;
    ensure!(
        of_mms.iter().flatten().any(|row| count(row, |counts| counts.invlpgb_ops).is_ok_and(|ops| ops > 0))
    );
    // No mm gets one: as if there were no INVLPGB, but known to `pending` only.
    let (n, ops) = (8, 20);
    let specs = ["invlpgb=off", "invlpgb=on asids=0"]
        .map(|words| spec(&format!("policy=pending,property,broadcast ops={ops} {words}")));
    let rows = judged(&machine(n as usize), &specs)?;
    let (without, exhausted) = rows.split_at(3);
    for (without, exhausted) in without.iter().zip(exhausted) {
        ensure!(exhausted.counts.flush_ipis == without.counts.flush_ipis, "{exhausted:#?}");
        ensure!(exhausted.counts.flush_ipis == Some(3 * ops), "{exhausted:#?}");
        ensure!(exhausted.counts.invlpgb_ops == Some(0), "{exhausted:#?}");
        let sync_ipis = if *exhausted.policy == *"pending" { 0 } else { ops * (n - 1) };
        ensure!(
            exhausted.counts.sync_ipis == Some(sync_ipis),
            "sync_ipis: {sync_ipis} expected in {exhausted:#?}"
        );
    }
    Ok(())
}

/// In each mm a worker looks as often as it can, and there are four grace periods in each operation. Without a pause
/// between two looks they do not pass in the time that a boot has.
fn looking() -> Result<()> {
    let words = "workload=mixed policy=rcu threshold=2 invlpgb=on remap=on order=7 operations=collapse ops=40";
    let rows = judged(&machine(16), &[spec(words)])?;
    let total = rows.last().context("a row for all")?;
    ensure!(total.counts.ops == Some(5 * 40) && total.counts.remaps_read > Some(0), "{total:#?}");
    Ok(())
}

/// In 62 collapses each, five mutators take more memory than there is, unless it comes back in between.
fn alone() -> Result<()> {
    let rows =
        judged(&machine(16), &[spec("workload=mixed threshold=1 operations=collapse ops=62 policy=pending")])?;
    ensure!(rows.len() == MMS.len());
    Ok(())
}
