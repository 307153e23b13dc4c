//! Ending the run: a reason that can be read, and an exit code that only this kernel produces.

use gupsync_bench::report::ExitCode;
use x86_64::instructions::{hlt, interrupts, port::Port};

use crate::{cpu_id, serial};

/// The port of QEMU's `isa-debug-exit`; QEMU ends with status 2 * value + 1.
const DEBUG_EXIT: u16 = 0xf4;

/// Ends the run.
pub fn exit(code: ExitCode) -> ! {
    serial::drain();
    // SAFETY: the port ends the run, or no device is there.
    unsafe { Port::<u32>::new(DEBUG_EXIT).write(code as u32) };
    // Without that device: on real hardware, or in a machine started by hand.
    interrupts::disable();
    loop {
        hlt();
    }
}

/// Ends a run that the machine is too small for.
pub fn no_memory(bytes: u64) -> ! {
    serial::emergency(format_args!("not enough memory: {bytes} bytes more were needed; give the machine more"));
    exit(ExitCode::Memory)
}

/// Ends a run whose machine is not in the posture that it must be in.
pub fn breach(what: &dyn core::fmt::Display) -> ! {
    serial::emergency(format_args!("boot posture: {what}"));
    exit(ExitCode::Panic)
}

/// Ends a run that an exception has struck.
pub fn exception(what: core::fmt::Arguments<'_>) -> ! {
    serial::emergency(format_args!("exception on CPU {}: {what}", cpu_id::get_or_boot().0));
    exit(ExitCode::Exception)
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    serial::emergency(format_args!("panic on CPU {}: {info}", cpu_id::get_or_boot().0));
    exit(ExitCode::Panic)
}
