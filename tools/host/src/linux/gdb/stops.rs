//! Where a vCPU is to stop, and why the machine has stopped.

use std::fmt;

use anyhow::{Context, Result, bail};

/// Where a vCPU stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Before the instruction at this address.
    Execute(u64),
    /// After an instruction that has read from the eight bytes there.
    Read(u64),
    /// After an instruction that has written to them.
    Write(u64),
}

impl Point {
    /// As a request has it.
    pub(super) fn words(self) -> String {
        match self {
            Point::Execute(address) => format!("0,{address:x},1"),
            Point::Write(address) => format!("2,{address:x},8"),
            Point::Read(address) => format!("3,{address:x},8"),
        }
    }
}

/// Why the machine has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A vCPU is at an instruction that it was to stop before, or has made its step.
    Here,
    /// It has read there.
    Read(u64),
    /// It has written there.
    Written(u64),
    /// The client has asked for it.
    Asked,
}

/// A stop of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The vCPU that it is about.
    pub cpu: usize,
    /// Why.
    pub cause: Cause,
}

/// QEMU has closed the connection.
#[derive(Debug)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QEMU has closed the connection to its gdb stub")
    }
}

impl std::error::Error for Gone {}

impl Stop {
    /// What the stub says of a stop; vCPUs are known by `threads`.
    ///
    /// # Errors
    ///
    /// [`Gone`], if the machine has ended; or if it is no stop.
    pub(super) fn read(answer: &str, threads: &[String]) -> Result<Self> {
        let unknown = || format!("the gdb stub says {answer:?} in place of a stop");
        if answer.starts_with(['W', 'X']) {
            bail!(Gone);
        }
        let parts = answer.strip_prefix('T').and_then(|parts| parts.split_at_checked(2));
        let (signal, about) = parts.with_context(unknown)?;
        let about: Vec<_> = about.split(';').filter_map(|pair| pair.split_once(':')).collect();
        let value = |name: &str| about.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let address = |name| value(name).and_then(|value| u64::from_str_radix(value, 16).ok());
        let thread = value("thread").with_context(unknown)?;
        let cpu = threads.iter().position(|known| known == thread).with_context(unknown)?;
        let cause = match (address("rwatch"), address("watch"), signal) {
            (Some(at), ..) => Cause::Read(at),
            (_, Some(at), _) => Cause::Written(at),
            (_, _, "05") => Cause::Here,
            (_, _, "02") => Cause::Asked,
            _ => bail!(unknown()),
        };
        Ok(Stop { cpu, cause })
    }
}
