//! The boot of the kernel in which all pieces are measured.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gupsync_bench::cost::{COMMAND, Measured, PIECES, Sizes};
use gupsync_bench::report::{self, ExitCode};

use crate::artifacts::Tree;
use crate::image::{self, Bootloader};
use crate::qemu::{End, Machine, Tuning};

/// What has QEMU count a cycle for each instruction.
const COUNTING: [&str; 2] = ["-icount", "shift=0,sleep=off"];

/// The machine: one CPU, whose instructions QEMU counts.
#[must_use]
pub fn machine(cpu_model: Option<String>) -> Machine {
    let args = COUNTING.map(str::to_owned).into();
    Machine { tuning: Tuning { cpu_model, ovmf: None, args }, ..Machine::for_counting(1) }
}

/// What a boot has measured.
#[derive(Debug)]
pub struct Boot {
    /// A line for each piece and policy, in order.
    pub measured: Vec<Measured>,
    /// The sizes of what an mm has.
    pub sizes: Sizes,
    /// The bootloader.
    pub loader: String,
}

/// Boots, and has all pieces measured.
///
/// # Errors
///
/// If the machine could not be started, or has not done all of them.
pub fn run(tree: &Tree, machine: &Machine, timeout: Duration, mut listen: impl FnMut(&str)) -> Result<Boot> {
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let config = image::one_entry(&image::menu(tree)?, COMMAND);
    let medium = image::write(tree, &Bootloader::Direct, &config, work.path())?;
    let (mut measured, mut sizes, mut loader, mut fatal) = (Vec::<Measured>::new(), None, None, None);
    let mut fault = None;
    let (end, errors) = machine.run(&medium, timeout, |line| {
        listen(line);
        let read = if let Some(json) = line.strip_prefix(report::COST) {
            serde_json::from_str(json).map(|one| measured.push(one))
        } else if let Some(json) = line.strip_prefix(report::SIZES) {
            serde_json::from_str(json).map(|read| sizes = Some(read))
        } else {
            loader = loader.take().or_else(|| line.strip_prefix(report::LOADER).map(str::to_owned));
            fatal = fatal.take().or_else(|| line.strip_prefix(report::FATAL).map(str::to_owned));
            Ok(())
        };
        if let Err(error) = read {
            fault.get_or_insert(error);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(error) = fault {
        bail!("a line of the kernel's cannot be read: {error}");
    }
    if end != End::Kernel(ExitCode::Done) {
        let reason = fatal.unwrap_or_else(|| format!("{end} {}", errors.trim()));
        return Err(if measured.is_empty() { anyhow::anyhow!(reason) } else { Unfinished(reason).into() });
    }
    let asked = PIECES.iter().flat_map(|piece| piece.policies().map(move |policy| (*piece, policy)));
    let came = measured.iter().map(|one| (one.piece, one.policy));
    ensure!(asked.eq(came), "the kernel has measured other pieces than were asked for");
    Ok(Boot {
        measured,
        sizes: sizes.context("the kernel says no sizes")?,
        loader: loader.context("the kernel names no bootloader")?,
    })
}

/// A boot that has begun, and not come to its end.
#[derive(Debug)]
pub struct Unfinished(String);

impl std::fmt::Display for Unfinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfinished {}
