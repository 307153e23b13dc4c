//! `linux`: a real Linux in the same QEMU.
//!
//! [`kernel`] is which Linux, fetched by `debian` where none is named; [`machine`] boots it, with the program of
//! `tools/guest` as its init in an [`initramfs`]; [`count`] has that program do the operations of a comparison and makes
//! rows of what it counts, which [`beside`] puts beside those of a comparison; `export` hands the program out, to be run
//! on any machine. [`check`] holds a walker by QEMU's stub for [`gdb`], and sees whether an operation waits for it. `build`
//! makes a Linux of Debian's source and `changes`: steps of the `series` of `tools/linux`, or patches. `selftests` runs Linux's
//! own, from the same source.

pub mod beside;
mod build;
mod changes;
pub mod check;
pub mod count;
mod debian;
mod experiments;
mod export;
mod files;
pub mod gdb;
pub mod initramfs;
pub mod kernel;
pub mod machine;
mod needed;
mod selftests;
mod series;

use anyhow::Result;

use crate::args::linux::LinuxCommand;
use crate::ending::Ending;

/// Does what was asked for.
///
/// # Errors
///
/// If it cannot be begun.
pub fn run(command: &LinuxCommand) -> Result<Ending> {
    match command {
        LinuxCommand::Check(args) => check::run(args),
        LinuxCommand::Count(args) => count::run(args),
        LinuxCommand::Export(args) => export::run(args),
        LinuxCommand::Build(args) => build::run(args),
        LinuxCommand::Selftests(args) => selftests::run(args),
    }
}
