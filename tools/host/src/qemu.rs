//! Running QEMU: typed arguments, a hard timeout, and an end that cannot be taken for another.

pub mod abilities;
mod end;
mod lines;
mod ovmf;
mod running;
mod variables;

use std::fmt;
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use abilities::{ApicWrites, PROGRAM, has_x2apic, missing};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use variables::Variables;

use crate::child;

pub use end::End;
pub use ovmf::Ovmf;
pub use running::Running;

/// The most CPUs without x2APIC: an xAPIC ID has eight bits, and 255 means all.
const XAPIC_CPUS: usize = 255;

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// One thread for all CPUs: for counting.
    TcgSingle,
    /// A thread for each: for racing.
    TcgMulti,
    /// The host's CPU.
    Kvm,
    /// Nothing: no kernel is booted, the simulated machine plays it.
    Sim,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accel::TcgSingle => "tcg-single",
            Accel::TcgMulti => "tcg-multi",
            Accel::Kvm => "kvm",
            Accel::Sim => "sim",
        })
    }
}

/// What the machine starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Firmware {
    /// OVMF.
    Uefi,
    /// SeaBIOS.
    Bios,
}

/// What a machine boots from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Medium {
    /// An ISO.
    Iso(PathBuf),
    /// Nothing: QEMU starts the loader, and hands it the bundle of configuration and kernel.
    Direct {
        /// The loader.
        loader: PathBuf,
        /// The bundle.
        bundle: PathBuf,
    },
    /// Nothing: QEMU starts a Linux.
    Linux {
        /// Its bzImage.
        kernel: PathBuf,
        /// Its initramfs.
        initrd: PathBuf,
        /// Its command line.
        cmdline: String,
    },
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What executes the guest's instructions.
    pub accel: Accel,
    /// Whether time is counted in instructions.
    pub icount: bool,
    /// How many CPUs.
    pub cpus: usize,
    /// Memory, in MiB.
    pub memory: u64,
    /// Firmware.
    pub firmware: Firmware,
    /// What replaces or follows QEMU's usual arguments.
    pub tuning: Tuning,
    /// Where to write a trace of interrupts taken and APIC registers written.
    pub trace: Option<PathBuf>,
}

impl Machine {
    /// One for counting: its CPUs take turns, so that the same seed gives the same counts. It boots directly.
    #[must_use]
    pub fn for_counting(cpus: usize) -> Self {
        Machine {
            accel: Accel::TcgSingle,
            icount: false,
            cpus,
            memory: 512,
            firmware: Firmware::Bios,
            tuning: Tuning::default(),
            trace: None,
        }
    }
}

/// What replaces or follows QEMU's usual arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// The CPU model; by default all that the accelerator has.
    pub cpu_model: Option<String>,
    /// OVMF's code and variables; by default those of the system.
    pub ovmf: Option<Ovmf>,
    /// What is appended.
    pub args: Vec<String>,
}

/// The arguments with which a machine waits for a debugger, on that socket, before its first instruction.
pub fn gdb_stub(socket: &Path) -> [String; 5] {
    let at = format!("socket,path={},server=on,wait=off,id=gdb", socket.display());
    ["-chardev", &at, "-gdb", "chardev:gdb", "-S"].map(str::to_owned)
}

/// The version of the QEMU that is installed.
///
/// # Errors
///
/// If there is none.
pub fn version() -> Result<String> {
    let output = child::output(Command::new(PROGRAM).arg("--version")).with_context(missing)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().next().unwrap_or_default();
    Ok(line.trim_start_matches("QEMU emulator version ").to_owned())
}

