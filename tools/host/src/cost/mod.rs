//! `cost`: what the protocol costs, to the instruction.
//!
//! # Guarantee
//!
//! A figure is the number of instructions that the kernel has executed in a piece, in each of its runs alike, less those of
//! a function that does nothing. Two runs of a kernel give the same figures. What a policy adds is shown by the instructions
//! themselves, found in the kernel's file at the addresses that were executed; policies whose addresses are the same run
//! the same code.
//!
//! # Mechanism
//!
//! The kernel boots on one CPU under `-icount` and writes a line for each piece ([`gupsync_bench::cost`]); [`code`] reads
//! the instructions, [`row`] makes figures of them, [`promise`] says what they must be, [`table`] and [`explain`] show them.

pub mod code;
pub mod explain;
pub mod promise;
pub mod row;
pub mod table;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gupsync_bench::cost::{COMMAND, Measured, PIECES, Sizes};
use gupsync_bench::report::{self, ExitCode};

use crate::args::{CostArgs, Format};
use crate::artifacts::Tree;
use crate::document::{self, Document, SCHEMA};
use crate::ears::Ears;
use crate::ending::{Ending, demand};
use crate::image::{self, Bootloader};
use crate::qemu::{self, End, Machine, Tuning};
use crate::say;
use crate::sink::Sink;
use crate::table::Look;
use code::Code;
use row::{CostRow, Costs};

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
pub fn boot(tree: &Tree, machine: &Machine, timeout: Duration, mut listen: impl FnMut(&str)) -> Result<Boot> {
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

/// Measures, prints, writes down; says whether all is as promised.
///
/// # Errors
///
/// If it cannot be begun, or its results cannot be handed over.
pub fn run(args: &CostArgs) -> Result<Ending> {
    let machine = machine(args.cpu_model.clone());
    if args.dry_run {
        say::out(format_args!("kernel: {COMMAND}"));
        let medium = image::medium(&Bootloader::Direct, Path::new(""));
        say::out(format_args!("qemu: {}", machine.line(&medium)?));
        return Ok(Ending::AsPromised);
    }
    let (json, log) = (&args.json, &args.console.log);
    demand(json.is_none() || json != log, || "--log: is the file of --json; name another".to_owned())?;
    let sink = json.as_deref().map(Sink::open).transpose()?;
    let qemu = qemu::version()?;
    let ears = Ears::open(&args.console)?;
    let tree = Tree::own();
    let (revision, dirty) = document::revision(&tree.root);
    let code = Code::read(&tree.kernel()?, &tree.root)?;
    let boot = match boot(&tree, &machine, args.timeout(), |line| ears.line(COMMAND, line)) {
        Ok(boot) => boot,
        Err(error) if error.is::<Unfinished>() => {
            say::err(format_args!("error: {error:#}"));
            return Ok(Ending::Broken);
        }
        Err(error) => return Err(error),
    };
    let costs = Costs::new(&code, &boot)?;
    let document = Document {
        schema: SCHEMA,
        revision,
        dirty,
        qemu: Some(qemu),
        accel: format!("{}, icount", machine.accel),
        loader: Some(boot.loader),
        linux: None,
        command: document::command(),
        date: document::date(),
        rows: costs.rows.clone(),
    };
    let text = match args.format {
        Format::Csv => row::csv(&costs.rows)?,
        Format::Table | Format::Markdown | Format::Mail => {
            let look = Look {
                is_wide: false,
                is_markdown: args.format == Format::Markdown,
                is_mail: args.format == Format::Mail,
            };
            table::document(&costs, &document, look)
        }
    };
    let is_stdout = sink.as_ref().is_some_and(Sink::is_stdout);
    let written = sink.map_or(Ok(()), |sink| sink.write::<CostRow>(&document));
    if is_stdout {
        say::err(text);
    } else {
        say::out(text);
    }
    if args.format == Format::Csv {
        say::err(document.footer());
    }
    for &piece in &args.explain {
        say::out(format_args!("\n{}", explain::piece(&costs, piece)));
    }
    let broken = promise::broken(&costs);
    for fault in &broken {
        say::err(format_args!("error: {fault}"));
    }
    written?;
    ears.check()?;
    Ok(Ending::of(broken.is_empty()))
}
