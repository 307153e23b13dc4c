//! `run`: one boot with a command line, the serial port on the terminal.

use std::time::Duration;

use anyhow::{Context, Result};
use gupsync_bench::{report, spec};

use crate::args::RunArgs;
use crate::artifacts::Tree;
use crate::boot::{self, Word};
use crate::ending::{Ending, Usage, demand};
use crate::keep::Keep;
use crate::qemu::{self, Accel};
use crate::verdict::Verdict;
use crate::{say, trace};

/// Boots, and says how that ended.
///
/// # Errors
///
/// If it cannot be begun.
pub fn run(args: &RunArgs) -> Result<Ending> {
    let refused = |error: String| Usage(format!("--cmdline: {error}"));
    let specs = spec::parse_all(&args.cmdline).map_err(refused)?;
    let cpus = args.machine.cpus_for(&specs);
    specs.iter().try_for_each(|spec| spec.check(cpus)).map_err(|error| refused(error.to_string()))?;
    let bootloader = args.machine.bootloader()?;
    let mut machine = args.machine.machine(cpus, &bootloader)?;
    let is_booted = machine.accel != Accel::Sim;
    demand(is_booted || !args.gdb, || "--gdb: no kernel runs under --accel sim; leave out one".to_owned())?;
    if args.dry_run {
        boot::show(&bootloader, &machine, &specs)?;
        return Ok(Ending::AsPromised);
    }
    machine.version()?;
    let (trace, keep) = (trace::open(args.trace.as_deref())?, Keep::of(&args.keep)?);
    let tree = Tree::own().traced(trace.is_some());
    let mut timeout = args.machine.timeout();
    // Its stub lies there until QEMU has ended.
    let work = args.gdb.then(tempfile::tempdir).transpose().context("cannot make a temporary folder")?;
    if let Some(work) = &work {
        let socket = work.path().join("gdb");
        machine.tuning.args.extend(qemu::gdb_stub(&socket));
        let target = format!("target remote {}", socket.display());
        let kernel = tree.kernel()?.display().to_string();
        let line = shlex::try_join(["gdb", "-ex", &target, "-ex", "hbreak _start", &kernel])?;
        say::err(format_args!("the machine waits; there, `continue` starts it:\n{line}"));
        timeout = Duration::MAX;
    }
    let listen = |word: Word<'_>| {
        if let Word::Line(line) = word
            && !line.starts_with(report::TRACE)
        {
            say::out(line);
        }
    };
    let outcome = keep.boot("", (&tree, &bootloader, &machine), &specs, timeout, listen)?;
    keep.say();
    let mut outcomes = [outcome];
    let traced = trace::hand_over(trace, &mut outcomes);
    let verdict = Verdict::of(&outcomes);
    for fault in verdict.faults {
        say::err(format_args!("error: {fault}"));
    }
    traced?;
    Ok(verdict.ending)
}
