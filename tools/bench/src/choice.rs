//! What a spec chooses among, by name.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

use gupsync::policy;

/// An enum whose values have names on the command line and in rows.
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
        /// Collapses; between flush and sync a sibling protects something.
        PiggybackProtect = "piggyback-protect",
        /// Collapses; between flush and sync a sibling flushes the kernel's range.
        PiggybackKernel = "piggyback-kernel",
        /// Collapses; between flush and sync a sibling calls every CPU.
        PiggybackEveryone = "piggyback-everyone",
        /// Several mms at once, flushed in different ways, each doing every operation.
        Mixed = "mixed",
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
    }

    /// Where the mutator stands.
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

    /// Who carries out INVLPGB.
    Backend: "backend" {
        /// The CPU if it has the instruction, else the emulator.
        Auto = "auto",
        /// The CPU.
        Native = "native",
        /// The emulator behind #UD.
        Emulated = "emulated",
    }

    /// How an mm without a global ASID is flushed.
    Flush: "way to flush" {
        /// By interrupts.
        Ipi = "ipi",
        /// By interrupts, but for preempted vCPUs.
        Hypercall = "hypercall",
    }

    /// How an unshare flushes.
    UnshareFlush: "way to flush an unshare" {
        /// Like a protect: lazy CPUs are left to catch up.
        Mainline = "mainline",
        /// As if a table had been freed: lazy CPUs are woken.
        Series = "series",
    }

    /// A way to fail on purpose, to see that the failure is seen.
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
    }
}

impl Toggle {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Toggle::On
    }
}

/// Something that may be absent: `off`, or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maybe<T>(pub Option<T>);

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl<T: FromStr<Err = String>> FromStr for Maybe<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Maybe(None)) } else { text.parse().map(|value| Maybe(Some(value))) }
    }
}

/// Once in so many times, counted and never timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every(pub u64);

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every:{}", self.0)
    }
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("every:").map(str::parse) {
            Some(Ok(every)) if every > 0 => Ok(Every(every)),
            _ => Err(format!("`{text}` is neither `off` nor `every:N` with N of at least 1")),
        }
    }
}

/// Names, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(T::to_string).collect::<Vec<_>>().join(","))
    }
}

impl<T: FromStr<Err = String>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(List)
    }
}

/// The name of a policy that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName(String);

impl PolicyName {
    /// All that keep the promise.
    pub fn safe() -> List<PolicyName> {
        List(policy::safe_names().map(|name| PolicyName(name.to_owned())).collect())
    }
}

impl Deref for PolicyName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PolicyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if policy::NAMES.contains(&text) {
            Ok(PolicyName(text.to_owned()))
        } else {
            Err(format!("`{text}` is no policy; use some of: {}", policy::NAMES.join(", ")))
        }
    }
}
