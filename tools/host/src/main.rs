//! The host program behind `tools/gupsync`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser};
use gupsync_host::args::{self, Cli, Command, IsoArgs};
use gupsync_host::artifacts::Tree;
use gupsync_host::ending::{Ending, demand};
use gupsync_host::image::{self, Bootloader};
use gupsync_host::{
    compare, completions, cost, diff, doctor, document, linux, man, once, prove, report, say, scale, stop,
    stress, suite,
};

fn main() -> ExitCode {
    match completions::answer() {
        Ok(false) => {}
        Ok(true) => return Ending::AsPromised.into(),
        Err(error) => return args::explain(&Cli::command(), &error).into(),
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::explain(&Cli::command(), &error).into(),
    };
    let result = run(&cli.command).and_then(|ending| say::check().map(|()| ending));
    let ending = result.unwrap_or_else(|error| {
        say::err(format_args!("error: {error:#}"));
        Ending::of_error(&error)
    });
    ending.into()
}

fn run(command: &Command) -> Result<Ending> {
    Tree::find()?;
    stop::listen()?;
    match command {
        Command::Compare(args) => compare::run(args),
        Command::Scale(args) => scale::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Cost(args) => cost::run(args),
        Command::Report(args) => report::run(args),
        Command::Stress(args) => stress::run(args),
        Command::Iso(args) => iso(args),
        Command::Run(args) => once::run(args),
        Command::Prove(args) if args.litmus => prove::litmus::run(args),
        Command::Prove(args) => prove::run(args).map(Ending::of),
        Command::Linux(command) => linux::run(command),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::print(&args.shell).map(|()| Ending::AsPromised),
        Command::Man(args) => man::print(&args.command).map(|()| Ending::AsPromised),
        Command::Schema => document::schema::print().map(|()| Ending::AsPromised),
        Command::Test(args) => suite::run(args).map(Ending::of),
    }
}

fn iso(args: &IsoArgs) -> Result<Ending> {
    let bootloader = Bootloader::find(&args.limine, Bootloader::Builtin)?;
    demand(bootloader != Bootloader::Direct, || {
        "--limine direct: boots from no ISO; use auto, builtin or the folder of a Limine binary release"
            .to_owned()
    })?;
    image::demand_writable(&args.out)?;
    let tree = Tree::own();
    image::write_iso(&tree, &bootloader, &image::menu(&tree)?, &args.out)?;
    say::out(format_args!("{}: booted by {bootloader}", args.out.display()));
    Ok(Ending::AsPromised)
}
