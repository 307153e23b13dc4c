//! What a kernel says to its host: lines on the serial port that begin with one of these, and an exit code.

/// Before the bootloader's name and version.
pub const LOADER: &str = "@loader ";
/// Before the name of the policy whose row is beginning.
pub const BEGIN: &str = "@begin ";
/// Before the number of operations done in it.
pub const PROGRESS: &str = "@progress ";
/// How many progress lines there are in a row, about.
pub const PROGRESS_STEPS: u64 = 20;
/// Before what a detector has found in it, as it is found: the row may never be finished.
pub const CAUGHT: &str = "@caught ";
/// Before a finished row, as JSON.
pub const ROW: &str = "@row ";
/// Before a piece whose instructions were counted, as JSON ([`cost`](crate::cost)).
pub const COST: &str = "@cost ";
/// Before what else is to be known of them, as JSON.
pub const SIZES: &str = "@sizes ";
/// Before something that was recorded in the row to come, by a kernel that records ([`record`](crate::record)).
pub const TRACE: &str = "@trace ";
/// Before how many ticks of its clock are a millisecond, and how much could not be recorded.
pub const TRACED: &str = "@traced ";
/// Before the reason of an early end.
pub const FATAL: &str = "@fatal ";

/// How the kernel ended. QEMU never ends with one of these statuses by itself, nor when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ExitCode {
    /// Every row was written.
    Done = 0x20,
    /// The command line was refused.
    Refused,
    /// The machine has too little memory to begin.
    Memory,
    /// The kernel panicked.
    Panic,
    /// An exception struck.
    Exception,
}

impl ExitCode {
    /// All of them.
    pub const ALL: [ExitCode; 5] =
        [ExitCode::Done, ExitCode::Refused, ExitCode::Memory, ExitCode::Panic, ExitCode::Exception];

    /// The status with which QEMU ends when the kernel writes this code to `isa-debug-exit`.
    pub fn qemu_status(self) -> i32 {
        self as i32 * 2 + 1
    }
}
