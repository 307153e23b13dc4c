//! `linux export`: the program of `tools/guest` in a folder, with what a kernel selftest and an LKP job need around it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::args::linux::ExportArgs;
use crate::artifacts::Tree;
use crate::ending::{Ending, Usage};
use crate::say;

/// The program's name there.
const PROGRAM: &str = "gupsync-guest";

/// What lies beside the program: its name, its content, and whether it is run.
const FILES: [(&str, &str, bool); 5] = [
    ("run.sh", include_str!("export/run.sh"), true),
    ("Makefile", include_str!("export/Makefile"), false),
    ("config", include_str!("export/config"), false),
    ("gupsync.yaml", include_str!("export/gupsync.yaml"), false),
    ("README", include_str!("export/README"), false),
];

/// Writes them.
///
/// # Errors
///
/// If the program does not build, or the folder cannot be written.
pub fn run(args: &ExportArgs) -> Result<Ending> {
    let program = Tree::own().guest()?;
    let refused =
        |error| Usage(format!("--out {}: cannot be written: {error}; name another folder", args.out.display()));
    fs::create_dir_all(&args.out).map_err(refused)?;
    let put = |name: &str, content: &[u8], is_run: bool| write(&args.out.join(name), content, is_run);
    put(PROGRAM, &fs::read(program)?, true)?;
    FILES.iter().try_for_each(|(name, content, is_run)| put(name, content.as_bytes(), *is_run))?;
    say::out(format_args!("{}: run.sh there, as root, on any x86-64 Linux", args.out.display()));
    Ok(Ending::AsPromised)
}

fn write(file: &Path, content: &[u8], is_run: bool) -> Result<()> {
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))?;
    let mode = if is_run { 0o755 } else { 0o644 };
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(mode))?)
}
