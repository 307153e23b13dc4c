//! An mm that has left shared tables exits: one more round of flush interrupts, no sync; its upper tables go when no walker
//! is inside, and not before.

use anyhow::{Result, ensure};
use gupsync::policy;
use gupsync_bench::row::Status;
use gupsync_host::qemu::{Accel, Machine};
use libtest_mimic::Trial;

use crate::membership::{Case, absent, elsewhere, lazy, of_cases, run, stale};
use crate::{boot, judge, judged, machine, spec, trial};

/// By test. Each operation has the flush of the team's unshare and that of its exit. The other sharers exit too, and run on no
/// CPU.
const CASES: &[(&str, &[Case])] = &[
    (
        "one_more_round_of_flushes_and_no_sync",
        &[
            run("workload=unshare exit=on", 12, 2 * 12, 12),
            run("workload=unshare exit=on hold=0", 12, 2 * 12, 12),
            run("workload=unshare exit=on tables=4 sharers=5", 12, 2 * 12, 12),
            run("workload=unshare exit=on unshare_flush=series", 12, 2 * 12, 12),
        ],
    ),
    (
        "the_exit_of_an_mm_on_other_cpus",
        &[run("workload=unshare exit=on", 12, 2 * 12, 12).with_mutator_outside()],
    ),
    ("the_exit_of_an_mm_on_one_cpu_flushes_no_other", &[absent("workload=unshare exit=on", 12, 12)]),
    // The unshare spares them. The first exit makes them drop the mm, the second finds that they have, and they leave.
    (
        "lazy_cpus_are_flushed_by_the_exit",
        &[
            lazy("workload=unshare exit=on", 1, 1),
            lazy("workload=unshare exit=on", 2, 2),
            lazy("workload=unshare exit=on", 10, 2),
            // It makes them drop the mm, and the exit finds that they have.
            lazy("workload=unshare exit=on unshare_flush=series", 1, 2),
            lazy("workload=unshare exit=on unshare_flush=series", 10, 2),
        ],
    ),
    ("stale_cpus_are_flushed_by_the_first_exit", &[stale("workload=unshare exit=on", 10, 1)]),
    (
        "cpus_that_nap_or_visit_another_mm_are_spared_by_the_unshare_alone",
        &[
            run("workload=unshare exit=on naps=on hold=0", 12, 12, 12),
            elsewhere("workload=unshare exit=on visits=on hold=0", 12, 12, 12),
        ],
    ),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = of_cases("exit", CASES);
    trials.extend([
        trial("exit::an_unsafe_policy_is_caught_and_no_other", unsafe_is_caught),
        trial("exit::upper_tables_go_by_ticket_or_by_grace_period", deferred),
        trial("exit::safe_ones_hold_in_interleaved_runs", interleaved),
        trial("exit::safe_ones_hold_in_racing_runs", racing),
    ]);
    trials
}

fn unsafe_is_caught() -> Result<()> {
    let specs: Vec<_> = (1..=5)
        .flat_map(|seed| {
            let words = format!("workload=unshare exit=on invlpgb=on ops=80 seed={seed}");
            [spec(&format!("{words} policy=never")), spec(&words)]
        })
        .collect();
    for row in judged(&machine(8), &specs)? {
        ensure!((row.status == Status::Violation) == (*row.policy == *"never"), "{row:#?}");
    }
    Ok(())
}

/// The upper table of each sharer, and the shared table of the last to leave. Where INVLPGB flushes, no ticket of the team's mm
/// is covered; the others run on no CPU, and are flushed by no CPU but the mutator's.
fn deferred() -> Result<()> {
    let (ops, sharers) = (40, 3);
    let specs = ["off", "on"].map(|invlpgb| {
        spec(&format!("workload=unshare exit=on invlpgb={invlpgb} ops={ops} policy=broadcast,gather,pending"))
    });
    for row in judged(&machine(8), &specs)? {
        let [ticket, grace] = [row.counts.freed_by_ticket, row.counts.freed_by_grace_period];
        let freed = ticket.unwrap_or(0) + grace.unwrap_or(0);
        ensure!(row.counts.set == Some(ops * 2 * sharers), "{row:#?}");
        ensure!(freed <= ops * (sharers + 1) && freed >= (ops - 4) * (sharers + 1), "{row:#?}");
        ensure!((ticket > Some(0)) == (*row.policy == *"pending"), "{row:#?}");
        ensure!((grace > Some(0)) == (row.invlpgb.is_on() || *row.policy != *"pending"), "{row:#?}");
    }
    Ok(())
}

/// Which mm takes the next step, and on which CPU, is drawn; some mms stay.
fn interleaved() -> Result<()> {
    let specs: Vec<_> = (1..=8)
        .map(|seed| {
            let invlpgb = if seed % 2 == 0 { "off" } else { "on" };
            let (sharers, tables, hold) = (2 + seed % 5, 1 + seed % 4, 1 + seed % 2);
            spec(&format!(
                "workload=unshare exit=on interleave=on migrate=on invlpgb={invlpgb} sharers={sharers} tables={tables} \
                 hold={hold} ops=100 seed={seed}"
            ))
        })
        .collect();
    let rows = judged(&machine(4), &specs)?;
    ensure!(rows.len() == specs.len() * policy::safe_names().count());
    Ok(())
}

fn racing() -> Result<()> {
    let specs: Vec<_> = (1..=2)
        .map(|seed| {
            let invlpgb = if seed % 2 == 0 { "off" } else { "on" };
            spec(&format!(
                "workload=unshare exit=on interleave=on migrate=on invlpgb={invlpgb} eager=on switchers=1 flushers=1 \
                 mm_cpus=4 ops=12 seed={seed}"
            ))
        })
        .collect();
    let outcome = boot(&Machine { accel: Accel::TcgMulti, ..machine(6) }, &specs)?;
    ensure!(outcome.rows.len() == specs.len() * policy::safe_names().count());
    outcome.rows.iter().try_for_each(judge)
}
