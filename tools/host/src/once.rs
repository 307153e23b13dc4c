//! `run`: one boot with a command line, the serial port on the terminal.

use anyhow::Result;
use gupsync_bench::spec;

use crate::args::RunArgs;
use crate::artifacts::Tree;
use crate::boot::{self, Word};
use crate::ending::{Ending, Usage};
use crate::say;
use crate::verdict::Verdict;

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
    let machine = args.machine.machine(cpus, &bootloader)?;
    if args.dry_run {
        boot::show(&bootloader, &machine, &specs)?;
        return Ok(Ending::AsPromised);
    }
    machine.version()?;
    let listen = |word: Word<'_>| {
        if let Word::Line(line) = word {
            say::out(line);
        }
    };
    let timeout = args.machine.timeout();
    let outcome = boot::run(&Tree::own(), &bootloader, &machine, &specs, timeout, listen)?;
    let verdict = Verdict::of(&[outcome]);
    for fault in verdict.faults {
        say::err(format_args!("error: {fault}"));
    }
    Ok(verdict.ending)
}
