//! `compare`: one boot for each setting of INVLPGB, all workloads and policies in each.

use std::thread;

use anyhow::Result;
use gupsync_bench::Spec;
use gupsync_bench::spec::{Toggle, Workload};

use crate::args::{self, CompareArgs};
use crate::artifacts::Tree;
use crate::boot::{self, Outcome};
use crate::document::{self, Document, SCHEMA};
use crate::ending::{Ending, Usage};
use crate::image::Bootloader;
use crate::progress::Progress;
use crate::qemu::{self, Accel, Machine};
use crate::sink::Sink;
use crate::verdict::Verdict;
use crate::{say, table};

/// What the arguments ask for: the specs of each boot, one for each workload.
///
/// # Errors
///
/// One line that names the flag and the remedy.
pub fn specs(args: &CompareArgs) -> Result<Vec<Vec<Spec>>, Usage> {
    let settings = args.invlpgb.map_or(vec![Toggle::Off, Toggle::On], |toggle| vec![toggle]);
    let boot = |invlpgb| args.workload.0.iter().map(|workload| spec(args, *workload, invlpgb)).collect();
    settings.into_iter().map(boot).collect()
}

fn spec(args: &CompareArgs, workload: Workload, invlpgb: Toggle) -> Result<Spec, Usage> {
    let spec = args.settings.spec(workload, invlpgb, args.machine.accel);
    spec.check(args.machine.cpus).map_err(|refusal| args::in_flags(&refusal))?;
    Ok(spec)
}

/// Runs the comparison, writes it down, prints it; says how it ended.
///
/// # Errors
///
/// If it cannot be begun, or its results cannot be handed over.
pub fn run(args: &CompareArgs) -> Result<Ending> {
    let boots = specs(args)?;
    let machine = args.machine.machine()?;
    let bootloader = args.machine.bootloader()?;
    let sink = args.json.as_deref().map(Sink::open).transpose()?;
    let qemu = qemu::version()?;
    let tree = Tree::own();
    // Asked before anything is written into the checkout.
    let (revision, dirty) = document::revision(&tree.root);
    // Built once, before the boots that share it.
    tree.kernel()?;
    let outcomes = boot_all(args, &tree, &bootloader, &machine, &boots);

    let verdict = Verdict::of(&outcomes);
    let loader = outcomes.iter().find_map(|outcome| outcome.loader.clone());
    let qemu = loader.as_ref().map(|_| qemu);
    let mut text: Vec<_> =
        outcomes.iter().flat_map(|outcome| table::groups(&outcome.rows)).map(table::render).collect();
    if let (Some(loader), Some(qemu)) = (&loader, &qemu) {
        text.push(format!("booted by {loader}, QEMU {qemu}, {}", machine.accel));
    }
    let is_stdout = sink.as_ref().is_some_and(Sink::is_stdout);
    // First of all: what is printed may find no reader.
    let written = sink.map_or(Ok(()), |sink| {
        let rows = outcomes.into_iter().flat_map(|outcome| outcome.rows).collect();
        let accel = machine.accel.to_string();
        sink.write(&Document { schema: SCHEMA, revision, dirty, qemu, accel, loader, rows })
    });
    if is_stdout {
        say::err(text.join("\n\n"))
    } else {
        say::out(text.join("\n\n"))
    }
    for fault in verdict.faults {
        say::err(format_args!("error: {fault}"));
    }
    written?;
    Ok(verdict.ending)
}

/// Boots all specs; two at a time where one thread serves a whole machine. What cannot be booted costs no other boot.
fn boot_all(
    args: &CompareArgs,
    tree: &Tree,
    bootloader: &Bootloader,
    machine: &Machine,
    boots: &[Vec<Spec>],
) -> Vec<Outcome> {
    let progress = Progress::new();
    let one = |specs: &Vec<Spec>| {
        let shown = progress.boot(&specs[0]);
        boot::run(tree, bootloader, machine, specs, args.machine.timeout(), |word| shown.hear(word))
            .unwrap_or_else(|error| boot::none(specs, machine, &format!("{error:#}")))
    };
    if machine.accel != Accel::TcgSingle {
        return boots.iter().map(one).collect();
    }
    thread::scope(|scope| {
        let running: Vec<_> = boots.iter().map(|specs| scope.spawn(|| one(specs))).collect();
        running.into_iter().map(|boot| boot.join().expect("a boot does not panic")).collect()
    })
}
