//! The parts of the loader that need neither firmware nor a privileged CPU.
//!
//! Each module turns bytes or numbers into bytes or numbers and refuses bad input with one line
//! that names it, so all of them run, and are tested, on a host. Two binaries connect them to the
//! CPU: `main.rs` under UEFI, `direct/main.rs` where QEMU starts it by itself.
//!
//! The protocol is the Limine boot protocol as of Limine 8.2, for base revisions 1 and 2.
#![no_std]

extern crate alloc;

pub mod bundle;
pub mod config;
pub mod elf;
pub mod memory_map;
pub mod menu;
pub mod paging;
pub mod requests;
pub mod responses;
pub mod room;
pub mod start_info;

/// Where the higher half direct map starts: physical address `p` is mapped at `HHDM + p`.
pub const HHDM: u64 = 0xffff_8000_0000_0000;

/// The lowest virtual address the protocol allows a kernel to be linked at.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;

/// The size of a page, and the alignment of everything handed to the kernel.
pub const PAGE: u64 = 0x1000;
