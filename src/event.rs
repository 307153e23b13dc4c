//! What can happen: the names of all counters and trace points, and the causes of interrupts.

/// Why a CPU is interrupted. Each cause has a vector of its own, so that QEMU's trace can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// To flush its TLB.
    Flush,
    /// To prove that it is in no walk.
    Sync,
    /// For a reason that has nothing to do with an mm: a kernel-range flush, a call of every CPU.
    Other,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 3] = [Cause::Flush, Cause::Sync, Cause::Other];

    /// Its name, in figures and traces.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Flush => "flush",
            Cause::Sync => "sync",
            Cause::Other => "other",
        }
    }

    /// What is counted where a request is sent.
    pub fn sent(self) -> Event {
        match self {
            Cause::Flush => Event::FlushIpi,
            Cause::Sync => Event::SyncIpi,
            Cause::Other => Event::OtherIpi,
        }
    }

    /// What is counted where it was carried out.
    pub fn acked(self) -> Event {
        match self {
            Cause::Flush => Event::FlushAcked,
            Cause::Sync => Event::SyncAcked,
            Cause::Other => Event::OtherAcked,
        }
    }
}

/// Something that is counted, per mm and per CPU, where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Event {
    /// A flush IPI was sent (the ICR was written).
    FlushIpi,
    /// A sync IPI was sent.
    SyncIpi,
    /// An IPI was sent for another reason.
    OtherIpi,
    /// A wake-up was sent, which acknowledges nothing.
    Kick,
    /// A flush, sync or other interrupt was taken; one may serve several requests.
    InterruptTaken,
    /// A wake-up was taken.
    KickTaken,
    /// An NMI was taken.
    NmiTaken,
    /// A flush request was carried out and acknowledged.
    FlushAcked,
    /// A sync request was acknowledged.
    SyncAcked,
    /// Another request was carried out and acknowledged.
    OtherAcked,
    /// A request was carried out for an mm by a CPU that has another one loaded.
    ForeignInterrupt,
    /// A CPU that had the mm loaded has loaded another one; its bit stays in the cpumask.
    Departed,
    /// A CPU left the cpumask.
    Left,
    /// A CPU loaded the mm again under a local ASID, and kept its translations.
    AsidKept,
    /// A CPU loaded the mm again under a local ASID that was behind, and dropped its translations.
    AsidBehind,
    /// A policy was asked for tables.
    SyncAsked,
    /// A sync was asked for and needed no interrupt.
    SyncSkipped,
    /// A sync was asked for and went on to interrupt.
    SyncSent,
    /// Tables were handed out on a policy's own argument, not by redeeming their ticket.
    ReleasedByPolicy,
    /// A ticket was taken.
    Set,
    /// Tickets covered by the flush that belongs to them.
    ClearedByOwnFlush,
    /// Tickets covered by a sync.
    ClearedBySync,
    /// Tickets covered by another sender's flush.
    ClearedByOtherFlush,
    /// Tickets covered by an interrupt that was neither.
    ClearedByOtherIpi,
    /// An INVLPGB was executed.
    Invlpgb,
    /// A TLBSYNC was executed.
    Tlbsync,
    /// An NMI stood in for what reaches a CPU and does not interrupt it: the broadcast of an INVLPGB, a hypervisor's flush.
    EmulationNmi,
    /// A flush was left to the hypervisor: that of a vCPU that was preempted, or of all CPUs at once.
    Hypercall,
    /// A vCPU was preempted.
    Preempted,
    /// A task that was preempted has gone on on another CPU.
    Migrated,
    /// A CPU went offline.
    WentOffline,
    /// CPUs inside a walk that could see the table, when its sync was due.
    WalkingAtSync,
    /// Those of them whose walk began before the table was unlinked.
    AtRisk,
    /// A table was unlinked with a walker held inside its walk.
    HeldAtUnlink,
    /// A collapse found a page pinned, and put the table back; of mTHPs, left at least one as it was.
    FoundPinned,
    /// Deferred tables were freed because their ticket was covered.
    FreedByTicket,
    /// Deferred tables were freed because a grace period had elapsed, their ticket still pending.
    FreedByGracePeriod,
    /// A walk began.
    WalkBegin,
    /// A walk ended.
    WalkEnd,
    /// A walk pinned a page of 4 KiB.
    WalkPinned,
    /// A walk pinned a huge page.
    WalkHuge,
    /// A walk found a page, but its mapping had changed by the time it was pinned.
    WalkBackedOff,
    /// A walk found nothing mapped.
    WalkNotMapped,
    /// An NMI handler has walked.
    NmiWalk,
    /// An NMI handler has given up: the mm that it was to walk was not loaded, or lazily.
    NmiRefused,
}

impl Event {
    /// How many there are: the size of a set of counters.
    pub const COUNT: usize = Event::NmiRefused as usize + 1;
}
