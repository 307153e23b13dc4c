//! Arguments of `report`.

use std::path::PathBuf;

use clap::Args;

/// What is shown, and where.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Results to show: what compare, scale, linux count and prove have written by --json. Without any, the simulator makes some.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub json: Vec<PathBuf>,
    /// Where to write the page.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
