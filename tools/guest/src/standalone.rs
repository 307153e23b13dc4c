//! One operation on the machine that this runs on, as KTAP: how many CPUs it calls that have never run the process.

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use gupsync_guest::{Counted, Experiment, Operation, Report, Sibling};

use crate::{calls, init};

/// A call of a CPU outside was more than the bound allows.
const BROKEN: u8 = 1;
/// The arguments are wrong.
const USAGE: u8 = 2;
/// It could not be run.
pub const NOT_RUN: u8 = 3;
/// Of a test that cannot be run here, as kselftest has it.
const SKIPPED: u8 = 4;

const HELP: &str = "\
usage: gupsync-guest [--operation collapse|unshare|unmap|protect] [--ops N] [--siblings N]
                     [--sibling spinning|walking|sleeping|napping|stale|visiting] [--bound N]

Does an operation on page tables on CPU 0, with a thread of the process on each of the next CPUs, and counts how many CPUs
are called that have never run the process. As root, with tracefs on /sys/kernel/tracing. Output: KTAP.

exit status: 0 at most --bound such calls in an operation, 1 more, 2 bad arguments, 3 could not be run, 4 skipped";

/// What was asked for.
struct Wanted<'a> {
    name: &'a str,
    experiment: Experiment,
    bound: u64,
}

/// Does it, and says so.
///
/// # Errors
///
/// If it could not be run.
pub fn run(arguments: &[&str]) -> Result<ExitCode> {
    if matches!(arguments, ["-h" | "--help"]) {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = match wanted(arguments) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("error: {error:#}; --help says what there is");
            return Ok(ExitCode::from(USAGE));
        }
    };
    println!("KTAP version 1\n1..1");
    let name = wanted.name;
    if !rustix::process::geteuid().is_root() {
        println!("ok 1 {name} # SKIP it is to be run as root");
        return Ok(ExitCode::from(SKIPPED));
    }
    let report = init::apart(&wanted.experiment);
    calls::end();
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            println!("not ok 1 {name} # {error:#}");
            return Ok(ExitCode::from(NOT_RUN));
        }
    };
    say(&report);
    let outside = report.ops.iter().map(|(_, calls)| calls.outside).max().unwrap_or_default();
    let is_good = outside <= wanted.bound;
    let verdict = if is_good { "ok" } else { "not ok" };
    println!(
        "{verdict} 1 {name} # at most {outside} calls of CPUs outside the process in an operation, {} allowed",
        wanted.bound
    );
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}

fn say(report: &Report) {
    let (flush, sync, times) = report.mode();
    let counted = match report.counted {
        Counted::Queued => "csd:csd_queue_cpu",
        Counted::Arrived => "/proc/interrupts: calls that arrive together are one, and others count as syncs",
    };
    println!("# counted by {counted}");
    println!("# flush {flush}, sync {sync} in {times} of {} operations", report.count());
    for (function, calls) in &report.others {
        println!("# {calls} calls of {function}");
    }
}

fn wanted<'a>(arguments: &[&'a str]) -> Result<Wanted<'a>> {
    let (mut name, mut ops, mut count, mut sibling, mut bound) = ("collapse", 20, 0, "spinning", 0);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().with_context(|| format!("{flag}: has no value"))?;
        let number = || value.parse::<u64>().with_context(|| format!("{flag} {value}: is no number"));
        match *flag {
            "--operation" => name = value,
            "--ops" => ops = number()?,
            "--siblings" => count = number()?,
            "--sibling" => sibling = value,
            "--bound" => bound = number()?,
            _ => bail!("{flag}: there is no such argument"),
        }
    }
    ensure!(ops > 0, "--ops 0: no operation shows nothing");
    let online = std::thread::available_parallelism()?.get() as u64;
    ensure!(count < online, "--siblings {count}: there are {} other CPUs", online - 1);
    let operation = match name {
        "collapse" => Operation::Collapse,
        "unshare" => Operation::Unshare { tables: 1 },
        "unmap" => Operation::Unmap { tables: 1, pages: 8 },
        "protect" => Operation::Protect { pages: 8 },
        other => bail!("--operation {other}: is none of collapse, unshare, unmap, protect"),
    };
    let sibling: Sibling =
        serde_json::from_value(sibling.into()).with_context(|| format!("--sibling {sibling}"))?;
    let siblings = vec![sibling; count as usize];
    Ok(Wanted { name, experiment: Experiment { operation, ops, siblings }, bound })
}
