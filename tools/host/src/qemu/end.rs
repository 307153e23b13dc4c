//! How a machine ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use gupsync_bench::report::ExitCode;

use crate::stop;

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The kernel said so itself.
    Kernel(ExitCode),
    /// The host ended it when the time was over.
    Timeout,
    /// The host ended it because a signal asked for that.
    Stopped,
    /// The host ended it: what it said was enough.
    Cut,
    /// QEMU ended by itself: killed, refused its arguments, or the guest reset.
    Qemu(ExitStatus),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Kernel(code) => write!(f, "the kernel ended with {code:?}"),
            End::Timeout => f.write_str("stopped: the time was over"),
            End::Stopped => f.write_str(stop::REASON),
            End::Cut => f.write_str("ended by the host"),
            End::Qemu(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => write!(f, "QEMU was killed by signal {signal}"),
                (_, Some(0)) => f.write_str("the machine was reset or switched off"),
                _ => write!(f, "QEMU ended with {status}"),
            },
        }
    }
}
