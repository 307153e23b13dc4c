//! The machine that a command boots.

use std::time::Duration;

use clap::Args;

use super::bounds::number;
use crate::ending::{Usage, demand};
use crate::image::{Bootloader, Choice};
use crate::qemu::{Accel, Firmware, Machine};

/// The machine to boot.
#[derive(Clone, Debug, Args)]
pub struct MachineArgs {
    /// How many CPUs the machine has.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = parse_cpus)]
    pub cpus: usize,
    /// What executes the guest: tcg-single to count, tcg-multi to race, kvm if asked for.
    #[arg(long, value_enum, default_value_t = Accel::TcgSingle)]
    pub accel: Accel,
    /// Count time in instructions, identical from run to run (tcg-single only).
    #[arg(long)]
    pub icount: bool,
    /// Memory of the machine; by default enough for its CPUs.
    #[arg(long, value_name = "MiB", value_parser = number::<{ 1 }, { 1 << 20 }>)]
    pub memory: Option<u64>,
    /// Stop a boot after so many seconds.
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = number::<{ 1 }, { 7 * 24 * 60 * 60 }>)]
    pub timeout: u64,
    /// Which bootloader: Limine if found (LIMINE_DIR, the system's folders) else the built-in one, or a folder.
    #[arg(long, value_name = "auto|builtin|DIR", default_value = "auto")]
    pub limine: Choice,
    /// What the machine starts with.
    #[arg(long, value_enum, default_value_t = Firmware::Uefi)]
    pub firmware: Firmware,
}

/// The most CPUs: so many the kernel runs. Without x2APIC there are no more than 255.
const MAX_CPUS: u64 = 512;

fn parse_cpus(text: &str) -> Result<usize, String> {
    number::<1, MAX_CPUS>(text).map(|cpus| cpus as usize)
}

impl MachineArgs {
    /// Firmware, kernel and workload take this much, in MiB, as measured with OVMF.
    fn least_memory(&self) -> u64 {
        72 + self.cpus as u64 / 2
    }

    /// The machine.
    ///
    /// # Errors
    ///
    /// One line that names what does not go together.
    pub fn machine(&self) -> Result<Machine, Usage> {
        let least = self.least_memory();
        let memory = self.memory.unwrap_or(512.max(least));
        let too_little =
            || format!("--memory {memory}: {} CPUs need at least {least} MiB; use --memory {least}", self.cpus);
        demand(memory >= least, too_little)?;
        let accel = self.accel;
        demand(!self.icount || accel == Accel::TcgSingle, || {
            format!("--icount: counts in tcg-single only; leave out --accel {accel} or --icount")
        })?;
        let Self { accel, icount, cpus, firmware, .. } = *self;
        Ok(Machine { accel, icount, cpus, x2apic: true, memory, firmware, trace: None })
    }

    /// The bootloader, found.
    ///
    /// # Errors
    ///
    /// If it is not there, or does not go with the firmware.
    pub fn bootloader(&self) -> Result<Bootloader, Usage> {
        let bootloader = Bootloader::find(&self.limine)?;
        bootloader.check(self.firmware)?;
        Ok(bootloader)
    }

    /// The hard limit of a boot.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
