//! The same loader for a machine that starts it directly, as QEMU's `-kernel` does by PVH: no medium, no menu, and next to
//! no firmware, which is most of a boot by UEFI.
//!
//! Configuration and kernel come in one file (`-initrd`), see the library's `bundle`.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
#[path = "../machine/mod.rs"]
mod machine;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod start;

/// Lets editors check the loader for the host: cargo wants a `main` there.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("gupsync-loader-direct runs on a bare machine; build it with --target x86_64-unknown-none");
    std::process::exit(2);
}
