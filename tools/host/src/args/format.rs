//! How rows are printed.

use clap::ValueEnum;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for each workload and setting of INVLPGB.
    Table,
    /// The same tables in Markdown.
    Markdown,
    /// The same tables in 72 columns.
    Mail,
    /// Every field of JSON's rows; what the figures come from is on standard error.
    Csv,
}
