//! Collapses that find a page pinned: so many as were given one, under every policy, each of them taken back.

use anyhow::{Result, ensure};
use gupsync::policy;
use gupsync_host::qemu::{Accel, Machine};
use libtest_mimic::Trial;

use crate::{boot, judge, judged, machine, spec, trial};

const OPS: u64 = 40;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("pins::item_5_so_many_collapses_are_taken_back", exact),
        trial("pins::item_5_in_mixed_those_of_each_mm", mixed),
        trial("pins::item_5_no_row_is_spoilt_by_a_race", races),
    ]
}

/// All policies, one collapse in four: the costs are those of any collapse, and the table is there again.
fn exact() -> Result<()> {
    let settings = [
        "invlpgb=off",
        "invlpgb=on",
        "invlpgb=on mutator=outside migrate=on",
        "flush=hypercall preempted=1",
        // One of them is put back, and the others are not.
        "ranges=3",
    ];
    let specs: Vec<_> = [0, 1, 4]
        .iter()
        .flat_map(|every| settings.map(|words| (every, words)))
        .map(|(every, words)| {
            let pins = if *every == 0 { "off".to_owned() } else { format!("every:{every}") };
            spec(&format!("{words} ops={OPS} pins={pins}"))
        })
        .collect();
    let rows = judged(&machine(8), &specs)?;
    ensure!(rows.len() == specs.len() * policy::safe_names().count());
    let (none, pinned) = rows.split_at(rows.len() / 3);
    for (index, row) in rows.iter().enumerate() {
        let due = row.pins.0.map_or(0, |pins| OPS / pins.0);
        ensure!(row.counts.ops == Some(OPS), "{row:#?}");
        ensure!(row.counts.ops_pinned == Some(due) && row.counts.ops_failed == Some(due), "{due} in {row:#?}");
        // A pin costs no interrupt and saves none.
        let same = &none[index % none.len()].counts;
        ensure!(row.counts.flush_ipis == same.flush_ipis && row.counts.set == same.set, "{row:#?}");
        ensure!(row.counts.syncs_asked == same.syncs_asked, "{row:#?}");
        // In which of several ranges a walker walks is drawn after what is pinned.
        ensure!(row.ranges > 1 || row.counts.held_at_unlink == same.held_at_unlink, "{row:#?}");
    }
    ensure!(pinned.iter().all(|row| row.counts.ops_pinned > Some(0)));
    Ok(())
}

fn mixed() -> Result<()> {
    let words = "workload=mixed invlpgb=on threshold=3 ops=40 policy=broadcast,gather,pending";
    let specs = ["pins=every:2", "pins=every:3 operations=unmap,collapse mutator=outside naps=on"]
        .map(|pins| spec(&format!("{words} {pins}")));
    for row in judged(&machine(24), &specs)? {
        let ops = row.counts.ops;
        ensure!(row.counts.ops_pinned >= Some(5) && row.counts.ops_pinned < ops, "{row:#?}");
    }
    Ok(())
}

/// Walkers that race, and a page in their hands now and then: what the table is put back for, too.
fn races() -> Result<()> {
    let specs: Vec<_> = (1..=4)
        .map(|seed| {
            let invlpgb = if seed % 2 == 0 { "off" } else { "on" };
            spec(&format!(
                "invlpgb={invlpgb} eager=on mm_cpus=3 switchers=1 flushers=1 touch=on pins=every:2 ops=20 seed={seed}"
            ))
        })
        .collect();
    let outcome = boot(&Machine { accel: Accel::TcgMulti, ..machine(6) }, &specs)?;
    outcome.rows.iter().try_for_each(judge)
}
