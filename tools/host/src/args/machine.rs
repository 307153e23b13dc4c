//! The machine that a command boots.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use gupsync_bench::Spec;

use super::bounds::number;
use crate::ending::{Usage, demand};
use crate::image::{Bootloader, Choice};
use crate::qemu::{Accel, Firmware, Machine, Ovmf, Tuning};

/// The machine to boot.
#[derive(Clone, Debug, Args)]
pub struct MachineArgs {
    /// How many CPUs the machine has; by default 8, or more if the settings need more.
    #[arg(long, value_name = "N", value_parser = parse_cpus)]
    pub cpus: Option<usize>,
    /// What executes the guest: tcg-single to count, tcg-multi to race, kvm if asked for; sim, if no kernel is to run.
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
    /// Which bootloader: from an ISO Limine if found (LIMINE_DIR, the system's folders), or from a folder, or the built-in
    /// one; else the built-in one that QEMU starts directly, which boots soonest.
    #[arg(long, value_name = "auto|builtin|direct|DIR", default_value = "auto")]
    pub limine: Choice,
    /// What the machine starts with; by default UEFI, unless it boots directly.
    #[arg(long, value_enum)]
    pub firmware: Option<Firmware>,
    /// The files of OVMF to start with: its code, and its variables if they are in a file of their own.
    #[arg(long, value_name = "CODE[,VARS]")]
    pub ovmf: Option<Ovmf>,
    /// QEMU's CPU model, in place of `max` (tcg) or `host` (kvm).
    #[arg(long, value_name = "MODEL", value_parser = NonEmptyStringValueParser::new())]
    pub cpu_model: Option<String>,
    /// An argument that is appended to QEMU's command line; may be given several times.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub qemu_arg: Vec<String>,
}

/// What is seen of a boot while it runs.
#[derive(Clone, Debug, Args)]
pub struct ConsoleArgs {
    /// Print every line of the serial port on standard error while the machine runs.
    #[arg(long)]
    pub verbose: bool,
    /// Write every line of the serial port there, as it came.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// What is left of a boot.
#[derive(Clone, Debug, Args)]
pub struct KeepArgs {
    /// Keep what each boot used, there or in a new folder: image, kernel, QEMU's command line and all the console.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    pub keep: Option<Option<PathBuf>>,
}

/// The most CPUs: so many the kernel runs. Without x2APIC there are no more than 255.
const MAX_CPUS: usize = 512;
/// As many as there are usually.
const USUAL_CPUS: usize = 8;

fn parse_cpus(text: &str) -> Result<usize, String> {
    number::<1, { gupsync_sim::MAX_CPUS as u64 }>(text).map(|cpus| cpus as usize)
}

impl MachineArgs {
    /// As many CPUs as were asked for; else as there are usually, or more if `specs` need more.
    pub fn cpus_for(&self, specs: &[Spec]) -> usize {
        let can_run = |cpus: &usize| specs.iter().all(|spec| spec.check(*cpus).is_ok());
        let least = || (USUAL_CPUS..=MAX_CPUS).find(can_run).unwrap_or(USUAL_CPUS);
        self.cpus.unwrap_or_else(least)
    }

    /// The machine, of so many CPUs, on which `bootloader` runs.
    ///
    /// # Errors
    ///
    /// One line that names what does not go together.
    pub fn machine(&self, cpus: usize, bootloader: &Bootloader) -> Result<Machine, Usage> {
        let is_sim = self.accel == Accel::Sim;
        demand(is_sim || cpus <= MAX_CPUS, || {
            format!("--cpus {cpus}: the kernel runs {MAX_CPUS} at most; use fewer, or --accel sim")
        })?;
        // Firmware, kernel and workload take this much, in MiB, as measured with OVMF.
        let least = 72 + cpus as u64 / 2;
        let memory = self.memory.unwrap_or(512.max(least));
        let too_little =
            || format!("--memory {memory}: {cpus} CPUs need at least {least} MiB; use --memory {least}");
        demand(is_sim || memory >= least, too_little)?;
        let accel = self.accel;
        demand(!self.icount || accel == Accel::TcgSingle, || {
            format!("--icount: counts in tcg-single only; leave out --accel {accel} or --icount")
        })?;
        let firmware = bootloader.firmware(self.firmware)?;
        demand(self.ovmf.is_none() || firmware == Firmware::Uefi, || {
            "--ovmf: is for UEFI; leave it out, or --firmware bios, or --limine direct".to_owned()
        })?;
        let tuning =
            Tuning { cpu_model: self.cpu_model.clone(), ovmf: self.ovmf.clone(), args: self.qemu_arg.clone() };
        let Self { accel, icount, .. } = *self;
        Ok(Machine { accel, icount, cpus, memory, firmware, tuning, trace: None })
    }

    /// The bootloader, found.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub fn bootloader(&self) -> Result<Bootloader, Usage> {
        let is_for_uefi = self.firmware == Some(Firmware::Uefi) || self.ovmf.is_some();
        let own = if is_for_uefi { Bootloader::Builtin } else { Bootloader::Direct };
        Bootloader::find(&self.limine, own)
    }

    /// The hard limit of a boot.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
