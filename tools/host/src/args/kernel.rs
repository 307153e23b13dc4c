//! A Linux kernel, as a command line names it.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

/// The kernel, and what it and QEMU are told besides.
#[derive(Clone, Debug, Args)]
pub struct KernelArgs {
    /// The kernel; by default Debian's newest, fetched into a cache and not installed.
    #[arg(long, value_name = "bzImage")]
    pub kernel: Option<PathBuf>,
    /// What is added to the kernel's command line.
    #[arg(long, value_name = "key=value ...", default_value = "", allow_hyphen_values = true)]
    pub append: String,
    /// An argument that is appended to QEMU's command line; may be given several times.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub qemu_arg: Vec<String>,
}
