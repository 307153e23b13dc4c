//! `compare`: one boot for each setting of INVLPGB, all workloads and policies in each.

use std::{iter, thread};

use anyhow::Result;
use gupsync_bench::Spec;
use gupsync_bench::spec::Workload;

use crate::args::{self, CompareArgs, Format};
use crate::artifacts::Tree;
use crate::boot::{self, Outcome, Word};
use crate::document::{self, Document, SCHEMA};
use crate::ears::Ears;
use crate::ending::{Ending, Usage, demand};
use crate::image::Bootloader;
use crate::keep::Keep;
use crate::linux::beside::{self, Beside};
use crate::linux::count;
use crate::progress::Progress;
use crate::qemu::{Accel, Machine};
use crate::sink::{self, Sink};
use crate::table::{self, Look};
use crate::verdict::Verdict;
use crate::{flat, repeat, say, trace};

/// What the arguments ask for: how many CPUs, and the specs of each boot, one for each workload.
///
/// # Errors
///
/// One line that names the flag and the remedy.
pub fn specs(args: &CompareArgs) -> Result<(usize, Vec<Vec<Spec>>), Usage> {
    let settings = args.invlpgb.settings();
    let spec = |workload: &Workload, invlpgb| args.settings.spec(*workload, invlpgb, args.machine.accel);
    let several = |spec| iter::repeat_n(spec, args.repeat as usize);
    let boot = |invlpgb| {
        args.workload.workload.0.iter().flat_map(|workload| several(spec(workload, invlpgb))).collect()
    };
    let boots: Vec<Vec<_>> = settings.into_iter().map(boot).collect();
    let cpus = args.machine.cpus_for(&boots.concat());
    for spec in boots.iter().flatten() {
        spec.check(cpus).map_err(|refusal| args::in_flags(&refusal))?;
    }
    for specs in &boots {
        let (repeat, length) = (args.repeat as usize, boot::cmdline(specs).len());
        demand(repeat == 1 || length <= boot::CMDLINE, || {
            let most = boot::CMDLINE / (length / repeat + "; ".len());
            format!(
                "--repeat {repeat}: makes a command line of {length} bytes for the kernel; use --repeat {most}"
            )
        })?;
    }
    Ok((cpus, boots))
}

/// Runs the comparison, writes it down, prints it; says how it ended.
///
/// # Errors
///
/// If it cannot be begun, or its results cannot be handed over.
pub fn run(args: &CompareArgs) -> Result<Ending> {
    let (cpus, boots) = specs(args)?;
    demand(!(args.wide && args.format == Format::Mail), || {
        "--wide: a line of a mail has 72 columns; leave out --wide or --format mail".to_owned()
    })?;
    let bootloader = args.machine.bootloader()?;
    let machine = args.machine.machine(cpus, &bootloader)?;
    if args.dry_run {
        boots.iter().try_for_each(|specs| boot::show(&bootloader, &machine, specs))?;
        return Ok(Ending::AsPromised);
    }
    let linux = Beside::of(args, cpus, &boots)?;
    let (json, log) = (&args.json, &args.console.log);
    demand(json.is_none() || json != log, || "--log: is the file of --json; name another".to_owned())?;
    let sink = json.as_deref().map(Sink::open).transpose()?;
    let trace = trace::open(args.trace.as_deref())?;
    let qemu = machine.version()?;
    let ears = Ears::open(&args.console)?;
    let keep = Keep::of(&args.keep)?;
    let tree = Tree::own().traced(trace.is_some());
    // Asked before anything is written into the checkout.
    let (revision, dirty) = document::revision(&tree.root);
    boot::prepare(&tree, &machine)?;
    let mut outcomes = boot_all(args, (&ears, &keep), (&tree, &bootloader, &machine), &boots);
    keep.say();
    let traced = trace::hand_over(trace, &mut outcomes);
    let (linux, counted) = match linux {
        None => (None, Vec::new()),
        Some(linux) => (Some(linux.kernel.to_string()), linux.count(&tree, &ears)?),
    };

    let verdict = Verdict::of(&outcomes);
    let loader = outcomes.iter().find_map(|outcome| outcome.loader.clone());
    let qemu = loader.as_ref().and(qemu);
    let rows: Vec<_> = outcomes.into_iter().flat_map(|outcome| outcome.rows).collect();
    let changed = repeat::faults(&rows, machine.accel);
    let (agreement, agrees) = beside::agreement(&rows, &counted);
    let document = Document {
        schema: SCHEMA,
        revision,
        dirty,
        qemu,
        accel: machine.accel.to_string(),
        loader,
        linux,
        command: document::command(),
        date: document::date(),
        rows: beside::merge(rows, &counted),
    };
    let look = Look::of(args.format, args.wide);
    let text = match args.format {
        Format::Csv => flat::render(&document.rows)?,
        Format::Table | Format::Markdown | Format::Mail => table::document(&document, look),
    };
    let written = sink::hand_over(sink, &document, text);
    if args.format == Format::Csv {
        say::err(document.footer());
    }
    for line in agreement {
        say::err(line);
    }
    for fault in verdict.faults.iter().chain(&changed) {
        say::err(format_args!("error: {fault}"));
    }
    written?;
    traced?;
    ears.check()?;
    Ok(match verdict.ending {
        Ending::AsPromised if agrees && changed.is_empty() => {
            count::ending(&counted.iter().map(count::Counting::is_done).collect::<Vec<_>>())
        }
        Ending::AsPromised => Ending::Broken,
        other => other,
    })
}

/// Boots all specs; two at a time where one thread serves a whole machine. What cannot be booted costs no other boot.
fn boot_all(
    args: &CompareArgs,
    (ears, keep): (&Ears, &Keep),
    on: (&Tree, &Bootloader, &Machine),
    boots: &[Vec<Spec>],
) -> Vec<Outcome> {
    let progress = Progress::new(!ears.is_verbose());
    let one = |specs: &Vec<Spec>| {
        let shown = progress.boot(&specs[0]);
        let listen = |word: Word<'_>| {
            if let Word::Line(line) = word {
                ears.line(shown.label(), line);
            }
            shown.hear(word);
        };
        keep.boot(shown.label(), on, specs, args.machine.timeout(), listen)
            .unwrap_or_else(|error| boot::none(specs, on.2, &format!("{error:#}")))
    };
    if on.2.accel != Accel::TcgSingle {
        return boots.iter().map(one).collect();
    }
    thread::scope(|scope| {
        let running: Vec<_> = boots.iter().map(|specs| scope.spawn(|| one(specs))).collect();
        running.into_iter().map(|boot| boot.join().expect("a boot does not panic")).collect()
    })
}
