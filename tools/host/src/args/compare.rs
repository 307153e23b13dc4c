//! Arguments of `compare` and of `diff`.

use std::path::PathBuf;

use clap::Args;

use super::bounds::number;
use super::format::Format;
use super::machine::{ConsoleArgs, KeepArgs, MachineArgs};
use super::settings::Settings;
use super::workloads::{InvlpgbArgs, WorkloadArgs};

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// What is done.
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// Whether INVLPGB is used.
    #[command(flatten)]
    pub invlpgb: InvlpgbArgs,
    /// All other settings.
    #[command(flatten)]
    pub settings: Settings,
    /// Do all of it so many times over in each boot: exact counts must be the same each time.
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = number::<1, 100>)]
    pub repeat: u64,
    /// How the rows are printed: tables for people, or every field of every row.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Show every column, in lines as long as that takes; else at most 80 characters, and what all rows share in the title.
    #[arg(long)]
    pub wide: bool,
    /// Where to write the rows as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write what happened there, as a trace for Perfetto: with few operations. The kernel is one that records.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Print the kernel's command line and QEMU's for each boot, and run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Have a real Linux do the same, too, and say whether `broadcast` costs what it does: Debian's newest, or this one.
    #[arg(long, value_name = "bzImage", num_args = 0..=1, require_equals = true)]
    pub with_linux: Option<Option<PathBuf>>,
    /// What is seen of it.
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// What is left of it.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Arguments of `diff`.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// What was before.
    #[arg(value_name = "BASE.json")]
    pub base: PathBuf,
    /// What is now.
    #[arg(value_name = "NEW.json")]
    pub new: PathBuf,
    /// By how much a count that is not exact may change and not be shown, in percent of what it was.
    #[arg(long, value_name = "PERCENT", default_value_t = 25, value_parser = number::<0, 10_000>)]
    pub tolerance: u64,
    /// Fail by these counts too.
    #[arg(long)]
    pub fail_on_timing: bool,
}
