//! Addresses that are kept for private memory.
//!
//! # Guarantee
//!
//! Memory that is mapped in a window lies between two neighbours that stay mapped, so that `free_pgtables()` frees its PTE
//! tables when it is unmapped (they map nothing else), and no table above them.

use std::io::{Error, Result};
use std::ops::{Deref, DerefMut};
use std::ptr;

use crate::{HUGE, Mapping};

/// Addresses, with a neighbour of 2 MiB on each side.
#[derive(Debug)]
pub struct Window {
    start: usize,
    len: usize,
}

/// Memory in a window.
#[derive(Debug)]
pub struct Pages<'w> {
    mapping: Mapping,
    _window: &'w mut Window,
}

impl Deref for Pages<'_> {
    type Target = Mapping;

    fn deref(&self) -> &Mapping {
        &self.mapping
    }
}

impl DerefMut for Pages<'_> {
    fn deref_mut(&mut self) -> &mut Mapping {
        &mut self.mapping
    }
}

impl Pages<'_> {
    /// Unmaps it, and says how that went. The window keeps the addresses.
    ///
    /// # Errors
    ///
    /// The kernel's; `EEXIST` if another thread was given these addresses in between.
    pub fn unmap(self) -> Result<()> {
        let (start, len) = (self.mapping.start(), self.mapping.len());
        self.mapping.unmap()?;
        keep(start, len, libc::MAP_FIXED_NOREPLACE).map(|_| ())
    }
}

/// Keeps addresses: those at `start` with one of the flags for fixed addresses, any with none.
fn keep(start: usize, len: usize, fixed: i32) -> Result<usize> {
    let at = ptr::with_exposed_provenance_mut(start);
    // SAFETY: nothing that is mapped is touched: without `MAP_FIXED` the kernel replaces nothing.
    let start = unsafe { libc::mmap(at, len, libc::PROT_NONE, PRIVATE | fixed, -1, 0) };
    if start == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(start.expose_provenance()) }
}

const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

impl Window {
    /// One for `len` bytes of memory that begin at a multiple of 2 MiB.
    ///
    /// # Errors
    ///
    /// The kernel's, if there are no such addresses.
    ///
    /// # Panics
    ///
    /// If `len` is no number of whole ranges of 2 MiB.
    pub fn new(len: usize) -> Result<Self> {
        assert!(len > 0 && len.is_multiple_of(HUGE), "{len:#x} bytes are not whole ranges of 2 MiB");
        // What is beyond a multiple of 2 MiB belongs to the neighbours.
        let whole = len + 3 * HUGE;
        let start = keep(0, whole, 0)?;
        Ok(Window { start: (start + HUGE).next_multiple_of(HUGE), len })
    }

    /// Maps the first `len` bytes, readable and writable, with no page yet.
    ///
    /// # Errors
    ///
    /// The kernel's.
    ///
    /// # Panics
    ///
    /// If the window is smaller.
    pub fn map(&mut self, len: usize) -> Result<Pages<'_>> {
        assert!(len <= self.len, "{len:#x} bytes in a window of {:#x}", self.len);
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let at = ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: the addresses are this window's, which is borrowed: what is mapped there is its own, with no
        // access to it.
        let start = unsafe { libc::mmap(at, len, rights, PRIVATE | libc::MAP_FIXED, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        // SAFETY: they were mapped just now, and the borrowed window gives them to no other.
        let mapping = unsafe { Mapping::of(self.start, len) };
        Ok(Pages { mapping, _window: self })
    }
}
