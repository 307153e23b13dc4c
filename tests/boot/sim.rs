//! The simulated machine counts what the kernel counts.
//!
//! The same specs on both, and every field that is exact the same. The same code decides on both: a difference says that one of
//! the two does not do what [`gupsync::machine::Machine`] says.

use anyhow::{Error, Result, ensure};
use gupsync_bench::counts::COUNTERS;
use gupsync_bench::spec::{Backend, Workload};
use gupsync_bench::{Row, Spec};
use gupsync_sim::{Band, Costs};
use libtest_mimic::Trial;

use crate::{judge, judged, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    let matrix = |(cpus, modes): (usize, &'static [&'static str])| {
        trial(&format!("sim::counts_what_the_kernel_counts_on_{cpus}_cpus"), move || {
            are_equal(cpus, one_mm(cpus, modes))
        })
    };
    let mut trials: Vec<_> = [(1, FEW), (2, FEW), (8, MANY), (16, FEW), (64, FEW)].map(matrix).into();
    trials.push(trial("sim::counts_what_the_kernel_counts_of_several_mms", several_mms));
    trials
}

pub const FEW: &[&str] = &["", "invlpgb=on threshold=2", "flush=hypercall-all mutator=outside"];
pub const MANY: &[&str] = &[
    "",
    "invlpgb=on",
    "flush=hypercall preempted=1",
    "flush=hypercall-all",
    "mutator=outside",
    "naps=on",
    "visits=on hold=0",
    "lazy=1 stale=1",
    "sender=preemptible",
    "migrate=on",
    "remap=on",
    "touch=on",
    "hotplug=1",
    "sample=switch",
    "isolated=1",
    "isolated_members=1 invlpgb=on",
    "pins=every:2",
    "exit=on",
    "interleave=on",
    "order=4 batch=8",
    "ranges=3 tables=3",
    "gather=0",
];

/// Every workload about one mm, in every mode that there is room for.
pub fn one_mm(cpus: usize, modes: &[&str]) -> Vec<Spec> {
    let workloads = Workload::ALL.iter().filter(|workload| **workload != Workload::Mixed);
    let in_modes = workloads.flat_map(|workload| modes.iter().map(move |mode| (workload, mode)));
    let sizes: &[usize] = if cpus == 8 { &[4] } else { &[1, 2, 4] };
    let words = in_modes.flat_map(|(workload, mode)| {
        sizes.iter().map(move |mm_cpus| format!("workload={workload} {mode} mm_cpus={mm_cpus} ops=8"))
    });
    words.map(|words| spec(&words)).filter(|spec| spec.check(cpus).is_ok()).collect()
}

/// INVLPGB is emulated in the kernel: the same is asked of the simulated machine.
fn emulated(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    if spec.invlpgb.is_on() {
        spec.backend = Backend::Emulated;
    }
    spec
}

/// The rows of `spec` on the simulated machine, each of them what its policy promises.
fn simulated(spec: &Spec, cpus: usize) -> Result<Vec<Row>> {
    let rows = native(&emulated(spec), cpus)?;
    rows.iter().try_for_each(judge)?;
    Ok(rows)
}

/// The rows of the simulated machine, built for this one.
pub fn native(spec: &Spec, cpus: usize) -> Result<Vec<Row>> {
    let costs = Costs::of(Band::Mid);
    let run = |policy| gupsync_sim::run(spec, policy, cpus, &costs, &mut |_| ()).map_err(Error::msg);
    let runs = spec.policy.iter().map(|policy| run(*policy)).collect::<Result<Vec<_>>>()?;
    Ok(runs.into_iter().flat_map(|run| run.rows).collect())
}

fn are_equal(cpus: usize, specs: Vec<Spec>) -> Result<()> {
    let (mut compared, mut different) = (0, Vec::new());
    for specs in specs.chunks(20) {
        let rows = judged(&machine(cpus), specs)?;
        let others = specs.iter().map(|spec| simulated(spec, cpus)).collect::<Result<Vec<_>>>()?.concat();
        ensure!(rows.len() == others.len(), "{} rows, and {} simulated", rows.len(), others.len());
        for (row, other) in rows.iter().zip(&others) {
            ensure!((&*row.policy, row.mm) == (&*other.policy, other.mm), "{row:#?} and {other:#?}");
            for counter in COUNTERS.iter().filter(|counter| row.is_exact(counter)) {
                let [one, two] = [row, other].map(|row| (counter.get)(&row.counts));
                compared += 1;
                if one != two {
                    let (key, policy, mm) = (counter.key, row.policy, row.mm);
                    different.push(format!("{policy} {mm} {key}: kernel {one:?}, sim {two:?}: {}", words(row)));
                }
            }
        }
    }
    ensure!(different.is_empty(), "{} of {compared} differ:\n{}", different.len(), different.join("\n"));
    ensure!(compared > 0, "nothing was compared");
    Ok(())
}

/// What a row has been asked, where it differs from the default.
fn words(row: &Row) -> String {
    let usual = Spec::default();
    let usual = Row::new(&usual, usual.policy[0], row.mm, row.cpus, row.status);
    let pairs = row.settings().into_iter().zip(usual.settings());
    pairs.filter(|(set, usual)| set != usual).map(|((key, value), _)| format!("{key}={value} ")).collect()
}

fn several_mms() -> Result<()> {
    are_equal(32, of_several_mms())
}

/// For 32 CPUs.
pub fn of_several_mms() -> Vec<Spec> {
    let specs = ["", "invlpgb=on", "invlpgb=on switchers=1 flushers=1 isolated=1 lazy=1 stale=1"];
    specs.map(|words| spec(&format!("workload=mixed threshold=3 ops=12 {words}"))).into()
}
