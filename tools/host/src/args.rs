//! The command line.

mod bounds;
mod compare;
mod cost;
mod error;
mod format;
mod help;
pub mod kernel;
pub mod linux;
mod machine;
mod named;
pub mod report;
pub mod scale;
mod settings;
mod workloads;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::env::Shells;

use crate::image::Choice;
pub use bounds::in_flags;
use bounds::number;
pub use compare::{CompareArgs, DiffArgs};
pub use cost::CostArgs;
pub use error::explain;
pub use format::Format;
use help::with_statuses;
pub use machine::{ConsoleArgs, KeepArgs, MachineArgs};
pub use settings::Settings;
pub use workloads::WorkloadArgs;

/// Compares policies of GUP-fast synchronisation on a kernel that runs in QEMU.
#[derive(Debug, Parser)]
#[command(
    name = "tools/gupsync",
    version,
    max_term_width = 110,
    after_help = with_statuses("\
Examples:
  tools/gupsync compare                          all safe policies, INVLPGB off and on
  tools/gupsync compare --cpus 64 --mm-cpus 64 --ops 10240 --invlpgb off
  tools/gupsync test                             every test, boot tests included")
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one workload under several policies and compare what they cost.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync compare
  tools/gupsync compare --cpus 16 --mm-cpus 3 --invlpgb on --json result.json
  tools/gupsync compare --policy never,pending --invlpgb on --cpus 8 --mm-cpus 6
  tools/gupsync compare --accel tcg-multi --cpus 4 --ops 200
  tools/gupsync compare --workload mixed --cpus 16 --switchers 1 --flushers 1 --isolated 1 --invlpgb on
  tools/gupsync compare --workload unshare --sharers 4 --tables 4 --policy broadcast,pending
  tools/gupsync compare --workload protect,unmap --mm-cpus 1 --lazy 3
  tools/gupsync compare --workload all                          on as many CPUs as the largest needs
  tools/gupsync compare --workload collapse,unmap,protect --with-linux
  tools/gupsync compare --repeat 5 --wide                       least, median and most of what is not exact
  tools/gupsync compare --format markdown --wide
  tools/gupsync compare --dry-run --cpu-model EPYC-v4           QEMU's command line, nothing is run"))]
    Compare(Box<CompareArgs>),
    /// Run the same work on simulated machines of 1 to 8,192 CPUs, and show how the cost grows.
    #[command(
        mut_arg("mm_cpus", scale::mm_cpus),
        mut_arg("order", scale::order),
        mut_arg("isolated", |isolated| isolated.default_value("1")),
        after_help = with_statuses("\
Nothing is booted: the code that decides is the kernel's, its counts are exact, and times are modelled (tools/sim/src/costs.rs).

Examples:
  tools/gupsync scale
  tools/gupsync scale --ops 10240 --json scale.json
  tools/gupsync scale --cpus 64,1024 --mm-cpus all --invlpgb on --policy broadcast,mask,pending
  tools/gupsync scale --ops 10240 --cpus 64 --mm-cpus 1,3,8 --order 9,4,2      also mTHPs of 64 and 16 KiB"))]
    Scale(Box<scale::ScaleArgs>),
    /// Compare two files of `compare --json`, row by row.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync compare --json base.json; git switch mine; tools/gupsync compare --json new.json
  tools/gupsync diff base.json new.json
  tools/gupsync diff --tolerance 5 --fail-on-timing base.json new.json

Status 1: an exact count differs, a row is missing, or one of the second file did not end as promised."))]
    Diff(DiffArgs),
    /// Count the instructions of walks, unlinks, syncs, flushes, switches and operations, for every policy.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync cost
  tools/gupsync cost --json cost.json
  tools/gupsync cost --explain sync_covered,walk_1               each instruction that a policy adds, and its line
  tools/gupsync cost --format markdown

Every run gives the same numbers, for one build of the kernel. Status 1: a piece costs more than is promised."))]
    Cost(CostArgs),
    /// Write one page of HTML that shows the question, what was found, and how to check it.
    #[command(after_help = with_statuses("\
The page loads nothing and can be read without JavaScript. Its timelines are made by the simulator, whatever else it shows.

Examples:
  tools/gupsync report --out report.html                        of what the simulator counts in a few seconds
  tools/gupsync report --json compare.json scale.json proof.json --out report.html"))]
    Report(report::ReportArgs),
    /// Run scenarios drawn at random, and make the first that fails as simple as it can be.
    #[command(
        mut_arg("cpus", |cpus| cpus.default_value("4")),
        mut_arg("timeout", |timeout| timeout.default_value("120")),
        // Five mms that collapse several ranges at a time keep more than 512 MiB of them.
        mut_arg("memory", |memory| memory.default_value("1024")),
        after_help = with_statuses("\
Examples:
  tools/gupsync stress                                          a minute, four CPUs
  tools/gupsync stress --minutes 60 --accel tcg-multi --seed 7
  tools/gupsync stress --minutes 0 --cpus 16                    one boot

The same seed and number of CPUs give the same scenarios in the same order."))]
    Stress(StressArgs),
    /// Write a bootable ISO with the menu of limine.conf.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync iso --out gupsync.iso
  tools/gupsync iso --out gupsync.iso --limine /path/to/limine-8.2-binary"))]
    Iso(IsoArgs),
    /// Boot once with this command line, the serial port on the terminal.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync run --cmdline \"invlpgb=on mm_cpus=6 ops=10 policy=pending\"
  tools/gupsync run --cpus 2 --cmdline \"mm_cpus=2 fail=panic\"
  tools/gupsync run --gdb --cmdline ops=10                      waits for the gdb whose line it prints
  tools/gupsync run --keep=boot --cmdline ops=10; boot/qemu.sh  the same once more, by hand"))]
    Run(RunArgs),
    /// Run every test: library, models, loader, and boots in QEMU.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync test
  tools/gupsync test --mutants
  tools/gupsync test --ktap >results.ktap                       for a robot that reads Linux's form
  tools/gupsync test trace::                                    only tests with this in their names
  LIMINE_DIR=/path/to/limine-8.2-binary tools/gupsync test      boots under real Limine too"))]
    Test(TestArgs),
    /// Check the library by model checkers, and see them catch every mistake of tests/mutants.
    #[command(after_help = with_statuses("\
Two checkers run the shipped code: loom (C++20, up to a bound on preemptions) and an explorer of x86-TSO
(every execution, store buffers and asynchronous interrupts included).

Examples:
  tools/gupsync prove                            properties and mutants, a one-page table
  tools/gupsync prove --traces                   with the shortest executions that break a mutant on x86
  tools/gupsync prove --orderings                and every ordering weakened, every fence dropped, one at a time
  tools/gupsync prove --deep                     one more preemption for loom, 40 million states for x86-TSO
  tools/gupsync prove --deep=120 --models        the same, two minutes for each model at most; each on a line
  tools/gupsync prove --json proof.json          the same for tools/gupsync report, with these executions
  tools/gupsync prove --list                     what each mutant is, and what it stands for
  tools/gupsync prove --table                    what each ordering pairs with, into tests/orderings.md
  tools/gupsync prove --litmus                   tests/litmus under herd7: Linux's memory model and four others
  tools/gupsync prove --litmus --modules DIR     the same tests as sources for klitmus7
  tools/gupsync prove shared::                   only what has this in its name"))]
    Prove(ProveArgs),
    /// Count the same operations on a real Linux, in the same QEMU.
    #[command(subcommand)]
    Linux(linux::LinuxCommand),
    /// Say of everything that is needed whether it is there, and how to get what is not.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync doctor
  tools/gupsync doctor --limine /path/to/limine-8.2-binary"))]
    Doctor(DoctorArgs),
    /// Print what makes a shell complete the arguments of tools/gupsync, names in comma lists included.
    #[command(after_help = with_statuses("\
Examples:
  source <(tools/gupsync completions bash)
  tools/gupsync completions fish | source"))]
    Completions(CompletionsArgs),
    /// Print the manual page of a command.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync man compare | man -l -
  tools/gupsync man linux check >gupsync-linux-check.1"))]
    Man(ManArgs),
    /// Print the JSON Schema of what --json writes.
    #[command(after_help = with_statuses("\
Examples:
  tools/gupsync schema >gupsync.schema.json"))]
    Schema,
}

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Which bootloader: Limine if found (LIMINE_DIR, the system's folders) else the built-in one, or a folder.
    #[arg(long, value_name = "auto|builtin|DIR", default_value = "auto")]
    pub limine: Choice,
}

/// Arguments of `completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell.
    #[arg(value_name = "SHELL", value_parser = PossibleValuesParser::new(Shells::builtins().names()))]
    pub shell: String,
}

/// Arguments of `man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Of which command; by default of all together.
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Arguments of `stress`.
#[derive(Clone, Debug, Args)]
pub struct StressArgs {
    /// No boot is begun after so many minutes; 0 is one boot.
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = number::<0, { 366 * 24 * 60 }>)]
    pub minutes: u64,
    /// Draws the scenarios.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = number::<0, { u64::MAX }>)]
    pub seed: u64,
    /// What is seen of it.
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Arguments of `iso`.
#[derive(Clone, Debug, Args)]
pub struct IsoArgs {
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Which bootloader: Limine if found (LIMINE_DIR, the system's folders) else the built-in one, or a folder.
    #[arg(long, value_name = "auto|builtin|DIR", default_value = "auto")]
    pub limine: Choice,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The kernel's command line, as in limine.conf.
    #[arg(long, value_name = "key=value ...", default_value = "")]
    pub cmdline: String,
    /// Print the kernel's command line and QEMU's, and run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Have the machine wait for gdb, print the line that starts that with the kernel's symbols, and set no time limit.
    #[arg(long, conflicts_with_all = ["dry_run", "keep"])]
    pub gdb: bool,
    /// Write what happened there, as a trace for Perfetto: with few operations. The kernel is one that records.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub trace: Option<PathBuf>,
    /// What is left of it.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Arguments of `prove`.
#[derive(Clone, Debug, Default, Args)]
pub struct ProveArgs {
    /// Deep bounds, and so many seconds for each model.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "3600",
        value_parser = number::<1, { 24 * 60 * 60 }>
    )]
    pub deep: Option<u64>,
    /// No mutants.
    #[arg(long)]
    pub properties: bool,
    /// Weaken every ordering and drop every fence too.
    #[arg(long)]
    pub orderings: bool,
    /// Print the shortest execution that breaks each mutant under x86-TSO.
    #[arg(long, conflicts_with = "properties")]
    pub traces: bool,
    /// Print a line for each model, not for each property.
    #[arg(long)]
    pub models: bool,
    /// Say what the mutants are, and run nothing.
    #[arg(long, conflicts_with = "table")]
    pub list: bool,
    /// Write tests/orderings.md, what each ordering of src/ pairs with, from the comments above them; run nothing.
    #[arg(long)]
    pub table: bool,
    /// Run the litmus tests of tests/litmus under five memory models by herd7, and nothing else.
    #[arg(long, conflicts_with_all = ["deep", "properties", "orderings", "traces", "list", "table"])]
    pub litmus: bool,
    /// Write the litmus tests here, and what klitmus7 makes of them if it is there; run nothing.
    #[arg(long, value_name = "DIR", requires = "litmus")]
    pub modules: Option<PathBuf>,
    /// Where to write what was proved as JSON, with the shortest execution that breaks each mutant under x86-TSO.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "table", "litmus"])]
    pub json: Option<PathBuf>,
    /// Only models, mutants and litmus tests whose names contain this.
    pub filter: Option<String>,
    /// Part of a larger run, in which the filter may mean other tests, and loom's bounds are small where nothing is wrong.
    #[arg(skip)]
    pub is_part: bool,
    /// Small bounds for the explorer of x86 too.
    #[arg(skip)]
    pub small: bool,
}

/// Arguments of `test`.
#[derive(Clone, Debug, Args)]
pub struct TestArgs {
    /// Make every mistake of tests/mutants too, and see each of them caught.
    #[arg(long)]
    pub mutants: bool,
    /// Tests that need Node, Binaryen, chromium or protoc fail where these are not there; else they are skipped, with the reason.
    #[arg(long)]
    pub browser: bool,
    /// List the tests, and run none.
    #[arg(long)]
    pub list: bool,
    /// Print KTAP, and go on after a step in which something failed.
    #[arg(long, conflicts_with = "list")]
    pub ktap: bool,
    /// Run only the tests whose names contain this, and build only what they need.
    pub filter: Option<String>,
}
