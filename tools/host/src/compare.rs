//! `compare`: one boot for each setting of INVLPGB, all workloads and policies in each.

use std::thread;

use anyhow::Result;
use gupsync_bench::Spec;
use gupsync_bench::spec::{Toggle, Workload};

use crate::args::CompareArgs;
use crate::artifacts::Tree;
use crate::boot::{self, Outcome};
use crate::document::{self, Document, SCHEMA, Sink};
use crate::image::Bootloader;
use crate::progress::Progress;
use crate::qemu::{self, Accel, Machine};
use crate::table;

/// What the arguments ask for: the specs of each boot, one for each workload.
///
/// # Errors
///
/// One line that names the input and the remedy.
pub fn specs(args: &CompareArgs) -> Result<Vec<Vec<Spec>>> {
    let settings = args.invlpgb.map_or(vec![Toggle::Off, Toggle::On], |toggle| vec![toggle]);
    let boot = |invlpgb| args.workload.0.iter().map(|workload| spec(args, *workload, invlpgb)).collect();
    settings.into_iter().map(boot).collect()
}

fn spec(args: &CompareArgs, workload: Workload, invlpgb: Toggle) -> Result<Spec> {
    let spec = args.settings.spec(workload, invlpgb, args.machine.accel);
    spec.check(args.machine.cpus).map_err(|error| anyhow::anyhow!("--workload {workload}: {error}"))?;
    Ok(spec)
}

/// Runs the comparison, prints it, writes it down; says whether every row is what its policy promises.
///
/// # Errors
///
/// If it cannot be begun, or its results cannot be written down.
pub fn run(args: &CompareArgs) -> Result<bool> {
    let boots = specs(args)?;
    let machine = args.machine.machine()?;
    let sink = args.json.as_deref().map(Sink::open).transpose()?;
    let qemu = qemu::version()?;
    let tree = Tree::own();
    let bootloader = args.machine.bootloader()?;
    // Built once, before the boots that share it.
    tree.kernel()?;
    let outcomes = boot_all(args, &tree, &bootloader, &machine, &boots)?;

    let mut good = true;
    for outcome in &outcomes {
        for rows in table::groups(&outcome.rows) {
            println!("{}\n", table::render(rows));
        }
        for (row, fault) in outcome.rows.iter().filter_map(|row| Some((row, row.judge().err()?))) {
            eprintln!("error: {} {} invlpgb={}: {fault}", row.workload, row.policy, row.invlpgb);
            good = false;
        }
    }
    let loader = outcomes.iter().find_map(|outcome| outcome.loader.clone());
    let loader = loader.unwrap_or_else(|| bootloader.to_string());
    println!("booted by {loader}, QEMU {qemu}, {}", machine.accel);
    if let Some(sink) = sink {
        let (revision, dirty) = document::revision(&tree);
        let rows = outcomes.into_iter().flat_map(|outcome| outcome.rows).collect();
        let accel = machine.accel.to_string();
        sink.write(&Document { schema: SCHEMA, revision, dirty, qemu, accel, loader, rows })?;
    }
    Ok(good)
}

/// Boots all specs; two at a time where one thread serves a whole machine.
fn boot_all(
    args: &CompareArgs,
    tree: &Tree,
    bootloader: &Bootloader,
    machine: &Machine,
    boots: &[Vec<Spec>],
) -> Result<Vec<Outcome>> {
    let progress = Progress::new();
    let one = |specs: &Vec<Spec>| {
        let shown = progress.boot(&specs[0]);
        boot::run(tree, bootloader, machine, specs, args.machine.timeout(), |word| shown.hear(word))
    };
    if machine.accel != Accel::TcgSingle {
        return boots.iter().map(one).collect();
    }
    thread::scope(|scope| {
        let running: Vec<_> = boots.iter().map(|specs| scope.spawn(|| one(specs))).collect();
        running.into_iter().map(|boot| boot.join().expect("a boot does not panic")).collect()
    })
}
