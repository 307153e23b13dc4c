//! Memory of hugetlbfs that processes share, with its PMD tables: `huge_pmd_share()` lets mappings of one file share the PMD
//! table of each 1 GiB that they map whole, shared, at addresses with the same index in that table.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::ptr;

use crate::{GIB, Mapping, PAGE};

/// Where the file is mapped, in every process: it is the first PUD entry of a PUD table that the page before it keeps.
const AT: usize = 1 << 44;
/// The most PMD tables of a file.
pub const MAX_TABLES: usize = 8;

/// Keeps the tables above the file's own: a page beside it that stays.
///
/// # Errors
///
/// The kernel's.
pub fn keep_upper_tables() -> Result<Mapping> {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let page = map(AT + MAX_TABLES * GIB, PAGE, kind, -1)?;
    page.write(0, 1);
    Ok(page)
}

/// Maps the first `tables` GiB of `file`, which lies in a hugetlbfs, for reading and writing.
///
/// # Errors
///
/// The kernel's; `EEXIST` if something is mapped there.
///
/// # Panics
///
/// If `tables` is more than [`MAX_TABLES`].
pub fn map_file(file: &File, tables: usize) -> Result<Mapping> {
    assert!(tables <= MAX_TABLES, "{tables} GiB of a file");
    map(AT, tables * GIB, libc::MAP_SHARED | libc::MAP_NORESERVE, file.as_raw_fd())
}

fn map(at: usize, len: usize, kind: i32, file: i32) -> Result<Mapping> {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let kind = kind | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: nothing that is mapped is replaced: the kernel refuses that.
    let start = unsafe { libc::mmap(ptr::with_exposed_provenance_mut(at), len, rights, kind, file, 0) };
    if start == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    // SAFETY: it was mapped just now, and is known to this process through this alone.
    Ok(unsafe { Mapping::of(start.expose_provenance(), len) })
}
