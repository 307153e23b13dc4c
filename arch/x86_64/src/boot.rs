//! What the bootloader tells: the Limine boot protocol, as far as all its revisions agree.

use core::ffi::CStr;

use limine::BaseRevision;
use limine::memory_map::EntryType;
use limine::request::{
    BootloaderInfoRequest, ExecutableAddressRequest, ExecutableCmdlineRequest, ExecutableFileRequest,
    HhdmRequest, MemoryMapRequest, RequestsEndMarker, RequestsStartMarker, RsdpRequest, StackSizeRequest,
};

#[used]
#[unsafe(link_section = ".limine_requests_start")]
static START: RequestsStartMarker = RequestsStartMarker::new();
#[used]
#[unsafe(link_section = ".limine_requests_end")]
static END: RequestsEndMarker = RequestsEndMarker::new();

/// Asks for revision 3; a bootloader that knows less boots with what it has, and nothing here depends on it.
#[used]
#[unsafe(link_section = ".limine_requests")]
static BASE_REVISION: BaseRevision = BaseRevision::with_revision(3);
#[used]
#[unsafe(link_section = ".limine_requests")]
static BOOTLOADER: BootloaderInfoRequest = BootloaderInfoRequest::new();
#[used]
#[unsafe(link_section = ".limine_requests")]
static STACK: StackSizeRequest = StackSizeRequest::new().with_size(256 * 1024);
#[used]
#[unsafe(link_section = ".limine_requests")]
static HHDM: HhdmRequest = HhdmRequest::new();
#[used]
#[unsafe(link_section = ".limine_requests")]
static MEMORY_MAP: MemoryMapRequest = MemoryMapRequest::new();
#[used]
#[unsafe(link_section = ".limine_requests")]
static ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();
#[used]
#[unsafe(link_section = ".limine_requests")]
static FILE: ExecutableFileRequest = ExecutableFileRequest::new();
#[used]
#[unsafe(link_section = ".limine_requests")]
static CMDLINE: ExecutableCmdlineRequest = ExecutableCmdlineRequest::new();
#[used]
#[unsafe(link_section = ".limine_requests")]
static RSDP: RsdpRequest = RsdpRequest::new();

/// A stretch of physical memory.
#[derive(Clone, Copy)]
pub struct Region {
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub length: u64,
    /// Whether it is free; if not, it holds something to be read.
    pub usable: bool,
}

/// What the bootloader told.
pub struct BootInfo {
    /// The bootloader's name.
    pub bootloader: &'static str,
    /// The bootloader's version.
    pub version: &'static str,
    /// Where physical memory is mapped.
    pub hhdm: u64,
    /// Physical minus virtual address of the kernel, wrapping.
    pub kernel_offset: u64,
    /// The command line.
    pub cmdline: &'static str,
    /// Physical address of ACPI's RSDP.
    pub rsdp: u64,
}

/// Collects the answers.
///
/// # Panics
///
/// If the bootloader has left a request unanswered that every Limine since 8.2 answers.
pub fn info() -> BootInfo {
    let bootloader = BOOTLOADER.get_response().expect("no bootloader info");
    let hhdm = HHDM.get_response().expect("no HHDM").offset();
    let address = ADDRESS.get_response().expect("no kernel address");
    let rsdp = RSDP.get_response().expect("no RSDP: ACPI is needed to count the CPUs").address() as u64;
    BootInfo {
        bootloader: bootloader.name(),
        version: bootloader.version(),
        hhdm,
        kernel_offset: address.physical_base().wrapping_sub(address.virtual_base()),
        cmdline: cmdline().to_str().expect("the command line is not UTF-8"),
        // Physical or already in the HHDM: that is where revisions differ.
        rsdp: if rsdp >= hhdm { rsdp - hhdm } else { rsdp },
    }
}

/// The command line: from the request of its own where the bootloader answers that, else from the kernel's file.
fn cmdline() -> &'static CStr {
    if let Some(response) = CMDLINE.get_response() {
        return response.cmdline();
    }
    FILE.get_response().expect("no kernel file").file().string()
}

/// Memory that is RAM or holds tables: what the kernel's own HHDM maps. The kernel itself is not among it: its code and its
/// read-only data would be writable there.
///
/// # Panics
///
/// If the bootloader gave no memory map.
pub fn regions() -> impl Iterator<Item = Region> + Clone {
    let entries = MEMORY_MAP.get_response().expect("no memory map").entries();
    let wanted = [
        EntryType::USABLE,
        EntryType::BOOTLOADER_RECLAIMABLE,
        EntryType::ACPI_RECLAIMABLE,
        EntryType::ACPI_NVS,
    ];
    entries.iter().filter(move |entry| wanted.contains(&entry.entry_type)).map(|entry| Region {
        base: entry.base,
        length: entry.length,
        usable: entry.entry_type == EntryType::USABLE,
    })
}
