//! gupsync's kernel: the scenarios of the library, on real CPUs, page tables and interrupts.
//!
//! Boots by the Limine protocol, brings up all CPUs, runs the comparison that its command line asks for, writes
//! one line for each row to the serial port, and ends the machine with an exit code of its own.
//!
//! All `unsafe` of the kernel is here in `arch/`: the library has none.

#![no_std]
#![no_main]

extern crate alloc;
/// Checked for the host, as editors do, the kernel takes the panic handler from here; it runs only without.
#[cfg(not(target_os = "none"))]
extern crate std;

mod acpi;
mod apic;
mod boot;
mod cost;
mod cpu_id;
mod emulate;
mod exit;
mod fail;
mod frames;
mod halt;
mod hw;
mod paging;
mod percpu;
mod pit;
mod posture;
mod run;
mod serial;
mod smp;
mod task;
mod tlb;
mod trace;
mod trap_frame;
mod traps;
mod vector;

use alloc::vec::Vec;
use core::arch::naked_asm;

use gupsync::types::CpuId;
use gupsync_bench::report;
use linked_list_allocator::LockedHeap;
use spin::Once;

use crate::boot::BootInfo;

#[global_allocator]
static HEAP: LockedHeap = LockedHeap::empty();
const HEAP_BYTES: usize = 16 << 20;

static BOOT: Once<BootInfo> = Once::new();
/// The page from which the other CPUs start.
static TRAMPOLINE: Once<u64> = Once::new();

/// Where the bootloader enters, on a stack of its own, which has no guard.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    serial::init();
    traps::init_early();
    let boot = BOOT.call_once(boot::info);
    log::info!("gupsync {}", env!("CARGO_PKG_VERSION"));
    serial::line(format_args!("{}{} {}", report::LOADER, boot.bootloader, boot.version));
    TRAMPOLINE.call_once(|| frames::init(boot.hhdm, boot::regions()));
    paging::init(boot, boot::regions());
    let heap = frames::carve(HEAP_BYTES as u64);
    // SAFETY: `carve` gave this memory to no other caller, for good.
    unsafe { HEAP.lock().init(heap, HEAP_BYTES) };
    percpu::map_stacks(CpuId(0));
    enter_on(percpu::stack_top(CpuId(0)), main)
}

/// What every CPU does to itself.
fn set_up(id: CpuId) {
    paging::enter();
    percpu::init(id);
    traps::init();
    apic::enable(id);
    tlb::init();
}

/// Where the other CPUs enter, each on its own stack.
extern "C" fn start_other(id: usize) -> ! {
    let id = CpuId(id);
    set_up(id);
    smp::report_online();
    x86_64::instructions::interrupts::enable();
    run::serve(id)
}

/// The first CPU, on its own stack.
extern "C" fn main() -> ! {
    let boot = BOOT.get().expect("booted");
    let cpus = acpi::count_cpus(boot.rsdp);
    apic::init();
    let mode = if apic::is_x2apic() { "x2APIC" } else { "xAPIC" };
    let most = apic::most_cpus();
    assert!(cpus <= most, "{cpus} CPUs; with {mode} this kernel runs at most {most}");
    (1..cpus).map(CpuId).for_each(percpu::map_stacks);
    emulate::init(cpus);
    task::init(cpus);
    set_up(CpuId(0));
    smp::start_others(cpus, *TRAMPOLINE.get().expect("set aside"), start_other);
    hw::set_cpus(cpus);
    trace::init(cpus);
    log::info!("{cpus} CPUs online, {mode}, {} MiB free", frames::untouched() >> 20);
    // For those who read a trace of the machine: it knows CPUs by these.
    log::info!("APIC IDs: {:?}", apic::ids(cpus).collect::<Vec<_>>());
    match posture::check() {
        Ok(posture) => log::info!("{posture}"),
        Err(breach) => exit::breach(&breach),
    }
    x86_64::instructions::interrupts::enable();
    log::info!("command line: {}", boot.cmdline);
    let all = if boot.cmdline == gupsync_bench::cost::COMMAND { cost::all() } else { run::all(boot.cmdline) };
    exit::exit(all)
}

/// Leaves the current stack for good.
#[unsafe(naked)]
extern "C" fn enter_on(stack: u64, function: extern "C" fn() -> !) -> ! {
    naked_asm!("mov rsp, rdi", "xor ebp, ebp", "push 0", "jmp rsi")
}
