//! How many CPUs there are: those that ACPI's MADT lists as enabled.
//!
//! Only this is read. The crates that read ACPI need a nightly compiler.

use core::ptr::read_unaligned;

use gupsync_pc::madt;

use crate::{frames, paging};

const HEADER: u64 = 36;

/// Counts.
///
/// # Panics
///
/// If `rsdp` does not lead to a MADT that can be read.
pub fn count_cpus(rsdp: u64) -> usize {
    let madt = find(rsdp, b"APIC").expect("ACPI has no MADT");
    match madt::enabled_cpus(bytes(madt, u64::from(read::<u32>(madt + 4)))) {
        Ok(cpus) => cpus.len(),
        Err(malformed) => panic!("{malformed}"),
    }
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

/// Physical memory that firmware has filled.
fn bytes(at: u64, length: u64) -> &'static [u8] {
    // Some firmware keeps its tables in memory that it calls reserved: no allocation comes from there.
    paging::map_physical(at, length);
    // SAFETY: just mapped, for good, and no code of this kernel writes to firmware's tables.
    unsafe { core::slice::from_raw_parts(frames::address_of(at), length as usize) }
}

/// Plain data from there.
fn read<T: Copy>(at: u64) -> T {
    let bytes = bytes(at, size_of::<T>() as u64);
    // SAFETY: so many bytes; `T` is used with integers and arrays of bytes only, which any bits are.
    unsafe { read_unaligned(bytes.as_ptr().cast::<T>()) }
}
