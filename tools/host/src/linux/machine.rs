//! The machine that a Linux boots on, and what it says there.
//!
//! # Guarantee
//!
//! What is taken for an answer was said by the program that was put into the machine; a machine that ended before the
//! program said that it had done everything is a failure, with the kernel's reason if it gave one.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use gupsync_guest::{Report, Said, is_complaint};

use super::initramfs;
use super::kernel::Kernel;
use crate::artifacts::Tree;
use crate::qemu::{Accel, End, Firmware, Machine, Medium, Tuning};

/// What Linux is told. Its clocks are not to be calibrated against, nor its watchdogs believed, where one thread serves
/// all CPUs; CPUs are brought up one after the other, which some 64 need; symbols and pages lie where they are linked.
const CMDLINE: &str = "console=ttyS0 loglevel=4 nokaslr no_timer_check cpuhp.parallel=0 lpj=8000000 mitigations=off nopti \
                       tsc=reliable nowatchdog rcupdate.rcu_cpu_stall_suppress=1 panic=-1 hugepages=64 \
                       transparent_hugepage=madvise";

/// QEMU's CPU: five levels of page tables only slow TCG down.
pub const CPU: &str = "max,la57=off";

/// The machine: one thread serves its CPUs, since Linux oopses under TCG with one each.
pub fn machine(cpus: usize, memory: Option<u64>, cpu_model: Option<String>, args: Vec<String>) -> Machine {
    let model = cpu_model.unwrap_or_else(|| CPU.to_owned());
    Machine {
        accel: Accel::TcgSingle,
        icount: false,
        cpus,
        memory: memory.unwrap_or(1024 + 16 * cpus as u64),
        firmware: Firmware::Bios,
        tuning: Tuning { cpu_model: Some(model), ovmf: None, args },
        trace: None,
    }
}

/// The kernel's command line.
pub fn cmdline(append: &str) -> String {
    format!("{CMDLINE} {append}").trim_end().to_owned()
}

/// What is booted.
///
/// # Errors
///
/// If the program does not build, or the file system for it cannot be written.
pub fn medium(
    tree: &Tree,
    kernel: &Kernel,
    append: &str,
    files: &[(&str, &[u8])],
    work: &Path,
) -> Result<Medium> {
    let initrd = work.join("initramfs");
    initramfs::write(&initrd, &tree.guest()?, files)?;
    Ok(Medium::Linux { kernel: kernel.file.clone(), initrd, cmdline: cmdline(append) })
}

/// What a boot has said.
#[derive(Debug, Default)]
pub struct Heard {
    /// How many CPUs Linux runs, and its release, once it does.
    pub booted: Option<(usize, String)>,
    /// The report of each experiment, or why there is none.
    pub reports: Vec<Option<Result<Report, String>>>,
    /// Whether the program has said that it is done.
    pub is_over: bool,
    /// The kernel's first complaint.
    complaint: Option<String>,
    /// The last line that was none of the program's.
    last: String,
}

/// Of a kernel that has said nothing.
pub const SILENT: &str =
    "Linux has said nothing on the serial port; a kernel needs SERIAL_8250_CONSOLE and BLK_DEV_INITRD";

/// What a kernel complains of in a line, if it does.
pub fn complaint(line: &str) -> Option<String> {
    is_complaint(line).then(|| format!("Linux said: {}", plain(line)))
}

impl Heard {
    /// Nothing yet, of so many experiments.
    pub fn new(experiments: usize) -> Self {
        Heard { reports: vec![None; experiments], ..Heard::default() }
    }

    /// Hears a line; breaks off when the program is done.
    pub fn line(&mut self, line: &str) -> ControlFlow<()> {
        match Said::read(line) {
            Some(Said::Booted { release, cpus }) => self.booted = Some((cpus, release)),
            Some(Said::Done(index, report)) => self.keep(index, Ok(report)),
            Some(Said::Failed(index, reason)) => self.keep(index, Err(reason)),
            Some(Said::Begun(_) | Said::Ran(..)) => {}
            Some(Said::End) => {
                self.is_over = true;
                return ControlFlow::Break(());
            }
            None => {
                self.complaint = self.complaint.take().or_else(|| complaint(line));
                if !line.trim().is_empty() {
                    self.last = plain(line);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn keep(&mut self, index: usize, report: Result<Report, String>) {
        if let Some(place) = self.reports.get_mut(index) {
            *place = Some(report);
        }
    }

    /// Why what has not been reported has not.
    #[must_use]
    pub fn reason(&self, end: End, said: &str) -> String {
        let what = match (&self.complaint, &self.booted) {
            (Some(complaint), _) => complaint.clone(),
            (None, None) if self.last.is_empty() => SILENT.to_owned(),
            (None, _) => format!("Linux said last: {}", self.last),
        };
        let qemu = said.trim().lines().last().map(|line| format!("; QEMU said: {line}")).unwrap_or_default();
        format!("{end}; {what}{qemu}")
    }
}

/// A line without the time that the kernel puts before it.
fn plain(line: &str) -> String {
    let line = line.trim();
    let rest = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    rest.map_or(line, |(_, rest)| rest).to_owned()
}

/// Boots `machine` from `medium` and hears it out. Returns how it ended, and the last that QEMU has said.
///
/// # Errors
///
/// If QEMU cannot be started.
pub fn boot(
    machine: &Machine,
    medium: &Medium,
    experiments: usize,
    timeout: Duration,
    mut listen: impl FnMut(&str),
) -> Result<(Heard, End, String)> {
    let mut heard = Heard::new(experiments);
    let (end, said) = machine.run(medium, timeout, |line| {
        listen(line);
        heard.line(line)
    })?;
    Ok((heard, end, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> Heard {
        let mut heard = Heard::new(1);
        for line in lines {
            let _ = heard.line(line);
        }
        heard
    }

    #[test]
    fn a_kernel_that_died_says_why() {
        let panic = "[    1.25] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";
        let said = heard(&[panic, "[    1.26] CPU: 0 UID: 0 PID: 1", "[    1.30] ---[ end Kernel panic ]---"]);
        let reason = said.reason(End::Timeout, "");
        assert!(reason.contains("Linux said: Kernel panic - not syncing: VFS: Unable"), "{reason}");
        let reason = heard(&[]).reason(End::Timeout, "qemu: bad\nqemu: no such CPU\n");
        assert!(
            reason.contains("nothing on the serial port") && reason.ends_with("QEMU said: qemu: no such CPU")
        );
        let reason = heard(&["[    0.5] smp: Bringing up secondary CPUs ..."]).reason(End::Timeout, "");
        assert!(reason.ends_with("Linux said last: smp: Bringing up secondary CPUs ..."), "{reason}");
    }

    #[test]
    fn what_the_program_says_is_kept_by_its_number_and_ends_the_boot() {
        let lines = [
            Said::Booted { release: "7.3.4".to_owned(), cpus: 8 },
            Said::Failed(0, "no memory".to_owned()),
            Said::Failed(7, "there is no such experiment".to_owned()),
        ];
        let lines: Vec<_> = lines.iter().map(Said::line).collect();
        let mut heard = heard(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(heard.booted, Some((8, "7.3.4".to_owned())));
        assert_eq!(heard.reports, [Some(Err("no memory".to_owned()))]);
        assert!(!heard.is_over);
        assert!(heard.line(&Said::End.line()).is_break());
        assert!(heard.is_over);
    }
}