impl Machine {
    /// The version of the QEMU that it is run by, if it is.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn version(&self) -> Result<Option<String>> {
        (self.accel != Accel::Sim).then(version).transpose()
    }

    /// Boots from `medium` and hands each line of the serial port to `on_line`, until the machine ends, `timeout` is over,
    /// `on_line` says that it has heard enough, or a signal comes. Returns how it ended, and the last that QEMU itself
    /// has said.
    ///
    /// # Errors
    ///
    /// If QEMU cannot be started.
    pub fn run(
        &self,
        medium: &Medium,
        timeout: Duration,
        on_line: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(End, String)> {
        let variables = self.variables()?;
        let drive = variables.as_ref().map(Variables::drive);
        let mut command = self.command(medium, drive)?;
        let (end, said) =
            Running::start(command.process_group(0)).with_context(missing)?.wait(timeout, on_line)?;
        if let (End::Kernel(_), Some(variables)) = (end, variables) {
            variables.keep()?;
        }
        Ok((end, said))
    }

    /// Starts it, to be listened to by its owner.
    ///
    /// # Errors
    ///
    /// If QEMU cannot be started.
    pub fn start(&self, medium: &Medium) -> Result<Running> {
        let mut command = self.command(medium, None)?;
        Running::start(command.process_group(0)).with_context(missing)
    }

    /// The command line that boots from `medium`, as a shell reads it.
    ///
    /// # Errors
    ///
    /// If there is no such machine here.
    pub fn line(&self, medium: &Medium) -> Result<String> {
        let command = self.command(medium, None)?;
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let from = words.iter().position(|word| word == PROGRAM).context("it is QEMU that is run")?;
        Ok(shlex::try_join(words[from..].iter().map(|word| &**word))?)
    }

    /// Refuses CPUs that have no number, rather than leave it to QEMU, which asks for KVM.
    fn check_cpus(&self) -> Result<()> {
        let is_chosen = self.accel == Accel::Kvm || self.tuning.cpu_model.is_some();
        if self.cpus > XAPIC_CPUS && !is_chosen && !has_x2apic()? {
            let (cpus, version) = (self.cpus, version()?);
            bail!(
                "--cpus {cpus}: QEMU {version} has no x2APIC under {}, and an xAPIC numbers {XAPIC_CPUS} CPUs; \
                 use --cpus {XAPIC_CPUS} or less, or QEMU 9 or later",
                self.accel
            )
        }
        Ok(())
    }

    fn ovmf(&self) -> Result<Option<Ovmf>> {
        match self.firmware {
            Firmware::Uefi => self.tuning.ovmf.clone().map_or_else(Ovmf::of_system, Ok).map(Some),
            Firmware::Bios => Ok(None),
        }
    }

    /// The firmware's variables, if it has a file for them, and no device that only this machine has.
    fn variables(&self) -> Result<Option<Variables>> {
        let Some(ovmf) = self.ovmf()?.filter(|_| self.tuning.args.is_empty()) else { return Ok(None) };
        ovmf.vars.as_ref().map(|vars| Variables::of(&ovmf, vars)).transpose()
    }

    /// `variables` is the drive for the firmware's; none for those that its package has.
    fn command(&self, medium: &Medium, variables: Option<String>) -> Result<Command> {
        // Ends QEMU with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", PROGRAM]);
        if self.accel == Accel::Kvm && !Path::new("/dev/kvm").exists() {
            bail!("--accel kvm: there is no /dev/kvm here; use tcg-single or tcg-multi");
        }
        self.check_cpus()?;
        command.args(["-nodefaults", "-machine", "q35", "-display", "none", "-serial", "stdio", "-no-reboot"]);
        command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-boot", "menu=on,splash-time=0"]);
        command.args(["-smp", &self.cpus.to_string(), "-m", &self.memory.to_string()]);
        let (accel, model) = match self.accel {
            Accel::TcgSingle => ("tcg,thread=single", "max"),
            Accel::TcgMulti => ("tcg,thread=multi", "max"),
            Accel::Kvm => ("kvm", "host"),
            Accel::Sim => bail!("--accel sim: boots nothing; use tcg-single, tcg-multi or kvm"),
        };
        command.args(["-accel", accel, "-cpu", self.tuning.cpu_model.as_deref().unwrap_or(model)]);
        if self.icount {
            command.args(["-icount", "shift=3,sleep=off"]);
        }
        if let Some(trace) = &self.trace {
            command.args(["-trace", ApicWrites::find()?.event, "-d", "int", "-D"]).arg(trace);
        }
        if let Some(ovmf) = self.ovmf()? {
            // Writable, if it holds the variables too: QEMU drops what is written.
            let mode = if ovmf.vars.is_some() { "readonly=on" } else { "snapshot=on" };
            let code = ovmf.code.display();
            command.args(["-drive", &format!("if=pflash,format=raw,unit=0,{mode},file={code}")]);
            let as_packaged = |vars| Variables::Kept(vars).drive();
            if let Some(drive) = variables.or(ovmf.vars.map(as_packaged)) {
                command.args(["-drive", &drive]);
            }
        }
        match medium {
            Medium::Iso(iso) => command.arg("-cdrom").arg(iso),
            Medium::Direct { loader, bundle } => command.arg("-kernel").arg(loader).arg("-initrd").arg(bundle),
            Medium::Linux { kernel, initrd, cmdline } => {
                command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd).args(["-append", cmdline])
            }
        };
        command.args(&self.tuning.args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}
