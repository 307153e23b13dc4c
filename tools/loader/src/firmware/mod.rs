//! From UEFI to the kernel: find the configuration, pick an entry, read its kernel, leave the firmware.
//!
//! Until the boot services end, every failure is reported in one line and returned to the
//! firmware with all memory given back.

mod console;
mod map;
pub mod memory;
mod volume;

use crate::machine::Kernel;
use crate::machine::failure::{Failure, NAME, VERSION, about};
use crate::machine::pages::Pages;
use alloc::format;
use core::convert::Infallible;
use gupsync_loader::config::{Config, LOCATIONS};
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

    let mut volume = Volume::booted_from()?;
    let (config_path, config_file) = find_config(&mut volume)?;
    let config = Config::parse(&config_file).map_err(about(config_path))?;
    let chosen = &config.entries[console::choose(&config)];
    let target = chosen.target().map_err(about(config_path))?;

    let not_found = || format!("{}: not found; check the path in {config_path}", target.uri);
    let file = volume.read(target.path)?.ok_or_else(not_found)?;
    drop(volume);
    let regions = map::current()?;
    let system_table = uefi::table::system_table_raw().map(|table| table.addr().get() as u64);
    let kernel = Kernel { target: &target, file: &file, regions: &regions, rsdp: rsdp(), system_table };
    kernel.enter(|builder| {
        let (title, uri) = (&chosen.title, target.uri);
        console::print(&format!("{NAME} {VERSION}: booting {title} ({uri})\n"));
        map::leave_firmware(builder);
    })
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
