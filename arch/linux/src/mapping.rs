//! Memory of this process that it gives up when it wants to.

use std::io::{Error, Result};
use std::ptr;

use crate::{HUGE, PAGE};

/// Memory that is mapped, and no one else's. Dropping it unmaps it.
#[derive(Debug)]
pub struct Mapping {
    start: usize,
    len: usize,
    is_writable: bool,
}

/// Of <linux/mman.h>; musl's headers lack it.
const MADV_COLLAPSE: i32 = 25;

fn check(result: i32) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

impl Mapping {
    /// That of `len` bytes at `start`.
    ///
    /// # Safety
    ///
    /// They are mapped, readable and writable, and nothing else in this process uses or unmaps them.
    pub(crate) unsafe fn of(start: usize, len: usize) -> Self {
        Mapping { start, len, is_writable: true }
    }

    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> usize {
        self.start
    }

    /// How many bytes it has.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.len, "{offset:#x} lies beyond a mapping of {:#x} bytes", self.len);
        ptr::with_exposed_provenance_mut(self.start + offset)
    }

    /// Writes a byte.
    ///
    /// # Panics
    ///
    /// If it lies beyond, or may not be written.
    pub fn write(&self, offset: usize, byte: u8) {
        assert!(self.is_writable, "the mapping at {:#x} is read-only", self.start);
        // SAFETY: the byte lies in the mapping, which is writable, and plain bytes have no wrong values. A page that the
        // kernel has dropped comes back as zeros, or the process is killed: nothing else is accessed in its place.
        unsafe { self.at(offset).write_volatile(byte) }
    }

    /// Reads a byte.
    ///
    /// # Panics
    ///
    /// If it lies beyond.
    #[must_use]
    pub fn read(&self, offset: usize) -> u8 {
        // SAFETY: the byte lies in the mapping, which is readable; see `write`.
        unsafe { self.at(offset).read_volatile() }
    }

    /// Has the kernel put one huge page in the place of the pages of each range of 2 MiB, now.
    ///
    /// # Errors
    ///
    /// The kernel's: `EINVAL` where it has no `MADV_COLLAPSE`, `EBUSY`, `EAGAIN` and `ENOMEM` where it could not.
    pub fn collapse(&self) -> Result<()> {
        assert!(self.start.is_multiple_of(HUGE) && self.len.is_multiple_of(HUGE), "whole ranges are collapsed");
        self.advise(MADV_COLLAPSE)
    }

    /// Puts a small page at each place, which a collapse may then make huge.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the kernel has no transparent huge pages.
    pub fn fill_with_small_pages(&self) -> Result<()> {
        self.refuse_huge_pages()?;
        (0..self.len).step_by(PAGE).for_each(|page| self.write(page, 1));
        self.allow_huge_pages()
    }

    /// Has no page fault put a huge page here.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the kernel has no transparent huge pages.
    pub fn refuse_huge_pages(&self) -> Result<()> {
        self.advise(libc::MADV_NOHUGEPAGE)
    }

    /// Gives all pages back; what is read there next is zero.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn discard(&self) -> Result<()> {
        self.advise(libc::MADV_DONTNEED)
    }

    /// Lets them be huge.
    fn allow_huge_pages(&self) -> Result<()> {
        self.advise(libc::MADV_HUGEPAGE)
    }

    fn advise(&self, advice: i32) -> Result<()> {
        // SAFETY: the range is a mapping of this type, whose contents are read and written by volatile accesses only, so
        // that pages may be moved and dropped; `advice` is one of those above, none of which unmaps.
        check(unsafe { libc::madvise(self.at(0).cast(), self.len, advice) })
    }

    /// Takes away the right to write.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn protect(&mut self) -> Result<()> {
        self.is_writable = false;
        // SAFETY: the range is a mapping of this type, and no write comes any more: `write` looks at the flag.
        check(unsafe { libc::mprotect(self.at(0).cast(), self.len, libc::PROT_READ) })
    }

    /// Gives it back.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn unprotect(&mut self) -> Result<()> {
        // SAFETY: more is allowed afterwards than before.
        check(unsafe { libc::mprotect(self.at(0).cast(), self.len, libc::PROT_READ | libc::PROT_WRITE) })?;
        self.is_writable = true;
        Ok(())
    }

    /// Unmaps it, and says how that went.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn unmap(self) -> Result<()> {
        let result = self.unmap_in_place();
        std::mem::forget(self);
        result
    }

    fn unmap_in_place(&self) -> Result<()> {
        // SAFETY: the range is a mapping of this type, which is at its end: no access comes any more.
        check(unsafe { libc::munmap(self.at(0).cast(), self.len) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let _ = self.unmap_in_place();
    }
}
