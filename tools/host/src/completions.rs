//! `completions`: what a shell has to be told once, so that it asks this program for what comes next.

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;

use crate::args::Cli;
use crate::artifacts::Tree;
use crate::say;

/// The variable by which a shell asks.
const VARIABLE: &str = "COMPLETE";
/// What is completed, in whatever folder it lies.
pub const NAME: &str = "gupsync";

/// Answers a shell that asks; says whether one did.
///
/// # Errors
///
/// A shell that is not known.
pub fn answer() -> clap::error::Result<bool> {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).try_complete(std::env::args_os(), None)
}

/// Prints what `shell` has to be told.
///
/// # Errors
///
/// None, if the shell is one of those that help lists.
pub fn print(shell: &str) -> Result<()> {
    let shells = Shells::builtins();
    let shell = shells.completer(shell).context("a shell that help lists")?;
    let script = Tree::own().root.join("tools/gupsync").into_os_string();
    let script = shlex::try_quote(&script.to_string_lossy())?.into_owned();
    let mut text = Vec::new();
    shell.write_registration(VARIABLE, NAME, NAME, &script, &mut text)?;
    say::out(String::from_utf8(text)?.trim_end());
    Ok(())
}
