//! What is wrong with a command line, in one line.

use std::io;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::ending::Ending;
use crate::say;

/// Says what clap has to say: help, or one line that names the argument and the remedy.
pub fn explain(cli: &Command, error: &clap::Error) -> Ending {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => {
                say::err(format_args!("error: standard output cannot be written: {fault}"));
                Ending::NotRun
            }
            _ => Ending::AsPromised,
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let names: Vec<_> = cli.get_subcommands().map(|command| command.get_name()).collect();
            say::err(format_args!(
                "error: no command; use one of {}; see `tools/gupsync --help`",
                names.join(", ")
            ));
            Ending::Usage
        }
        _ => {
            say::err(one_line(error));
            Ending::Usage
        }
    }
}

fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let is_said = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more information");
    let said: Vec<_> =
        text.lines().map(str::trim).take_while(is_said).filter(|line| !line.is_empty()).collect();
    // Clap's own errors name what there is; what to do stands in help.
    let has_names =
        matches!(error.get(ContextKind::ValidValue), Some(ContextValue::Strings(names)) if !names.is_empty());
    let has_remedy = has_names || error.kind() == ErrorKind::ValueValidation;
    let help = if has_remedy { "" } else { "; see `--help`" };
    format!("{}{help}", said.join(" ").replace(" tip: ", "; "))
}
