//! The other process that shares PMD tables: it has the same file of hugetlbfs mapped at the same address.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use gupsync_linux::{GIB, HUGE, shared};

use crate::siblings::pin;

/// The first argument of the process.
pub const PARTNER: &str = "partner";
/// Where hugetlbfs is looked for; an init mounts it there.
pub const FOLDERS: [&str; 2] = ["/dev/hugepages", "/huge"];

/// What is lacking where there is no hugetlbfs on any of these.
pub fn no_hugetlbfs(folder: &str) -> String {
    format!("there is no hugetlbfs on {folder}; mount it, or build the kernel with CONFIG_HUGETLBFS")
}

/// So many pages of each table the process has.
const PAGES: usize = 4;

/// The offsets of the pages that it has of so many tables.
pub fn pages(tables: usize) -> impl Iterator<Item = usize> {
    (0..tables).flat_map(|table| (0..PAGES).map(move |page| table * GIB + page * HUGE))
}

/// A process that has the file's pages, until it is dropped.
pub struct Partner {
    child: Child,
    file: PathBuf,
}

impl Partner {
    /// Starts it, and waits until it has its [`pages`] of so many tables.
    ///
    /// # Errors
    ///
    /// If there is no hugetlbfs, or it has not so many pages.
    pub fn start(tables: usize) -> Result<Self> {
        let is_hugetlbfs = |folder: &&str| {
            let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
            mounts.lines().any(|line| line.split(' ').skip(1).take(2).eq([*folder, "hugetlbfs"]))
        };
        let folder = FOLDERS.into_iter().find(is_hugetlbfs);
        let folder = folder.with_context(|| no_hugetlbfs(FOLDERS[0]))?;
        let file = Path::new(folder).join(format!("gupsync-{}", std::process::id()));
        let mut command = Command::new("/proc/self/exe");
        command.arg(PARTNER).arg(&file).arg(tables.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut partner = Partner { child: command.spawn().context("cannot start another process")?, file };
        let mut said = [0];
        let stdout = partner.child.stdout.as_mut().context("it is piped")?;
        stdout.read_exact(&mut said).with_context(|| {
            format!("{folder} has no {} huge pages; nr_hugepages says how many there are", PAGES * tables)
        })?;
        ensure!(said == [1], "the process that shares the tables is not ready");
        Ok(partner)
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

/// What that process does: it writes to two pages of each GiB of the file, and sleeps until its standard input is closed.
///
/// # Errors
///
/// If it cannot.
pub fn run(file: &str, tables: &str) -> Result<()> {
    pin(0)?;
    let tables = tables.parse().context("a number of tables")?;
    let file = File::options().read(true).write(true).create(true).truncate(true).open(file)?;
    file.set_len((tables * GIB) as u64)?;
    let ranges = shared::map_file(&file, tables)?;
    pages(tables).for_each(|page| ranges.write(page, 1));
    std::io::stdout().write_all(&[1])?;
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
