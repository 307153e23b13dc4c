//! What settings and rows choose among: enums whose values have the same names on the command line, in JSON and in
//! tables.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

pub use gupsync::config::FlushMethod as Flush;

use crate::text::as_text;

/// An enum whose values have names.
macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident: $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All names.
            pub const NAMES: &[&str] = &[$($text),+];
            /// All values, in the same order.
            pub const ALL: &[$name] = &[$($name::$variant),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $text),+ })
            }
        }

        as_text!($name);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err(format!("`{text}` is no {}; use one of: {}", $what, Self::NAMES.join(", "))),
                }
            }
        }
    )+};
}

choices! {
    /// What is done.
    Workload: "workload" {
        /// One collapse after the other.
        Collapse = "collapse",
        /// mms leave shared PMD tables.
        Unshare = "unshare",
        /// Ranges are unmapped through a gather.
        Unmap = "unmap",
        /// Ranges lose the right to be written.
        Protect = "protect",
        /// Pages of several mms are reclaimed, with one flush.
        Reclaim = "reclaim",
        /// Collapses; between flush and sync a sibling protects something.
        PiggybackProtect = "piggyback-protect",
        /// Collapses; between flush and sync a sibling flushes the kernel's range.
        PiggybackKernel = "piggyback-kernel",
        /// Collapses; between flush and sync a sibling calls every CPU.
        PiggybackEveryone = "piggyback-everyone",
        /// Several mms at once, flushed in different ways, each doing several operations.
        Mixed = "mixed",
    }

    /// What a row was counted on.
    MachineName: "machine" {
        /// This project's kernel.
        Kernel = "kernel",
        /// The simulated machine.
        Sim = "sim",
        /// A Linux.
        Linux = "linux",
    }

    /// An operation.
    Kind: "operation" {
        /// Collapse.
        Collapse = "collapse",
        /// Unshare.
        Unshare = "unshare",
        /// Unmap.
        Unmap = "unmap",
        /// Protect.
        Protect = "protect",
        /// Reclaim.
        Reclaim = "reclaim",
    }

    /// An operation that another thread does on the range of a reclaim.
    Between: "operation that comes between" {
        /// Protect.
        Protect = "protect",
        /// Unmap.
        Unmap = "unmap",
    }

    /// Whether the mutator has the mm loaded.
    Mutator: "mutator" {
        /// It has the mm loaded, like a thread of the process.
        Inside = "inside",
        /// It has not, like khugepaged.
        Outside = "outside",
    }

    /// Whether something is used.
    Toggle: "toggle" {
        /// No.
        Off = "off",
        /// Yes.
        On = "on",
    }

    /// What carries out INVLPGB.
    Backend: "backend" {
        /// The CPU if it has the instruction, else the emulator.
        Auto = "auto",
        /// The CPU.
        Native = "native",
        /// The emulator behind #UD.
        Emulated = "emulated",
    }

    /// How an unshare flushes.
    UnshareFlush: "way to flush an unshare" {
        /// Like a protect: lazy CPUs are left to catch up.
        Mainline = "mainline",
        /// As if a table had been freed: lazy CPUs are woken.
        Series = "series",
    }

    /// Whether the task of a sender may be preempted.
    Sender: "sender" {
        /// It stays where it began until its last ack is in.
        Pinned = "pinned",
        /// As in Linux 7.3: between its snapshot and its look, and before it waits.
        Preemptible = "preemptible",
    }

    /// Where a sample comes to a walker.
    Sample: "place for a sample" {
        /// It has loaded another mm, and `current` has not followed yet.
        Switch = "switch",
        /// It has gone lazy, and `current` has not followed yet.
        Lazy = "lazy",
        /// It is inside a walk.
        Walk = "walk",
    }

    /// What a CPU does that comes back from lazy mode to an mm with a global ASID.
    UnlazyFence: "un-lazying" {
        /// It passes a fence.
        Added = "added",
        /// It passes none, as in Linux 7.3.
        Linux = "linux",
    }

    /// A way to fail on purpose, to test that the failure is reported.
    Fail: "way to fail" {
        /// Hang before the first row.
        Hang = "hang",
        /// Hang in the last policy's row.
        HangLate = "hang-late",
        /// Panic.
        Panic = "panic",
        /// Access unmapped memory.
        Fault = "fault",
        /// Overflow a kernel stack.
        Overflow = "overflow",
        /// Flush no TLB when an interrupt asks for it.
        NoFlush = "no-flush",
    }

    /// Which mm a row is about.
    MmName: "mm" {
        /// The mm of `mixed` that has a global ASID.
        Global = "global",
        /// The mm that runs on too few CPUs for a global ASID, and is flushed by interrupts.
        Ipi = "ipi",
        /// The mm that gives its ASID back every few operations, and so passes through ASID transitions.
        Transition = "transition",
        /// The mm that is given no ASID, as if none were free, and is flushed by interrupts.
        Exhausted = "exhausted",
        /// The mm that is flushed by hypercall.
        Hypercall = "hypercall",
        /// All mms together.
        Total = "total",
    }

    /// How a row ended.
    Status: "status" {
        /// All operations were done and no detector fired.
        Ok = "ok",
        /// A detector fired; the row ended there.
        Violation = "violation",
        /// The cpumask still changed at the end of the warm-up: no operation was counted.
        Unsettled = "unsettled",
        /// There was not enough memory in the machine.
        Memory = "memory",
        /// The machine died in a panic or an exception before the row was finished.
        Panic = "panic",
        /// The machine was stopped because it took too long.
        Timeout = "timeout",
        /// The machine ended in some other way before the row was finished.
        Died = "died",
    }
}
impl Kind {
    /// Those of one mm each, whose interrupts are all on behalf of that.
    pub const OF_ONE_MM: &[Kind] = &[Kind::Collapse, Kind::Unshare, Kind::Unmap, Kind::Protect];

    /// Whether it unlinks page tables.
    pub fn unlinks(self) -> bool {
        !matches!(self, Kind::Protect | Kind::Reclaim)
    }
}

impl Toggle {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Toggle::On
    }
}

impl Workload {
    /// The workloads in which a sibling's interrupt saves a sync.
    pub const PIGGYBACK: &[Workload] =
        &[Workload::PiggybackProtect, Workload::PiggybackKernel, Workload::PiggybackEveryone];
    /// Names that stand for several workloads.
    const GROUPS: [(&str, &[Workload]); 2] = [("piggyback", Self::PIGGYBACK), ("all", Self::ALL)];

    /// What names one workload or several.
    pub fn all_names() -> Vec<&'static str> {
        Self::NAMES.iter().copied().chain(Self::GROUPS.map(|(group, _)| group)).collect()
    }

    /// The workloads of that name: one, or all of a group.
    ///
    /// # Errors
    ///
    /// One line with the names there are.
    pub fn named(name: &str) -> Result<Vec<Workload>, String> {
        if let Some((_, workloads)) = Self::GROUPS.iter().find(|(group, _)| *group == name) {
            return Ok(workloads.to_vec());
        }
        let groups = Self::GROUPS.map(|(group, _)| group).join(", ");
        name.parse().map(|workload| Vec::from([workload])).map_err(|error: String| format!("{error}, {groups}"))
    }
}
