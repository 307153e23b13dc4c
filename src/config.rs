//! How a machine flushes, and what an mm is given.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// Whether a flush is about tables that were unlinked (Linux: `flush_tlb_info.freed_tables`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreedTables {
    /// Only last-level entries changed. CPUs that do not use the mm now are left to catch up.
    No,
    /// A table was unlinked. No CPU may keep even a cached path to it: all of the cpumask are interrupted.
    Yes,
}

macro_rules! flush_methods {
    ($($(#[$doc:meta])* $name:ident = $text:literal, interrupts: $interrupts:literal;)+) => {
        /// How an mm without a global ASID is flushed. Each has a file in [`crate::flush`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FlushMethod { $($(#[$doc])* $name),+ }

        impl FlushMethod {
            /// All methods.
            pub const ALL: &[FlushMethod] = &[$(FlushMethod::$name),+];

            /// Their names, in the same order.
            pub const NAMES: &[&str] = &[$($text),+];

            /// Whether it interrupts every CPU that may be walking: known beforehand, for every flush.
            pub const fn interrupts(self) -> bool {
                match self { $(FlushMethod::$name => $interrupts),+ }
            }
        }
    };
}

impl fmt::Display for FlushMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FlushMethod::NAMES[*self as usize])
    }
}

impl FromStr for FlushMethod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let index = FlushMethod::NAMES.iter().position(|name| *name == text);
        index.map(|index| FlushMethod::ALL[index]).ok_or_else(|| {
            format!("`{text}` is no way to flush; use one of: {}", FlushMethod::NAMES.join(", "))
        })
    }
}

flush_methods! {
    /// By interrupts.
    Ipi = "ipi", interrupts: true;
    /// By interrupts, but for preempted vCPUs.
    Hypercall = "hypercall", interrupts: false;
    /// By the hypervisor, running vCPUs too.
    HypercallAll = "hypercall-all", interrupts: false;
    /// Not at all, though the machine's flushes are interrupts: a caller that did not flush.
    None = "none", interrupts: true;
}

/// How a machine flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushConfig {
    /// Whether INVLPGB is used at all.
    pub invlpgb: bool,
    /// An mm gets a global ASID once this many CPUs run it.
    pub threshold: usize,
    /// How many local ASIDs a CPU uses, [`LOCAL_ASIDS`](crate::types::LOCAL_ASIDS) at most: of so many mms its TLB
    /// keeps translations. With 0 or 1 it keeps none when another is loaded.
    pub pcids: usize,
    /// How many global ASIDs there are.
    pub asids: usize,
    /// Whether every mm that has no global ASID is flushed by a method that interrupts every CPU that may be walking.
    pub methods_interrupt: bool,
    /// How an unshare flushes.
    pub unshare_flush: FreedTables,
    /// Whether a CPU that comes back from lazy mode under a global ASID passes F4. In Linux 7.3 it does not: then no
    /// round, and no conclusion from a flush, leaves out a lazy CPU.
    pub unlazy_fence: bool,
}

impl FlushConfig {
    /// Whether every flush on this machine is an interrupt: known at boot, for all mms at once.
    pub fn flushes_are_interrupts(&self) -> bool {
        !self.invlpgb && self.methods_interrupt
    }
}

/// What an address space is given, whatever the machine has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmConfig {
    /// How it is flushed while it has no global ASID.
    pub flush: FlushMethod,
    /// Whether it takes a global ASID when it could have one.
    pub wants_asid: bool,
    /// In one plain flush of so many, CPUs that have another mm loaded are interrupted too, to leave.
    pub trim_every: Option<u64>,
    /// After one flush of so many it is considered whether it gets a global ASID: it costs a look at every CPU that
    /// runs it. Linux decides by the time and a process number, in about one of 32 (`consider_global_asid()`).
    pub asid_every: u64,
}

impl Default for MmConfig {
    fn default() -> Self {
        MmConfig { flush: FlushMethod::Ipi, wants_asid: true, trim_every: None, asid_every: 1 }
    }
}
