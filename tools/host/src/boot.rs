//! One boot: specs go in on the command line, rows come out on the serial port.

pub(crate) mod console;
mod heard;
mod outcome;
mod question;
mod sim;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use gupsync_bench::Spec;

use crate::artifacts::Tree;
use crate::image::{self, Bootloader};
use crate::qemu::{Accel, Machine, Medium};
use crate::say;
use heard::Heard;
pub use outcome::{Outcome, Traced, Word};
use question::Question;
pub use sim::outcome as simulated;

/// So many bytes of a command line every bootloader carries.
pub const CMDLINE: usize = 16 << 10;

/// Builds what boots of `machine` share, before the first of them.
///
/// # Errors
///
/// If it cannot be built.
pub fn prepare(tree: &Tree, machine: &Machine) -> Result<()> {
    if machine.accel != Accel::Sim {
        tree.kernel()?;
    }
    Ok(())
}

/// Boots `machine` once, for all of `specs`.
///
/// # Errors
///
/// If the machine could not be started.
pub fn run(
    tree: &Tree,
    bootloader: &Bootloader,
    machine: &Machine,
    specs: &[Spec],
    timeout: Duration,
    listen: impl FnMut(Word<'_>),
) -> Result<Outcome> {
    if machine.accel == Accel::Sim {
        return Ok(sim::outcome(specs, machine.cpus, tree.is_traced(), listen));
    }
    with_cmdline(tree, bootloader, machine, specs, &cmdline(specs), timeout, listen)
}

/// The same, with another command line for the kernel.
///
/// # Errors
///
/// If the machine could not be started.
pub fn with_cmdline(
    tree: &Tree,
    bootloader: &Bootloader,
    machine: &Machine,
    specs: &[Spec],
    cmdline: &str,
    timeout: Duration,
    listen: impl FnMut(Word<'_>),
) -> Result<Outcome> {
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let medium = write(tree, bootloader, cmdline, work.path())?;
    from(specs, &medium, machine, timeout, listen)
}

/// Writes into `folder` what a boot with that command line for the kernel starts from.
///
/// # Errors
///
/// If something does not build, or cannot be written.
pub fn write(tree: &Tree, bootloader: &Bootloader, cmdline: &str, folder: &Path) -> Result<Medium> {
    image::write(tree, bootloader, &image::one_entry(&image::menu(tree)?, cmdline), folder)
}

/// Prints what a boot of `specs` would be: the kernel's command line, and QEMU's.
///
/// # Errors
///
/// If there is no such machine here.
pub fn show(bootloader: &Bootloader, machine: &Machine, specs: &[Spec]) -> Result<()> {
    say::out(format_args!("kernel: {}", cmdline(specs)));
    if machine.accel == Accel::Sim {
        say::out("qemu: none, it is simulated");
    } else {
        let line = machine.line(&image::medium(bootloader, Path::new("")))?;
        say::out(format_args!("qemu: {line}"));
    }
    Ok(())
}

/// Boots from what was written for `specs`.
///
/// # Errors
///
/// If the machine could not be started.
pub fn from(
    specs: &[Spec],
    medium: &Medium,
    machine: &Machine,
    timeout: Duration,
    mut listen: impl FnMut(Word<'_>),
) -> Result<Outcome> {
    let mut heard = Heard::new(questions(specs, machine.cpus));
    let (end, errors) = machine.run(medium, timeout, |line| heard.line(line, &mut listen))?;
    Ok(heard.outcome(end, &errors))
}

/// The outcome of a boot that there was not, and why.
pub fn none(specs: &[Spec], machine: &Machine, reason: &str) -> Outcome {
    Heard::new(questions(specs, machine.cpus)).outcome_without_end(reason)
}

fn questions(specs: &[Spec], cpus: usize) -> Vec<Question<'_>> {
    let of = |spec| Question::all(spec, cpus);
    specs.iter().flat_map(of).collect()
}

/// How many rows `spec` gives on a machine of so many CPUs.
#[must_use]
pub fn rows(spec: &Spec, cpus: usize) -> usize {
    Question::all(spec, cpus).iter().map(Question::len).sum()
}

/// The kernel's command line for them.
#[must_use]
pub fn cmdline(specs: &[Spec]) -> String {
    specs.iter().map(Spec::to_string).collect::<Vec<_>>().join("; ")
}
