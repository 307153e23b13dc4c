//! What the QEMU that is installed can do, asked of itself: distributions mend old versions, and version numbers do not say.

use std::io::{Seek, Write};
use std::process::Command;

use anyhow::{Context, Result};

use crate::child;

/// What is run.
pub const PROGRAM: &str = "qemu-system-x86_64";

pub(super) fn missing() -> String {
    format!("{PROGRAM} cannot be run; install it: apt-get install qemu-system-x86 ovmf")
}

/// A trace event of writes to APIC registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicWrites {
    /// Its name.
    pub event: &'static str,
    /// By how many bits it shifts the offset of a register.
    pub shift: u32,
}

/// The newest first.
const APIC_WRITES: [ApicWrites; 2] =
    [ApicWrites { event: "apic_register_write", shift: 4 }, ApicWrites { event: "apic_mem_writel", shift: 0 }];

impl ApicWrites {
    /// The event that this QEMU has.
    ///
    /// # Errors
    ///
    /// If it has none that is known here.
    pub fn find() -> Result<Self> {
        let output = child::output(Command::new(PROGRAM).args(["-trace", "help"])).with_context(missing)?;
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        let found =
            APIC_WRITES.into_iter().find(|writes| listed.lines().any(|line| line.trim() == writes.event));
        let names = APIC_WRITES.map(|writes| writes.event).join(" or ");
        found.with_context(|| format!("{PROGRAM} -trace help lists no {names}"))
    }
}

/// Whether TCG gives CPUs an x2APIC. Without, there are no more than 255 CPUs.
///
/// # Errors
///
/// If QEMU cannot be started.
pub fn has_x2apic() -> Result<bool> {
    let mut ask = Command::new(PROGRAM);
    ask.args(["-nodefaults", "-display", "none", "-machine", "q35", "-accel", "tcg", "-S"]);
    // QEMU ends at once if it lacks what is enforced, and else when it is told to.
    ask.args(["-cpu", "max,x2apic=on,enforce", "-monitor", "stdio"]);
    // A file: its monitor does not see the end of a pipe.
    let mut words = tempfile::tempfile().context("cannot make a temporary file")?;
    words.write_all(b"quit\n").and_then(|()| words.rewind()).context("cannot write a temporary file")?;
    Ok(child::output_fed(&mut ask, words).with_context(missing)?.status.success())
}
