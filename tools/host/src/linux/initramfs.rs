//! The initramfs that a Linux boots from: the program of `tools/guest` as `/init`, and what it is to do.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use anyhow::{Context, Result};
use cpio::NewcBuilder;
use cpio::newc::trailer;

/// Writes one to `out`, with `program` as its init, and `files` by their absolute names, which may be run.
///
/// # Errors
///
/// If the program cannot be read, or the file not be written.
pub fn write(out: &Path, program: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let program = fs::read(program).with_context(|| program.display().to_string())?;
    let mut archive = Cursor::new(Vec::new());
    // Without a console an init has no standard output; the kernel makes none of its own.
    add(&mut archive, 1, NewcBuilder::new("dev").mode(0o040_755), &[])?;
    let console = NewcBuilder::new("dev/console").mode(0o020_600).rdev_major(5).rdev_minor(1);
    add(&mut archive, 2, console, &[])?;
    add(&mut archive, 3, NewcBuilder::new("init").mode(0o100_755), &program)?;
    let mut inodes = 4..;
    let names = files.iter().map(|(name, _)| name.trim_start_matches('/'));
    let folders: BTreeSet<_> = names.filter_map(|name| Some(name.split_once('/')?.0)).collect();
    for (folder, inode) in folders.into_iter().zip(&mut inodes) {
        add(&mut archive, inode, NewcBuilder::new(folder).mode(0o040_755), &[])?;
    }
    for ((name, content), inode) in files.iter().zip(&mut inodes) {
        let file = NewcBuilder::new(name.trim_start_matches('/')).mode(0o100_755);
        add(&mut archive, inode, file, content)?;
    }
    trailer(&mut archive)?;
    fs::write(out, archive.into_inner()).with_context(|| out.display().to_string())
}

fn add(archive: &mut Cursor<Vec<u8>>, inode: u32, entry: NewcBuilder, content: &[u8]) -> Result<()> {
    let size = u32::try_from(content.len()).context("a file of 4 GiB or more")?;
    let mut writer = entry.ino(inode).write(&mut *archive, size);
    writer.write_all(content)?;
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use cpio::NewcReader;

    use super::*;

    #[test]
    fn an_initramfs_holds_the_program_as_init_and_each_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (program, out) = (folder.path().join("program"), folder.path().join("initramfs"));
        fs::write(&program, "a program").expect("a file");
        write(&out, &program, &[("/experiments.json", b"[]"), ("/tests/a", b"a test")]).expect("it is written");
        let archive = fs::read(&out).expect("it is there");
        let (mut rest, mut found) = (Cursor::new(archive), Vec::new());
        loop {
            let mut reader = NewcReader::new(rest).expect("an entry");
            if reader.entry().is_trailer() {
                break;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = String::new();
            reader.read_to_string(&mut content).expect("text");
            found.push((name, mode, content));
            rest = reader.finish().expect("its end");
        }
        let entry = |name: &str, mode, content: &str| (name.to_owned(), mode, content.to_owned());
        let expected = [
            entry("dev", 0o040_755, ""),
            entry("dev/console", 0o020_600, ""),
            entry("init", 0o100_755, "a program"),
            entry("tests", 0o040_755, ""),
            entry("experiments.json", 0o100_755, "[]"),
            entry("tests/a", 0o100_755, "a test"),
        ];
        assert_eq!(found, expected);
    }
}
