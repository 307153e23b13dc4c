//! The firmware's memory map, in the protocol's terms.
//!
//! The kernel's map describes memory as the boot services leave it. Theirs is usable from then on;
//! the loader's own is reclaimable, except for the kernel's image and file, which stay the
//! kernel's.

use crate::machine::failure::Failure;
use alloc::format;
use alloc::vec::Vec;
use gupsync_loader::PAGE;
use gupsync_loader::memory_map::{Builder, Kind, Region};
use uefi::boot;
use uefi::mem::memory_map::{MemoryDescriptor, MemoryMap, MemoryType};

/// The memory map as of now.
pub fn current() -> Result<Vec<Region>, Failure> {
    let failure = |error| format!("no memory map ({error}); the firmware is at fault");
    let map = boot::memory_map(MemoryType::LOADER_DATA).map_err(failure)?;
    Ok(map.entries().map(region).collect())
}

/// Ends the boot services and adds the final memory map to `builder`.
pub fn leave_firmware(builder: &mut Builder) {
    // SAFETY: No protocol is open any more. Neither the heap nor any other boot service is used from
    // here on: `builder` has taken its memory, and what the caller still holds is never dropped.
    let map = unsafe { boot::exit_boot_services(None) };
    for descriptor in map.entries() {
        builder.add(region(descriptor));
    }
    // Dropping it would call the boot services.
    core::mem::forget(map);
}

fn region(descriptor: &MemoryDescriptor) -> Region {
    let kind = match descriptor.ty {
        MemoryType::CONVENTIONAL | MemoryType::BOOT_SERVICES_CODE | MemoryType::BOOT_SERVICES_DATA => {
            Kind::Usable
        }
        MemoryType::LOADER_CODE | MemoryType::LOADER_DATA => Kind::BootloaderReclaimable,
        MemoryType::ACPI_RECLAIM => Kind::AcpiReclaimable,
        MemoryType::ACPI_NON_VOLATILE => Kind::AcpiNvs,
        MemoryType::UNUSABLE => Kind::Bad,
        _ => Kind::Reserved,
    };
    let size = descriptor.page_count.saturating_mul(PAGE);
    Region { base: descriptor.phys_start, end: descriptor.phys_start.saturating_add(size), kind }
}
