//! How many CPUs there are: the local APICs that ACPI's MADT lists as enabled.
//!
//! Only this is read. The crates that read ACPI need a nightly compiler.

use core::ptr::read_unaligned;

use gupsync::types::Frame;

use crate::{frames, paging};

const HEADER: u64 = 36;

/// Counts.
///
/// # Panics
///
/// If `rsdp` does not lead to a MADT.
pub fn count_cpus(rsdp: u64) -> usize {
    let madt = find(rsdp, b"APIC").expect("ACPI has no MADT");
    let end = madt + u64::from(read::<u32>(madt + 4));
    // The entries follow the address of the APIC and a word of flags.
    let mut at = madt + HEADER + 8;
    let mut cpus = 0;
    while at + 2 <= end {
        let (kind, length): (u8, u8) = (read(at), read(at + 1));
        let flags: u32 = match kind {
            0 => read(at + 4),
            9 => read(at + 8),
            _ => 0,
        };
        cpus += usize::from(flags & 1 != 0);
        at += u64::from(length.max(2));
    }
    cpus
}

/// The physical address of the table with that signature.
fn find(rsdp: u64, signature: &[u8; 4]) -> Option<u64> {
    assert_eq!(&read::<[u8; 8]>(rsdp), b"RSD PTR ", "no RSDP at {rsdp:#x}");
    let revision: u8 = read(rsdp + 15);
    let (root, entry_size) =
        if revision < 2 { (u64::from(read::<u32>(rsdp + 16)), 4) } else { (read::<u64>(rsdp + 24), 8) };
    let end = root + u64::from(read::<u32>(root + 4));
    (root + HEADER..end)
        .step_by(entry_size)
        .map(|at| if entry_size == 4 { u64::from(read::<u32>(at)) } else { read::<u64>(at) })
        .find(|table| &read::<[u8; 4]>(*table) == signature)
}

/// Plain data from physical memory.
fn read<T: Copy>(at: u64) -> T {
    // Some firmware keeps its tables in memory that it calls reserved: no allocation comes from there.
    paging::map_physical(at, size_of::<T>() as u64);
    // SAFETY: just mapped; `T` is used with integers and arrays of bytes only, which any bits are.
    unsafe { read_unaligned(frames::address(Frame(at)).cast::<T>()) }
}
