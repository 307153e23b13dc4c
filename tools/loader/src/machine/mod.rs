//! What both loaders do on the machine, however they came to run: load the kernel, answer its requests, map memory, jump.
//!
//! Memory is mapped one to one while a loader runs, so an address in memory is a physical address.

pub mod cpu;
pub mod failure;
mod jump;
pub mod pages;

use core::convert::Infallible;
use core::ops::Range;
use failure::{Failure, NAME, VERSION, about};
use gupsync_loader::config::Target;
use gupsync_loader::elf::Executable;
use gupsync_loader::memory_map::{Builder, Kind, Region};
use gupsync_loader::paging::{Layout, Table};
use gupsync_loader::requests::Requests;
use gupsync_loader::responses::{Arena, Facts};
use gupsync_loader::{HHDM, PAGE};
use pages::Pages;

/// How many regions the memory map may gain after it was first read.
const SLACK: usize = 64;

/// A kernel, and what it is told of the machine.
pub struct Kernel<'a> {
    /// What the configuration says of it.
    pub target: &'a Target<'a>,
    /// Its file, on a page of its own.
    pub file: &'a [u8],
    /// The memory map as of now.
    pub regions: &'a [Region],
    /// The ACPI root pointer.
    pub rsdp: Option<u64>,
    /// The EFI system table.
    pub system_table: Option<u64>,
}

impl Kernel<'_> {
    /// Enters the kernel. Until `leave` runs, every failure is one line, and all memory is given back; after that nothing
    /// can fail: everything the kernel needs has been allocated, and only the memory map's content is still written.
    ///
    /// `leave` adds the final memory map to the builder, and whatever else uses the machine is gone when it returns.
    pub fn enter(&self, leave: impl FnOnce(&mut Builder)) -> Result<Infallible, Failure> {
        let Kernel { target, file, regions, rsdp, system_table } = *self;
        let features = cpu::check()?;
        let executable = Executable::parse(file).map_err(about(target.uri))?;
        let mut image = Pages::<u64>::zeroed(executable.size as usize / size_of::<u64>())?;
        executable.load(image.as_bytes_mut());

        let scanned = &image[..executable.data_size().div_ceil(size_of::<u64>())];
        let requests = Requests::scan(scanned).map_err(about(target.uri))?;
        requests.check_paging_mode(&image).map_err(about(target.uri))?;
        let stack = Pages::<u8>::zeroed(requests.stack_size(&image) as usize)?;

        let file_address = file.as_ptr().addr() as u64;
        let file_range = file_address..file_address + file.len() as u64;
        let mut builder = builder(regions, [image.range(), file_range]);
        let facts = Facts {
            loader: NAME,
            version: VERSION,
            image: image.address(),
            image_virtual: executable.base,
            file: file_address,
            file_size: file.len() as u64,
            path: target.path,
            cmdline: target.cmdline,
            rsdp,
            system_table,
        };
        let mut memory = Pages::<u64>::zeroed(facts.words(builder.max_output()))?;
        let address = memory.address();
        let arena = Arena::new(&mut memory, address);
        let pending_map = facts.answer(&requests, &mut image, arena, builder.max_output());

        let layout =
            Layout { regions, gib_pages: features.gib_pages, executable: &executable, image: image.address() };
        let needed = layout.tables_needed().map_err(about("memory map"))?;
        let mut pool = Pages::<Table>::zeroed(needed)?;
        let address = pool.address();
        let roots = layout.build(&mut pool, address, &cpu::current_tables());

        let machine = jump::Machine { roots, stack_top: HHDM + stack.range().end, entry: executable.entry };
        leave(&mut builder);
        pending_map.fill(&mut builder);
        cpu::mask_interrupts();
        // SAFETY: `leave` has ended all that used the machine, and interrupts are off. The tables map the direct
        // map, in which this code, the stack and the GDT lie, and the kernel with its entry point; the
        // transition root also maps what is mapped now in the lower half, in which this code runs.
        unsafe { jump::enter(machine) }
    }
}

/// A builder with room for what `regions` may become, and with the kernel's ranges in it.
fn builder(regions: &[Region], kernel: [Range<u64>; 2]) -> Builder {
    let mut builder = Builder::with_capacity(regions.len() + kernel.len() + SLACK);
    for Range { start, end } in kernel {
        let region = Region { base: start, end: end.next_multiple_of(PAGE), kind: Kind::ExecutableAndModules };
        builder.add(region);
    }
    builder
}
