//! A QEMU with its gdb stub on a socket, vCPUs that take turns, and a serial port that is listened to all the while.
//!
//! # Guarantee
//!
//! It ends with its owner. Why it has ended too early is said by what it said last: a kernel that panics, a QEMU that refuses
//! its arguments, a machine that was reset.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use tempfile::TempDir;

use crate::artifacts::Tree;
use crate::boot::console::{Console, last_lines, printable};
use crate::linux::gdb::{Gdb, Gone};
use crate::linux::kernel::Kernel;
use crate::linux::machine;
use crate::qemu::{self, Running};
use crate::{say, stop};

/// What follows the kernel's usual arguments: what has gone wrong is to end the machine.
const APPEND: &str = "oops=panic";
/// An answer that is under way when the time is over may take so long.
const GRACE: Duration = Duration::from_secs(60);

/// What is booted.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'b> {
    /// The kernel.
    pub kernel: &'b Kernel,
    /// The files of the initramfs.
    pub files: &'b [(&'b str, &'b [u8])],
    /// How many vCPUs there are.
    pub cpus: usize,
    /// QEMU's model of a CPU.
    pub cpu: &'b str,
    /// What follows the kernel's arguments.
    pub append: &'b str,
    /// What follows QEMU's.
    pub qemu_args: &'b [String],
    /// The hard limit.
    pub timeout: Duration,
    /// Whether each line of the console is shown.
    pub is_verbose: bool,
}

/// The machine.
pub struct Vm {
    running: Running,
    console: Console,
    /// The kernel's first complaint.
    complaint: Option<String>,
    until: Instant,
    timeout: Duration,
    is_verbose: bool,
    _folder: TempDir,
}

impl Boot<'_> {
    /// Starts it; it waits at its first instruction.
    ///
    /// # Errors
    ///
    /// If QEMU cannot be started, or has no gdb stub.
    pub fn start(&self) -> Result<(Vm, Gdb)> {
        let folder = tempfile::tempdir().context("a folder for the initramfs and the gdb stub's socket")?;
        let socket = folder.path().join("gdb");
        let args = [&qemu::gdb_stub(&socket), self.qemu_args].concat();
        let machine = machine::machine(self.cpus, None, Some(self.cpu.to_owned()), args);
        let append = format!("{APPEND} {}", self.append);
        let medium = machine::medium(&Tree::own(), self.kernel, &append, self.files, folder.path())?;
        let running = machine.start(&medium)?;
        let mut vm = Vm {
            running,
            console: Console::default(),
            complaint: None,
            until: Instant::now() + self.timeout,
            timeout: self.timeout,
            is_verbose: self.is_verbose,
            _folder: folder,
        };
        let gdb = vm.connect(&socket).map_err(|error| vm.explain(error))?;
        Ok((vm, gdb))
    }
}

impl Vm {
    fn connect(&mut self, socket: &Path) -> Result<Gdb> {
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => return Gdb::new(stream, self.until + GRACE),
                Err(_) if self.running.ended()?.is_some() => bail!(Gone),
                Err(_) if Instant::now() >= self.until => {
                    bail!("{}; QEMU offers no gdb stub", self.time_was_over());
                }
                Err(_) => thread::sleep(stop::STEP),
            }
        }
    }

    fn time_was_over(&self) -> String {
        format!("--timeout {}: the time was over", self.timeout.as_secs())
    }

    fn hear(&mut self, line: &str) {
        if self.is_verbose {
            say::err(printable(line));
        }
        self.complaint = self.complaint.take().or_else(|| machine::complaint(line));
        self.console.add(line);
    }

    /// Hears what has been said.
    ///
    /// # Errors
    ///
    /// If the time is over, or the kernel cannot go on.
    pub fn listen(&mut self) -> Result<()> {
        let lines: Vec<_> = self.running.lines().collect();
        lines.iter().for_each(|line| self.hear(line));
        if Instant::now() >= self.until {
            bail!("{}; {}", self.time_was_over(), self.said());
        }
        Ok(())
    }

    /// What the kernel has said of its end.
    fn said(&self) -> String {
        match (&self.complaint, self.console.last()) {
            (Some(complaint), _) => complaint.clone(),
            (None, last) if last.is_empty() => machine::SILENT.to_owned(),
            (None, last) => format!("the console ends with: {last}"),
        }
    }

    /// An error, with the reason for it if that is the machine's end.
    pub fn explain(&mut self, error: Error) -> Error {
        if !error.is::<Gone>() {
            return error;
        }
        let mut lines = Vec::new();
        let ended = self.running.end(|line| lines.push(line));
        lines.iter().for_each(|line| self.hear(line));
        let (end, said) = match ended {
            Ok((end, said)) => (end.to_string(), last_lines(&said)),
            Err(error) => (error.to_string(), String::new()),
        };
        match &self.complaint {
            Some(complaint) => anyhow!("{end}; {complaint}"),
            None if said.contains("gdb") => anyhow!("{end}: {said}; use a QEMU with a gdb stub"),
            None if !said.is_empty() => anyhow!("{end}: {said}"),
            None => anyhow!("{end}; {}", self.said()),
        }
    }
}
