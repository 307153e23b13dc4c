//! `doctor`: whether all is there that boots and builds need, where, which version, and what to do about what is not.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::args::DoctorArgs;
use crate::artifacts::Tree;
use crate::ending::Ending;
use crate::image::Bootloader;
use crate::prove::litmus;
use crate::qemu::{self, Ovmf};
use crate::there::{SHOWN, first_line, program, target};
use crate::{module, say};

/// Programs: what they are for, the option that asks for a version, and Debian's package.
const PROGRAMS: [(&str, &str, &str); 7] = [
    (qemu::abilities::PROGRAM, "--version", "qemu-system-x86"),
    ("setpriv", "--version", "util-linux"),
    ("xorriso", "-version", "xorriso"),
    ("mformat", "--version", "mtools"),
    ("mmd", "--version", "mtools"),
    ("mcopy", "--version", "mtools"),
    ("git", "--version", "git"),
];
/// What kernel, loader and the program for Linux are built for.
const TARGETS: [&str; 3] = ["x86_64-unknown-none", "x86_64-unknown-uefi", "x86_64-unknown-linux-musl"];
/// Looks at everything; says whether nothing is missing.
///
/// # Errors
///
/// None: what is missing is a line of what is printed.
pub fn run(args: &DoctorArgs) -> Result<Ending> {
    let mut found: Vec<_> =
        PROGRAMS.map(|(name, option, package)| (name, program(name, option, package))).into();
    found.push(("OVMF", Ovmf::of_system().map(|ovmf| ovmf.code.display().to_string())));
    found.push(("rustc", rustc()));
    found.extend(TARGETS.map(|name| (name, target(name))));
    found.push(("bootloader", bootloader(args)));
    found.push(("target folder", folder()));
    for (name, state) in &found {
        match state {
            Ok(state) => say::out(format_args!("ok       {name:20} {state}")),
            Err(remedy) => say::out(format_args!("missing  {name:20} {remedy:#}")),
        }
    }
    let kvm =
        if Path::new("/dev/kvm").exists() { "/dev/kvm, used by --accel kvm only" } else { "none, not needed" };
    say::out(format_args!("-        {:20} {kvm}", "KVM"));
    say::out(format_args!("-        {:20} {}", "prove --litmus", litmus::tools()));
    say::out(format_args!("-        {:20} {}", "simulator in a page", module::tools()));
    let missing = found.iter().filter(|(_, state)| state.is_err()).count();
    if missing > 0 {
        say::err(format_args!(
            "error: {missing} of {} are missing; each line above says what to do",
            found.len()
        ));
    }
    Ok(if missing == 0 { Ending::AsPromised } else { Ending::NotRun })
}

fn rustc() -> Result<String> {
    first_line(Command::new("rustc").arg("--version").current_dir(Tree::own().root), SHOWN)
        .context("install rustup from https://rustup.rs")
}

fn bootloader(args: &DoctorArgs) -> Result<String> {
    Ok(Bootloader::find(&args.limine, Bootloader::Direct)?.to_string())
}

/// Where kernel and loader are built, which has to be writable.
fn folder() -> Result<String> {
    let folder = Tree::own().target_of("boot");
    let remedy = || format!("{} cannot be written; name another folder by CARGO_TARGET_DIR", folder.display());
    std::fs::create_dir_all(&folder).with_context(remedy)?;
    tempfile::tempfile_in(&folder).with_context(remedy)?;
    Ok(folder.display().to_string())
}
