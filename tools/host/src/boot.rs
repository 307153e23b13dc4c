//! One boot: specs go in on the command line, rows come out on the serial port.

use std::time::Duration;

use anyhow::{Context, Result};
use gupsync_bench::report::{self, ExitCode};
use gupsync_bench::spec::{MmName, PolicyName, Status};
use gupsync_bench::{Row, Spec};

use crate::artifacts::Tree;
use crate::image::{self, Bootloader};
use crate::qemu::{End, Machine};

/// What the kernel says while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// It has begun a policy of a spec.
    Begin(&'a Spec, PolicyName),
    /// It has done so many operations of it.
    Progress(u64),
    /// It has finished a row.
    Row(&'a Row),
    /// Something for people.
    Other(&'a str),
}

/// What a boot gave.
#[derive(Debug)]
pub struct Outcome {
    /// A row for every policy of every spec; without counts where the machine ended before.
    pub rows: Vec<Row>,
    /// The bootloader, if it came so far.
    pub loader: Option<String>,
    /// How it ended.
    pub end: End,
}

/// Boots `machine` once, for all of `specs`.
///
/// # Errors
///
/// If the machine could not be started, or the kernel has written a row that cannot be read.
pub fn run(
    tree: &Tree,
    bootloader: &Bootloader,
    machine: &Machine,
    specs: &[Spec],
    timeout: Duration,
    mut listen: impl FnMut(Word<'_>),
) -> Result<Outcome> {
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let iso = work.path().join("gupsync.iso");
    let config = image::one_entry(&image::menu(tree)?, &cmdline(specs));
    image::write(tree, bootloader, &config, &iso)?;
    let asked: Vec<_> =
        specs.iter().flat_map(|spec| spec.policy.iter().map(move |policy| (spec, *policy))).collect();
    let mut heard = Heard { asked: &asked, ..Heard::default() };
    let end = machine.run(&iso, timeout, |line| heard.line(line, &mut listen))?;
    if let Some(error) = heard.unreadable {
        return Err(error);
    }
    let mut rows = heard.rows;
    // The row of all mms is the last one of its run.
    let finished = rows.iter().filter(|row| row.mm == MmName::Total).count();
    for (spec, policy) in asked.iter().copied().skip(finished) {
        let (status, reason) = match end {
            End::Timeout => (Status::Timeout, end.to_string()),
            End::Kernel(ExitCode::Memory) => (Status::Memory, heard.fatal.clone().unwrap_or_default()),
            End::Kernel(_) => (Status::Panic, heard.fatal.clone().unwrap_or_else(|| end.to_string())),
            End::Qemu(_) => (Status::Died, end.to_string()),
        };
        let row = Row::without_counts(spec, policy, machine.cpus, status);
        rows.push(Row { detail: Some(reason), ..row });
    }
    Ok(Outcome { rows, loader: heard.loader, end })
}

fn cmdline(specs: &[Spec]) -> String {
    specs.iter().map(Spec::to_string).collect::<Vec<_>>().join("; ")
}

#[derive(Default)]
struct Heard<'a> {
    asked: &'a [(&'a Spec, PolicyName)],
    begun: usize,
    rows: Vec<Row>,
    loader: Option<String>,
    fatal: Option<String>,
    unreadable: Option<anyhow::Error>,
}

impl Heard<'_> {
    fn line(&mut self, line: &str, listen: &mut impl FnMut(Word<'_>)) {
        if line.starts_with(report::BEGIN) {
            if let Some((spec, policy)) = self.asked.get(self.begun) {
                listen(Word::Begin(spec, *policy));
            }
            self.begun += 1;
        } else if let Some(done) = line.strip_prefix(report::PROGRESS) {
            listen(Word::Progress(done.parse().unwrap_or(0)));
        } else if let Some(json) = line.strip_prefix(report::ROW) {
            match serde_json::from_str(json) {
                Ok(row) => {
                    self.rows.push(row);
                    listen(Word::Row(self.rows.last().expect("just pushed")));
                }
                Err(error) => {
                    self.unreadable =
                        Some(anyhow::Error::new(error).context(format!("unreadable row: {json}")));
                }
            }
        } else if let Some(loader) = line.strip_prefix(report::LOADER) {
            self.loader = Some(loader.to_owned());
        } else if let Some(reason) = line.strip_prefix(report::FATAL) {
            self.fatal = Some(reason.to_owned());
            listen(Word::Other(reason));
        } else {
            listen(Word::Other(line));
        }
    }
}
