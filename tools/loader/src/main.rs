//! A small UEFI loader that boots the kernel by the Limine boot protocol.
//!
//! It stands in for Limine on installation media that cannot carry Limine's binaries: it reads the
//! same `limine.conf` and answers the same requests. All files come from the FAT volume it was
//! itself started from. What it decides is in the library beside it; `firmware` and `machine` carry
//! that out.
#![cfg_attr(target_os = "uefi", no_std, no_main)]

extern crate alloc;

mod firmware;
mod machine;

use firmware::memory;

/// Lets editors check the loader for the host: cargo wants a `main` there.
#[cfg(not(target_os = "uefi"))]
fn main() {
    eprintln!("gupsync-loader runs under UEFI; build it with --target x86_64-unknown-uefi");
    std::process::exit(2);
}
