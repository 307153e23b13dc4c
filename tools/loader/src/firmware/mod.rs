//! From firmware to kernel: find the configuration, pick an entry, load its kernel, answer its
//! requests, map memory, leave the firmware, jump.
//!
//! Until the boot services end, every failure is reported in one line and returned to the
//! firmware with all memory given back. After that nothing can fail: everything the kernel needs
//! has been allocated, and only the memory map's content is still written.

mod console;
mod cpu;
mod failure;
mod jump;
mod map;
mod pages;
mod volume;

use alloc::format;
use core::convert::Infallible;
use failure::{Failure, NAME, VERSION, about};
use gupsync_loader::HHDM;
use gupsync_loader::config::{Config, LOCATIONS};
use gupsync_loader::elf::Executable;
use gupsync_loader::paging::{Layout, Table};
use gupsync_loader::requests::Requests;
use gupsync_loader::responses::{Arena, Facts};
use pages::Pages;
use uefi::table::cfg::ConfigTableEntry;
use uefi::{Status, boot, entry, system};
use volume::Volume;

#[entry]
fn main() -> Status {
    let Err(failure) = start();
    console::print(&format!("{NAME}: {failure}\n"));
    console::pause();
    Status::LOAD_ERROR
}

fn start() -> Result<Infallible, Failure> {
    // The firmware would reset the machine after five minutes, but the menu may wait for longer.
    let _ = boot::set_watchdog_timer(0, 0x1_0000, None);
    let features = cpu::check()?;

    let mut volume = Volume::booted_from()?;
    let (config_path, config_file) = find_config(&mut volume)?;
    let config = Config::parse(&config_file).map_err(about(config_path))?;
    let chosen = &config.entries[console::choose(&config)];
    let target = chosen.target().map_err(about(config_path))?;

    let not_found = || format!("{}: not found; check the path in {config_path}", target.uri);
    let file = volume.read(target.path)?.ok_or_else(not_found)?;
    drop(volume);
    let executable = Executable::parse(&file).map_err(about(target.uri))?;
    let mut image = Pages::<u64>::zeroed(executable.size as usize / size_of::<u64>())?;
    executable.load(image.as_bytes_mut());

    let scanned = &image[..executable.data_size().div_ceil(size_of::<u64>())];
    let requests = Requests::scan(scanned).map_err(about(target.uri))?;
    requests.check_paging_mode(&image).map_err(about(target.uri))?;
    let stack = Pages::<u8>::zeroed(requests.stack_size(&image) as usize)?;

    let regions = map::current()?;
    let mut builder = map::builder(&regions, [image.range(), file.range()]);
    let facts = Facts {
        loader: NAME,
        version: VERSION,
        image: image.address(),
        image_virtual: executable.base,
        file: file.address(),
        file_size: file.len() as u64,
        path: target.path,
        cmdline: target.cmdline,
        rsdp: rsdp(),
        system_table: uefi::table::system_table_raw().map_or(0, |table| table.addr().get() as u64),
    };
    let mut memory = Pages::<u64>::zeroed(facts.words(builder.max_output()))?;
    let address = memory.address();
    let arena = Arena::new(&mut memory, address);
    let pending_map = facts.answer(&requests, &mut image, arena, builder.max_output());

    let layout = Layout {
        regions: &regions,
        gib_pages: features.gib_pages,
        executable: &executable,
        image: image.address(),
    };
    let needed = layout.tables_needed().map_err(about("memory map"))?;
    let mut pool = Pages::<Table>::zeroed(needed)?;
    let address = pool.address();
    let roots = layout.build(&mut pool, address, &cpu::firmware_tables());

    let (title, uri) = (&chosen.title, target.uri);
    console::print(&format!("{NAME} {VERSION}: booting {title} ({uri})\n"));

    let machine = jump::Machine { roots, stack_top: HHDM + stack.range().end, entry: executable.entry };
    map::leave_firmware(&mut builder);
    pending_map.fill(&mut builder);
    cpu::mask_interrupts();
    // SAFETY: The boot services are gone and interrupts are off. The tables map the direct map, in
    // which this code, the stack and the GDT lie, and the kernel with its entry point; the
    // transition root also maps what the firmware maps in the lower half, in which this code runs.
    unsafe { jump::enter(machine) }
}

fn find_config(volume: &mut Volume) -> Result<(&'static str, Pages<u8>), Failure> {
    for path in LOCATIONS {
        if let Some(file) = volume.read(path)? {
            return Ok((path, file));
        }
    }
    let [place, ..] = LOCATIONS;
    Err(format!("no configuration on the boot volume; put one at {place}"))
}

/// The physical address of the ACPI root pointer; that of ACPI 2.0 or later is preferred.
fn rsdp() -> Option<u64> {
    let find = |guid| {
        system::with_config_table(|tables| {
            let table = tables.iter().find(|table| table.guid == guid)?;
            Some(table.address.addr() as u64)
        })
    };
    find(ConfigTableEntry::ACPI2_GUID).or_else(|| find(ConfigTableEntry::ACPI_GUID))
}
