//! `linux count`: the rows of a comparison, as a real Linux has them.
//!
//! # Guarantee
//!
//! A row's counts are those of all its operations, whatever else called CPUs in between; its detail says what one operation
//! costs, and in how many of them: what most cost. A row whose operations were not all done has no counts.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use gupsync_bench::counts::Counts;
use gupsync_bench::spec::{MachineName, MmName, Status, Subject, Workload};
use gupsync_bench::{Row, Spec};
use gupsync_guest::{Counted, Experiment, FILE, Report};

use super::experiments;
use super::kernel::Kernel;
use super::machine::{self, Heard};
use crate::args::linux::CountArgs;
use crate::artifacts::Tree;
use crate::document::{self, Document, SCHEMA};
use crate::ears::Ears;
use crate::ending::{Ending, Usage, demand};
use crate::qemu::{self, End, Machine};
use crate::say;
use crate::sink::{self, Sink};
use crate::table::{self, Look};

/// The row of a spec, and what most of its operations cost: flush and sync calls, and in how many operations.
#[derive(Debug)]
pub struct Counting {
    /// The row.
    pub row: Row,
    /// What an operation costs, if they were counted.
    pub each: Option<(u64, u64, u64)>,
}

impl Counting {
    /// Whether its operations were counted.
    pub fn is_done(&self) -> bool {
        self.row.status == Status::Ok
    }
}

/// Counts, prints, writes down.
///
/// # Errors
///
/// If it cannot be begun, or its results cannot be handed over.
pub fn run(args: &CountArgs) -> Result<Ending> {
    let specs: Vec<_> = args.workload.workload.0.iter().map(|workload| args.spec(*workload)).collect();
    let needed = specs.iter().map(experiments::cpus).max().unwrap_or(1);
    let cpus = args.linux.cpus.unwrap_or(needed.max(2));
    demand(cpus >= needed, || {
        format!("--cpus {cpus}: the threads need {needed}; use --cpus {needed} or more")
    })?;
    for spec in &specs {
        experiments::of(spec)?;
    }
    let discard = args.dontneed.then(|| experiments::discard(&args.spec(Workload::Protect))).transpose()?;
    let kernel = Kernel::find(args.linux.boot.kernel.as_deref())?;
    let machine = args.linux.machine(cpus);
    if args.dry_run {
        let medium = qemu::Medium::Linux {
            kernel: kernel.file.clone(),
            initrd: PathBuf::from("initramfs"),
            cmdline: machine::cmdline(&args.linux.boot.append),
        };
        say::out(format_args!("kernel: {kernel}"));
        say::out(format_args!("qemu: {}", machine.line(&medium)?));
        return Ok(Ending::AsPromised);
    }
    let sink = args.json.as_deref().map(Sink::open).transpose()?;
    let qemu = qemu::version()?;
    let ears = Ears::open(&args.console)?;
    say::err(format_args!("{kernel}"));
    let tree = Tree::own();
    let (revision, dirty) = document::revision(&tree.root);
    let linux = Linux {
        kernel: &kernel,
        subject: Subject::linux(&args.linux.name.clone().unwrap_or_else(|| kernel.name())),
        machine: &machine,
        append: &args.linux.boot.append,
        timeout: Duration::from_secs(args.linux.timeout),
    };
    let (counted, discarded) = linux.count(&tree, &specs, discard.as_slice(), &ears)?;
    let document = Document {
        schema: SCHEMA,
        revision,
        dirty,
        qemu: Some(qemu),
        accel: machine.accel.to_string(),
        loader: None,
        linux: Some(kernel.to_string()),
        command: document::command(),
        date: document::date(),
        rows: counted.iter().map(|counting| counting.row.clone()).collect(),
    };
    let mut text = table::document(&document, Look { is_wide: args.wide, ..Look::default() });
    let mut errors = Vec::new();
    for Counting { row, .. } in &counted {
        match (&row.status, row.reason()) {
            (Status::Ok, detail) => text += &format!("\n{}: {detail}", row.workload),
            (status, reason) => errors.push(format!("error: {}: {status}: {reason}", row.workload)),
        }
    }
    for report in &discarded {
        match report {
            Ok(report) => {
                text += &format!("\ndontneed: {}; no row: no workload here does that", detail(report))
            }
            Err(reason) => errors.push(format!("error: dontneed: {reason}")),
        }
    }
    let written = sink::hand_over(sink, &document, text);
    errors.iter().for_each(say::err);
    written?;
    ears.check()?;
    let done = counted.iter().map(Counting::is_done).chain(discarded.iter().map(Result::is_ok));
    Ok(ending(&done.collect::<Vec<_>>()))
}

