//! Walks that a debugger holds, and the words by which processes tell each other of them.
//!
//! # Guarantee
//!
//! A walk looks at memory of this process by system calls, which fail where nothing is mapped: it may look at what another
//! thread unmaps meanwhile.

use std::arch::naked_asm;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::AtomicU64;

use crate::PAGE;

/// So many words are on a page.
pub const WORDS: usize = PAGE / 8;

/// Walks to the page at `address` by GUP-fast: to wake a futex that is not private `get_futex_key()` looks its page up by
/// `get_user_pages_fast()`.
pub fn walk(address: usize) {
    let none = ptr::null::<u8>();
    // SAFETY: `FUTEX_WAKE` of no waiter changes no memory, and an address where nothing is mapped is an error.
    unsafe { libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAKE, 0, none, none, 0) };
}

/// A pipe, as an end to read from and one to write to.
#[derive(Debug)]
pub struct Pipe(OwnedFd, OwnedFd);

impl Pipe {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn new() -> Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: there is room for two.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: both were opened just now, and are owned by nothing else.
        let own = |end| unsafe { OwnedFd::from_raw_fd(end) };
        Ok(Pipe(own(ends[0]), own(ends[1])))
    }

    /// Walks to the page at `address` by GUP-fast and says what is there: `vmsplice()` puts the page that
    /// `get_user_pages_fast()` has found into the pipe.
    ///
    /// # Errors
    ///
    /// The kernel's: `EFAULT` where nothing is mapped.
    pub fn peek(&self, address: usize) -> Result<u8> {
        let part = libc::iovec { iov_base: ptr::with_exposed_provenance_mut(address), iov_len: 1 };
        // SAFETY: the kernel reads what `part` names, and an address where nothing is mapped is an error.
        if unsafe { libc::vmsplice(self.1.as_raw_fd(), &raw const part, 1, 0) } < 0 {
            return Err(Error::last_os_error());
        }
        let mut byte = 0_u8;
        // SAFETY: there is room for one byte.
        let count = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut byte).cast(), 1) };
        if count == 1 { Ok(byte) } else { Err(Error::last_os_error()) }
    }
}

/// The words on the first page of `file`, the same for all processes that map it.
///
/// # Errors
///
/// The kernel's; the file has to have a page.
pub fn words(file: &File) -> Result<&'static [AtomicU64; WORDS]> {
    if file.metadata()?.len() < PAGE as u64 {
        return Err(Error::from_raw_os_error(libc::EINVAL));
    }
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: nothing that is mapped is replaced.
    let start = unsafe { libc::mmap(ptr::null_mut(), PAGE, rights, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    // SAFETY: the page is mapped for good, aligned, and accessed by atomics alone, in every process.
    Ok(unsafe { &*start.cast() })
}

/// Comes to a mark. A debugger that stops before this function gives the answer in its place; without one it is 0.
pub fn mark(number: u64, first: u64, second: u64) -> u64 {
    gupsync_mark(number, first, second)
}

/// Where the debugger stops.
// SAFETY: no other function has this name.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn gupsync_mark(number: u64, first: u64, second: u64) -> u64 {
    naked_asm!("xor eax, eax", "ret")
}
