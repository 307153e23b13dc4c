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

pub mod boot;
pub mod code;
pub mod explain;
pub mod promise;
pub mod row;
pub mod table;

use std::path::Path;

use anyhow::Result;
use gupsync_bench::cost::COMMAND;

use crate::args::{CostArgs, Format};
use crate::artifacts::Tree;
use crate::document::{self, Document, SCHEMA};
use crate::ears::Ears;
use crate::ending::{Ending, demand};
use crate::image::{self, Bootloader};
use crate::qemu;
use crate::say;
use crate::sink::{self, Sink};
use crate::table::Look;
use boot::Unfinished;
use code::Code;
use row::Costs;

/// Measures, prints, writes down; says whether all is as promised.
///
/// # Errors
///
/// If it cannot be begun, or its results cannot be handed over.
pub fn run(args: &CostArgs) -> Result<Ending> {
    let machine = boot::machine(args.cpu_model.clone());
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
    let boot = match boot::run(&tree, &machine, args.timeout(), |line| ears.line(COMMAND, line)) {
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
            table::document(&costs, &document, Look::of(args.format, false))
        }
    };
    let written = sink::hand_over(sink, &document, text);
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