/// How a command ends of whose parts these are done.
pub fn ending(parts: &[bool]) -> Ending {
    match parts.iter().filter(|is_done| **is_done).count() {
        done if done == parts.len() => Ending::AsPromised,
        done => Ending::of_begun(done > 0),
    }
}

/// A Linux that is to count, and on which machine.
pub struct Linux<'a> {
    /// Which.
    pub kernel: &'a Kernel,
    /// What its rows are called.
    pub subject: Subject,
    /// The machine.
    pub machine: &'a Machine,
    /// What is added to its command line.
    pub append: &'a str,
    /// The hard limit of its boot.
    pub timeout: Duration,
}

/// What an experiment has come to, or why there is nothing.
type Reported = Result<Report, String>;

impl Linux<'_> {
    /// Boots it once, for all of `specs`, and for experiments that have no row.
    ///
    /// # Errors
    ///
    /// If nothing could be booted.
    pub fn count(
        &self,
        tree: &Tree,
        specs: &[Spec],
        more: &[Experiment],
        ears: &Ears,
    ) -> Result<(Vec<Counting>, Vec<Reported>)> {
        let mut experiments = specs.iter().map(experiments::of).collect::<Result<Vec<_>, Usage>>()?;
        experiments.extend_from_slice(more);
        let plan = serde_json::to_vec(&experiments)?;
        let work = tempfile::tempdir().context("cannot make a temporary folder")?;
        let medium = machine::medium(tree, self.kernel, self.append, &[(FILE, &plan)], work.path())?;
        let listen = |line: &str| ears.line("linux", line);
        let ended = machine::boot(self.machine, &medium, experiments.len(), self.timeout, listen)?;
        let counted =
            specs.iter().enumerate().map(|(index, spec)| self.counting(&ended, index, spec)).collect();
        let (heard, end, said) = &ended;
        let rest = heard.reports[specs.len()..].iter();
        let rest = rest.map(|report| report.clone().unwrap_or_else(|| Err(heard.reason(*end, said))));
        Ok((counted, rest.collect()))
    }

    /// The row of `spec`, which was experiment number `index`.
    fn counting(&self, (heard, end, said): &(Heard, End, String), index: usize, spec: &Spec) -> Counting {
        let asked = self.machine.cpus;
        let cpus = heard.booted.as_ref().map_or(asked, |(cpus, _)| *cpus);
        let mut row = Row::new(spec, spec.policy[0], MmName::Total, cpus, Status::Ok);
        row.policy = self.subject;
        row.machine = MachineName::Linux;
        if spec.workload == Workload::Unshare {
            row.sharers = experiments::SHARERS;
        }
        let (status, reason) = match &heard.reports[index] {
            Some(_) if cpus == 0 => {
                (Status::Died, "the kernel has no /proc/cpuinfo; build it with CONFIG_PROC_FS".to_owned())
            }
            Some(_) if cpus != asked => {
                let reason = format!("Linux runs {cpus} CPUs of {asked}; a kernel needs NR_CPUS for them");
                (Status::Died, reason)
            }
            Some(Ok(report)) => {
                row.counts = counts(report);
                row.detail = Some(detail(report));
                return Counting { row, each: Some(report.mode()) };
            }
            Some(Err(reason)) => (Status::Died, reason.clone()),
            None if *end == End::Timeout => (Status::Timeout, heard.reason(*end, said)),
            None => (Status::Died, heard.reason(*end, said)),
        };
        Counting { row: Row { status, detail: Some(reason), ..row }, each: None }
    }
}

fn counts(report: &Report) -> Counts {
    let sum = report.sum();
    Counts {
        ops: Some(report.count()),
        ops_failed: Some(report.refused),
        flush_ipis: Some(sum.flush),
        sync_ipis: Some(sum.sync),
        other_ipis: Some(report.others.values().sum()),
        ..Counts::default()
    }
}

/// What an operation costs.
fn detail(report: &Report) -> String {
    let (flush, sync, times) = report.mode();
    let mut said = format!("flush {flush}, sync {sync} in {times} of {} operations", report.count());
    for (function, calls) in &report.others {
        said += &format!("; {calls} calls of {function} by others");
    }
    if report.counted == Counted::Arrived {
        said += "; from /proc/interrupts, where calls that arrive together are one and others count as syncs: \
                 this kernel does not count csd:csd_queue_cpu by function; that needs the trace point, \
                 CONFIG_HIST_TRIGGERS and CONFIG_KALLSYMS";
    }
    said
}
