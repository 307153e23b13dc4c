//! The host program behind `tools/gupsync`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use gupsync_bench::report;
use gupsync_host::args::{Cli, Command, IsoArgs, RunArgs};
use gupsync_host::artifacts::Tree;
use gupsync_host::image::{self, Bootloader};
use gupsync_host::qemu::End;
use gupsync_host::{compare, prove, stress, suite};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare(args) => compare::run(&args),
        Command::Stress(args) => stress::run(&args),
        Command::Iso(args) => iso(&args),
        Command::Run(args) => run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Test(args) => suite::run(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn iso(args: &IsoArgs) -> Result<bool> {
    let tree = Tree::own();
    let bootloader = Bootloader::find(&args.limine)?;
    image::write(&tree, &bootloader, &image::menu(&tree)?, &args.out)?;
    println!("{}: booted by {bootloader}", args.out.display());
    Ok(true)
}

fn run(args: &RunArgs) -> Result<bool> {
    let tree = Tree::own();
    let machine = args.machine.machine()?;
    let bootloader = args.machine.bootloader()?;
    let work = tempfile::tempdir()?;
    let iso = work.path().join("gupsync.iso");
    let config = image::one_entry(&image::menu(&tree)?, &args.cmdline);
    image::write(&tree, &bootloader, &config, &iso)?;
    let end = machine.run(&iso, args.machine.timeout(), |line| println!("{line}"))?;
    let good = end == End::Kernel(report::ExitCode::Done);
    if !good {
        eprintln!("error: {end}");
    }
    Ok(good)
}
