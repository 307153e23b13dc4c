//! Arguments of `cost`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use gupsync_bench::cost::{PIECES, Piece};

use super::bounds::number;
use super::format::Format;
use super::machine::ConsoleArgs;
use super::named::in_list;

/// Arguments of `cost`. The machine has one CPU, whose instructions QEMU counts.
#[derive(Clone, Debug, Args)]
pub struct CostArgs {
    /// Which pieces to explain: each instruction that a policy executes there and `never` does not, and its line.
    #[arg(
        long,
        value_name = "PIECE,...",
        value_delimiter = ',',
        value_parser = piece,
        add = in_list(names())
    )]
    pub explain: Vec<Piece>,
    /// How the figures are printed: tables for people, or every field of every row.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Where to write them as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Print the kernel's command line and QEMU's, and run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// What is seen of it.
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// Stop the boot after so many seconds.
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = number::<{ 1 }, { 7 * 24 * 60 * 60 }>)]
    pub timeout: u64,
    /// QEMU's CPU model, in place of `max`.
    #[arg(long, value_name = "MODEL", value_parser = NonEmptyStringValueParser::new())]
    pub cpu_model: Option<String>,
}

/// The names of all pieces.
fn names() -> Vec<&'static str> {
    PIECES.iter().map(|piece| piece.name()).collect()
}

fn piece(text: &str) -> Result<Piece, String> {
    let found = PIECES.iter().find(|piece| piece.name() == text);
    found.copied().ok_or_else(|| format!("use one of: {}", names().join(", ")))
}

impl CostArgs {
    /// The hard limit of the boot.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
