//! The first process of a machine that was booted for it: it does what a debugger asks for, if one does ([`held`]), or runs
//! [`selftests`], or does each experiment of the initramfs in a process of its own, says on the serial port what came out, and
//! ends the machine.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use gupsync_guest::{Experiment, FILE, Report, Said};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot, uname};

use crate::siblings::pin;
use crate::{EXPERIMENT, calls, held, selftests};

const CONSOLE: &str = "/dev/ttyS0";
/// What is mounted where; what a kernel lacks is missed by those that need it.
const MOUNTS: [(&str, &str, &str); 8] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("tmpfs", "/dev/shm", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("debugfs", "/sys/kernel/debug", ""),
    ("tmpfs", "/tmp", ""),
    ("hugetlbfs", "/huge", "pagesize=2M"),
];
const KHUGEPAGED: &str = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs";

/// Does it all; does not return.
pub fn run() -> ! {
    for (kind, at, options) in MOUNTS {
        let _ = fs::create_dir_all(at);
        let options = std::ffi::CString::new(options).expect("it has no zero");
        let _ = mount(kind, at, kind, MountFlags::empty(), options.as_c_str());
    }
    // A line that it says is not to be broken by one of the kernel's; what it says when it dies comes at any level.
    let _ = fs::write("/proc/sys/kernel/printk", "1");
    let mut console = OpenOptions::new().write(true).open(CONSOLE).ok();
    let mut say = |said: Said| {
        if let Some(console) = &mut console {
            let _ = console.write_all(format!("{}\n", said.line()).as_bytes());
        }
    };
    let release = uname().release().to_string_lossy().into_owned();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    say(Said::Booted { release, cpus: cpus.lines().filter(|line| line.starts_with("processor")).count() });
    // It is to collapse only where it is asked to.
    let _ = fs::write(KHUGEPAGED, "1000000");
    held::serve();
    if !selftests::serve(&mut say) {
        measure(&mut say);
    }
    say(Said::End);
    // QEMU ends where the machine would start anew.
    let _ = reboot(RebootCommand::Restart);
    loop {
        std::thread::park();
    }
}

/// Does each experiment.
fn measure(say: &mut impl FnMut(Said)) {
    match experiments() {
        Ok(experiments) => {
            for (index, experiment) in experiments.iter().enumerate() {
                say(match apart(experiment) {
                    Ok(report) => Said::Done(index, report),
                    Err(error) => Said::Failed(index, format!("{error:#}")),
                });
            }
        }
        Err(error) => say(Said::Failed(0, format!("{error:#}"))),
    }
}

fn experiments() -> Result<Vec<Experiment>> {
    pin(0)?;
    calls::begin()?;
    let file = File::open(FILE).with_context(|| format!("{FILE} is not in the initramfs"))?;
    serde_json::from_reader(file).with_context(|| format!("{FILE} cannot be read"))
}

/// Does an experiment in a process of its own.
///
/// # Errors
///
/// What that process said.
pub fn apart(experiment: &Experiment) -> Result<Report> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(EXPERIMENT).arg(serde_json::to_string(experiment)?).stdin(Stdio::null());
    let output = command.output().context("cannot start a process")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let last = error.trim().lines().last().unwrap_or("a process has ended without a word");
        bail!("{}", last.trim_start_matches("error: "));
    }
    ensure!(!said.is_empty(), "a process has said nothing");
    serde_json::from_str(&said).context("a process has said what cannot be read")
}
