//! How a machine flushes, and what an mm is given.

/// Whether a flush is about tables that were unlinked (Linux: `flush_tlb_info.freed_tables`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreedTables {
    /// Only last-level entries changed. CPUs that do not use the mm now are left to catch up.
    No,
    /// A table was unlinked. No CPU may keep even a cached path to it: all of the cpumask are interrupted.
    Yes,
}

/// How a machine flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushConfig {
    /// Whether INVLPGB is used at all.
    pub invlpgb: bool,
    /// An mm gets a global ASID once this many CPUs run it.
    pub threshold: usize,
    /// How many global ASIDs there are.
    pub asids: usize,
    /// Whether some mm leaves preempted vCPUs to the hypervisor.
    pub hypercall: bool,
    /// How an unshare flushes.
    pub unshare_flush: FreedTables,
}

impl FlushConfig {
    /// Whether every flush on this machine is an interrupt: known at boot, for all mms at once.
    pub fn flushes_are_interrupts(&self) -> bool {
        !self.invlpgb && !self.hypercall
    }
}

/// What an address space is given, whatever the machine has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmConfig {
    /// Whether preempted vCPUs are left to the hypervisor when it is flushed by interrupts.
    pub hypercall: bool,
    /// Whether it takes a global ASID when it could have one.
    pub wants_asid: bool,
    /// In one plain flush of so many, CPUs that have another mm loaded are interrupted too, to leave.
    pub trim_every: Option<u64>,
}

impl Default for MmConfig {
    fn default() -> Self {
        MmConfig { hypercall: false, wants_asid: true, trim_every: None }
    }
}
