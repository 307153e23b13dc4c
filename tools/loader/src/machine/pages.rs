//! Memory in whole pages, as the kernel inherits it.
//!
//! Pages are zeroed, page-aligned, mapped one to one while the loader runs, and bootloader-reclaimable in
//! the kernel's memory map. They go back to where they came from (`memory`, which each loader has) when
//! dropped; the hand-off never returns and so never drops those the kernel gets.

use super::failure::Failure;
use crate::memory;
use alloc::format;
use core::ops::{Deref, DerefMut, Range};
use core::ptr::NonNull;
use core::slice;
use gupsync_loader::PAGE;
use gupsync_loader::paging::Table;

/// Types of which any bit pattern is a value and that need at most page alignment.
///
/// # Safety
///
/// The type must be as described.
pub unsafe trait Plain {}

// SAFETY: An integer.
unsafe impl Plain for u8 {}
// SAFETY: An integer.
unsafe impl Plain for u64 {}
// SAFETY: An array of integers.
unsafe impl Plain for Table {}

/// A slice that starts on a page of its own.
pub struct Pages<T: Plain> {
    start: NonNull<T>,
    len: usize,
}

impl<T: Plain> Pages<T> {
    /// Allocates `len` zeroed elements.
    pub fn zeroed(len: usize) -> Result<Self, Failure> {
        let failure = |bytes| format!("out of memory ({bytes:#x} bytes); give the machine more");
        let bytes = len.saturating_mul(size_of::<T>());
        let pages = bytes.div_ceil(PAGE as usize).max(1);
        let start = memory::allocate(pages).ok_or_else(|| failure(bytes))?;
        // SAFETY: These pages were just allocated.
        unsafe { start.write_bytes(0, pages * PAGE as usize) };
        let start = start.cast();
        Ok(Self { start, len })
    }

    /// The physical address.
    pub fn address(&self) -> u64 {
        self.start.addr().get() as u64
    }

    /// The physical addresses of the elements.
    pub fn range(&self) -> Range<u64> {
        let size = self.len * size_of::<T>();
        self.address()..self.address() + size as u64
    }

    /// The elements as bytes.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        let size = self.len * size_of::<T>();
        // SAFETY: The elements are initialised, borrowed as `self` is, and any bytes are valid.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().cast(), size) }
    }
}

impl<T: Plain> Deref for Pages<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: The pages are owned, initialised, aligned and hold `len` elements.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for Pages<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: As for `deref`, and `self` is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> Drop for Pages<T> {
    fn drop(&mut self) {
        let pages = (self.len * size_of::<T>()).div_ceil(PAGE as usize).max(1);
        // SAFETY: The pages were allocated with this count, and no reference outlives `self`.
        unsafe { memory::free(self.start.cast(), pages) };
    }
}
