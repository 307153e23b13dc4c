//! Arguments of `linux`.

pub mod check;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use gupsync_bench::Spec;
use gupsync_bench::spec::{Toggle, Workload};

use super::bounds::number;
use super::help::with_statuses;
use super::kernel::KernelArgs;
use super::machine::ConsoleArgs;
use super::settings::Settings;
use super::workloads::WorkloadArgs;
use crate::linux::machine;
use crate::qemu::{Accel, Machine};

/// What to do with a real Linux.
#[derive(Clone, Debug, Subcommand)]
pub enum LinuxCommand {
    /// Count the calls of a real Linux at the operations of `compare`.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync linux count --workload collapse,unshare,unmap,protect --cpus 8 --mm-cpus 4
  tools/gupsync linux count --mm-cpus 1 --lazy 3 --cpus 4 --ops 100
  tools/gupsync linux count --kernel arch/x86/boot/bzImage --append debug

Without --kernel, Debian's newest kernel is fetched into ~/.cache/gupsync and not installed."))]
    Count(Box<CountArgs>),
    /// Hold a walker inside GUP-fast, and say whether operations that unlink page tables wait for it.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync linux check
  tools/gupsync linux check --kernel arch/x86/boot/bzImage --self-test --rounds 30
  tools/gupsync linux check --test three,leak --flush pv --verbose
  tools/gupsync linux check --kernel $(tools/gupsync linux build) --flush ipi,pv,invlpgb

Status 1: a sync is missing, or a self-test failed. Status 3: inconclusive."))]
    Check(Box<check::CheckArgs>),
    /// Write the program that counts into a folder, to be run on any Linux machine.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync linux export --out gup-sync && sudo gup-sync/run.sh"))]
    Export(ExportArgs),
    /// Build a Linux of Debian's source with the series of tools/linux, or with patches.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync linux build
  tools/gupsync linux count --kernel $(tools/gupsync linux build) --append gupsync=mask
  tools/gupsync linux build --series none --patch 0001-mine.patch --out kernel

As root it installs what a kernel build needs; the source is fetched into ~/.cache/gupsync. tools/linux/README.md says what
the steps are, and what gupsync= on a kernel's command line chooses."))]
    Build(BuildArgs),
    /// Run Linux's own selftests of mm, built from Debian's source, on a kernel.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync linux selftests --kernel $(tools/gupsync linux build)
  tools/gupsync linux selftests --kernel $(tools/gupsync linux build) --append setcpuid=pcid,419 --test gup_test,khugepaged

tools/linux/selftests names the tests. Status 1: a test failed, or the kernel complained. A test that is skipped, or cannot be
built, is not passed; status 3: none was."))]
    Selftests(SelftestsArgs),
}

/// Arguments of `linux selftests`.
#[derive(Clone, Debug, Args)]
pub struct SelftestsArgs {
    /// The kernel.
    #[command(flatten)]
    pub boot: KernelArgs,
    /// Which tests: the names of their programs, separated by commas; by default all of tools/linux/selftests.
    #[arg(long, value_name = "p,p,...", value_delimiter = ',')]
    pub test: Vec<String>,
    /// Run all of them again until so many minutes are over.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = number::<1, 100_000>)]
    pub minutes: u64,
    /// How many CPUs the machine has.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = |text: &str| number::<1, 64>(text).map(|cpus| cpus as usize))]
    pub cpus: usize,
    /// Memory of the machine.
    #[arg(long, value_name = "MiB", default_value_t = 3072, value_parser = number::<{ 1024 }, { 1 << 20 }>)]
    pub memory: u64,
    /// Kill a test after so many seconds: it has failed.
    #[arg(long, value_name = "S", default_value_t = 900, value_parser = number::<1, 100_000>)]
    pub limit: u64,
    /// Print what each run says last, and every line of the console, on standard error.
    #[arg(long)]
    pub verbose: bool,
}

/// The Linux, and the machine that it boots on.
#[derive(Clone, Debug, Args)]
pub struct LinuxArgs {
    /// The kernel.
    #[command(flatten)]
    pub boot: KernelArgs,
    /// What its rows are called, after `linux-`; by default its version.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,
    /// How many CPUs the machine has; by default as many as the threads need, and two at least.
    #[arg(long, value_name = "N", value_parser = |text: &str| number::<1, 255>(text).map(|cpus| cpus as usize))]
    pub cpus: Option<usize>,
    /// Memory of the machine; by default enough for its CPUs.
    #[arg(long, value_name = "MiB", value_parser = number::<{ 256 }, { 1 << 20 }>)]
    pub memory: Option<u64>,
    /// Stop a boot after so many seconds.
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = number::<{ 1 }, { 7 * 24 * 60 * 60 }>)]
    pub timeout: u64,
    /// QEMU's CPU model, in place of `max,la57=off`.
    #[arg(long, value_name = "MODEL", value_parser = NonEmptyStringValueParser::new())]
    pub cpu_model: Option<String>,
}

impl LinuxArgs {
    /// The machine, of so many CPUs.
    #[must_use]
    pub fn machine(&self, cpus: usize) -> Machine {
        machine::machine(cpus, self.memory, self.cpu_model.clone(), self.boot.qemu_arg.clone())
    }
}

/// Arguments of `linux count`.
#[derive(Clone, Debug, Args)]
pub struct CountArgs {
    /// What is done.
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// All other settings; those that a real Linux cannot be told are refused.
    #[command(flatten)]
    pub settings: Settings,
    /// Count MADV_DONTNEED of --pages pages, too: no workload here does that, so it has no row.
    #[arg(long)]
    pub dontneed: bool,
    /// Show every column.
    #[arg(long)]
    pub wide: bool,
    /// Where to write the rows as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Print which kernel would be booted and QEMU's command line, and run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// What is seen of it.
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// The Linux.
    #[command(flatten)]
    pub linux: LinuxArgs,
}

impl CountArgs {
    /// What is asked for `workload`.
    #[must_use]
    pub fn spec(&self, workload: Workload) -> Spec {
        self.settings.spec(workload, Toggle::Off, Accel::TcgSingle)
    }
}

/// Arguments of `linux export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The folder to write it into.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Arguments of `linux build`.
#[derive(Clone, Debug, Args)]
pub struct BuildArgs {
    /// Which steps of the series: their names, separated by commas.
    #[arg(long, value_name = "s,s,...|all|none", default_value = "all")]
    pub series: String,
    /// A patch on top, as git writes it; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub patch: Vec<PathBuf>,
    /// A fragment of a configuration, whose settings take the place of those of tools/linux/config; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Where to put bzImage, config, System.map and all changes as one patch.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
