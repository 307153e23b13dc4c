//! The counts that the protocol and the policies beside it must show, exactly.
//!
//! N CPUs, the mm on K of them, M collapses, counted once the mm has come to rest.

use anyhow::{Result, ensure};
use gupsync_bench::spec::{Mutator, Toggle};
use gupsync_bench::{Row, Spec};
use libtest_mimic::Trial;

use crate::trace::where_x2apic_is;
use crate::{boot, judge, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    let sizes = [(1, 1), (2, 2), (8, 4), (16, 3), (64, 8)];
    let mut trials: Vec<_> = sizes
        .into_iter()
        .map(|(n, k)| trial(&format!("counts::{k}_of_{n}_cpus"), move || exact(n, k, 40)))
        .collect();
    trials.push(trial("counts::200_of_200_cpus", || exact(200, 200, 100)));
    // Item 16: more than an xAPIC numbers.
    trials.push(where_x2apic_is(trial("counts::260_of_288_cpus", || beyond_xapic(288, 260, 8))));
    trials
}

fn exact(n: u64, k: u64, m: u64) -> Result<()> {
    let mut specs = Vec::new();
    for invlpgb in [Toggle::Off, Toggle::On] {
        for threshold in [k, k + 1] {
            for mutator in [Mutator::Inside, Mutator::Outside] {
                let fits = mutator == Mutator::Inside || n > k;
                // The threshold means something with INVLPGB only.
                if fits && (invlpgb == Toggle::On || threshold == k) {
                    specs.push(spec(&format!(
                        "policy=broadcast,property,pending ops={m} mm_cpus={k} threshold={threshold} \
                         invlpgb={invlpgb} mutator={mutator}"
                    )));
                }
            }
        }
    }
    are_exact(&specs, n, k, m)
}

fn beyond_xapic(n: u64, k: u64, m: u64) -> Result<()> {
    let specs = [Toggle::Off, Toggle::On]
        .map(|invlpgb| spec(&format!("policy=broadcast,pending ops={m} mm_cpus={k} invlpgb={invlpgb}")));
    are_exact(&specs, n, k, m)
}

fn are_exact(specs: &[Spec], n: u64, k: u64, m: u64) -> Result<()> {
    let outcome = boot(&machine(n as usize), specs)?;
    let asked = specs.iter().flat_map(|spec| spec.policy.iter().map(move |policy| (spec, policy)));
    ensure!(outcome.rows.len() == asked.clone().count());
    for (row, (spec, policy)) in outcome.rows.iter().zip(asked) {
        ensure!(row.policy == *policy, "{row:#?}");
        judge(row)?;
        check(row, spec, n, k, m)?;
    }
    Ok(())
}

fn check(row: &Row, spec: &Spec, n: u64, k: u64, m: u64) -> Result<()> {
    let global = spec.invlpgb == Toggle::On && k >= spec.threshold as u64;
    // CPUs that run the mm, other than the mutator's.
    let others = if spec.mutator == Mutator::Inside { k - 1 } else { k };
    let flush_ipis = if global { 0 } else { m * others };
    let everyone = m * (n - 1);
    let sync_ipis = match &*row.policy {
        "broadcast" => everyone,
        "property" if spec.invlpgb == Toggle::On => everyone,
        "property" => 0,
        "pending" if global => m * others,
        "pending" => 0,
        other => panic!("{other} is not compared here"),
    };
    let counts = &row.counts;
    ensure!(counts.ops == Some(m), "{row:#?}");
    ensure!(counts.flush_ipis == Some(flush_ipis), "flush_ipis: {flush_ipis} expected in {row:#?}");
    ensure!(counts.sync_ipis == Some(sync_ipis), "sync_ipis: {sync_ipis} expected in {row:#?}");
    if *row.policy == *"pending" {
        ensure!(counts.foreign_interrupts == Some(0), "{row:#?}");
    }
    // One INVLPGB for each flush, broadcast by one NMI to each other CPU; none where the flush interrupts.
    let invlpgb_ops = if global { m } else { 0 };
    ensure!(counts.invlpgb_ops == Some(invlpgb_ops) && counts.tlbsyncs == Some(invlpgb_ops), "{row:#?}");
    ensure!(counts.emulation_nmis == Some(invlpgb_ops * (n - 1)), "{row:#?}");
    // Every held walker was at risk when nothing but the sync interrupts, and none where the flush did.
    let at_risk = if global { counts.held_at_unlink } else { Some(0) };
    ensure!(counts.at_risk == at_risk, "{row:#?}");
    Ok(())
}
