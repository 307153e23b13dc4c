//! The counters of a row, each written once: a line of [the table](COUNTERS) at the end of this file.
//!
//! From a line come the field of [`Counts`] and of its JSON, where its value is taken from, the column of the table,
//! and the sum that `stress` prints. A new counter is a new line.

use serde::{Deserialize, Serialize};

use gupsync::event::Event;

/// What a counter is taken from, when all CPUs have stopped.
pub struct Measured<'a> {
    /// How often an event happened, for the row's mms.
    pub happened: &'a dyn Fn(Event) -> u64,
    /// The isolated CPUs, if there are some and the row is about all mms.
    pub isolated: Option<Isolated<'a>>,
    /// Operations done.
    pub ops: u64,
    /// Operations done, but taken back: a page was pinned.
    pub failed: u64,
    /// Operations before which every worker of the mm could walk to a page.
    pub walkable: u64,
    /// Operations before which a worker walked to a page, of the worker that has the fewest; if the counts are about one
    /// team that has workers.
    pub least_reaching: Option<u64>,
    /// Walks of the switcher that has the fewest, if there are some.
    pub least_switching: Option<u64>,
    /// Flushes of the flusher that has the fewest, if there are some.
    pub least_flushing: Option<u64>,
    /// Cycles spent in operations.
    pub cycles: u64,
    /// Remaps of a kernel page that a worker on another CPU has read through; if the counts are about all mms.
    pub remaps_read: Option<u64>,
    /// Requests acknowledged beyond the interrupts taken; if the counts are about all mms.
    pub coalesced: Option<u64>,
    /// The tickets of the mms when counting began.
    pub before: Tickets,
    /// The same when counting ended.
    pub after: Tickets,
    /// What the detectors found of walkers.
    pub sync_violations: u64,
    /// What the detectors found of translations.
    pub stale_translations: u64,
}

/// What isolated CPUs recorded.
pub struct Isolated<'a> {
    /// How often an event happened on them.
    pub happened: &'a dyn Fn(Event) -> u64,
    /// The longest time that one of them was away, in cycles.
    pub longest_gap: u64,
}

/// How many tickets were taken, and how many of them are covered, since the mms began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tickets {
    /// Taken.
    pub set: u64,
    /// Covered.
    pub cleared: u64,
}

/// Where a counter's value comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// How often this happened, for the row's mms.
    Happened(Event),
    /// How often this happened on isolated CPUs.
    OnIsolated(Event),
    /// Computed.
    Of(fn(&Measured<'_>) -> Option<u64>),
}

impl Source {
    fn value(self, measured: &Measured<'_>) -> Option<u64> {
        match self {
            Source::Happened(event) => Some((measured.happened)(event)),
            Source::OnIsolated(event) => measured.isolated.as_ref().map(|isolated| (isolated.happened)(event)),
            Source::Of(compute) => compute(measured),
        }
    }
}

/// What a figure can be relied on for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same seed gives the same count, on every machine, with one thread for all CPUs, but for what
    /// [`Row::is_exact`](crate::Row::is_exact) leaves out.
    Exact,
    /// It depends on when things happen.
    Timing,
}

/// When a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// If a row has something other than zero or nothing there.
    IfAny,
}

/// Where a counter is shown besides JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// In a table's column: its header, its place among the columns, and when.
    Column(&'static str, u8, When),
    /// In the column of the narrow table too, where its rows differ.
    Narrow,
    /// In the sum that `stress` prints.
    Sum,
}

/// A line of the table.
#[derive(Debug)]
pub struct Counter {
    /// Its name in JSON.
    pub key: &'static str,
    /// What is counted: one sentence.
    pub doc: &'static str,
    /// Whether it can be relied on to the last unit.
    pub class: Class,
    /// Where it is shown besides JSON.
    pub shows: &'static [Show],
    /// Its value. `None` is not counted: never zero.
    pub get: fn(&Counts) -> Option<u64>,
}

impl Counter {
    /// The header of its column, its place, and when it is shown, if it has one.
    pub fn column(&self) -> Option<(&'static str, u8, When)> {
        self.shows.iter().find_map(|show| match show {
            Show::Column(header, place, when) => Some((*header, *place, *when)),
            Show::Narrow | Show::Sum => None,
        })
    }
}

macro_rules! counters {
    ($(#[doc = $doc:literal] $key:ident = $source:expr, $class:expr, [$($show:expr),*];)+) => {
        /// What was counted. What was not is `None`: never zero.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct Counts { $(#[doc = $doc] pub $key: Option<u64>),+ }

        impl Counts {
            /// All of them.
            pub fn new(measured: &Measured<'_>) -> Self {
                use Source::*;
                Counts { $($key: Source::value($source, measured)),+ }
            }
        }

        /// Every counter, in the order of JSON.
        pub static COUNTERS: &[Counter] = {
            use Class::*;
            use Show::*;
            use When::*;
            &[$(Counter {
                key: stringify!($key),
                doc: $doc,
                class: $class,
                shows: &[$($show),*],
                get: |counts| counts.$key,
            }),+]
        };
    };
}

counters! {
    /// Operations done.
    ops = Of(|m| Some(m.ops)), Exact, [Column("ops", 10, Always), Sum];
    /// Operations done, but taken back: a page was pinned.
    ops_failed = Of(|m| Some(m.failed)), Exact, [];
    /// Operations that found a page pinned.
    ops_pinned = Happened(Event::FoundPinned), Exact, [Column("pinned", 155, IfAny), Narrow, Sum];
    /// Flush requests sent.
    flush_ipis = Happened(Event::FlushIpi), Exact, [Column("flush IPIs", 20, Always), Narrow, Sum];
    /// Sync requests sent.
    sync_ipis = Happened(Event::SyncIpi), Exact, [Column("sync IPIs", 30, Always), Narrow, Sum];
    /// Requests sent for another reason: a kernel-range flush, a call of every CPU.
    other_ipis = Happened(Event::OtherIpi), Exact, [Column("other", 40, IfAny), Narrow, Sum];
    /// Syncs asked for.
    syncs_asked = Happened(Event::SyncAsked), Exact, [Sum];
    /// Syncs that needed no interrupt.
    syncs_skipped = Happened(Event::SyncSkipped), Exact, [Column("skipped", 50, Always), Narrow, Sum];
    /// Syncs that interrupted.
    syncs_sent = Happened(Event::SyncSent), Exact, [Sum];
    /// Syncs whose tables a policy handed out on its own argument: their tickets were not redeemed.
    released_by_policy = Happened(Event::ReleasedByPolicy), Exact, [];
    /// Tickets that were pending when counting began.
    pending_before = Of(|m| Some(m.before.set - m.before.cleared)), Exact, [];
    /// Tickets that were pending when counting ended.
    pending_after = Of(|m| Some(m.after.set - m.after.cleared)), Exact, [];
    /// Tickets taken.
    set = Happened(Event::Set), Exact, [Column("set", 60, IfAny), Narrow, Sum];
    /// Tickets covered by a real interrupt.
    cleared = Of(|m| Some(m.after.cleared - m.before.cleared)), Exact, [Column("cleared", 70, IfAny), Narrow, Sum];
    /// Tickets covered by the flush of their own operation.
    cleared_by_own_flush = Happened(Event::ClearedByOwnFlush), Exact, [];
    /// Tickets covered by a sync.
    cleared_by_sync = Happened(Event::ClearedBySync), Exact, [];
    /// Tickets covered by the flush of another operation.
    cleared_by_other_flush = Happened(Event::ClearedByOtherFlush), Exact, [];
    /// Tickets covered by an interrupt that was neither a flush nor a sync.
    cleared_by_other_ipi = Happened(Event::ClearedByOtherIpi), Exact, [];
    /// Times that deferred tables were freed because their ticket was covered.
    freed_by_ticket = Happened(Event::FreedByTicket), Timing, [Sum];
    /// Times that deferred tables were freed because a grace period had elapsed.
    freed_by_grace_period = Happened(Event::FreedByGracePeriod), Timing, [Sum];
    /// INVLPGB instructions executed.
    invlpgb_ops = Happened(Event::Invlpgb), Exact, [Column("INVLPGB", 110, IfAny), Narrow];
    /// TLBSYNC instructions executed.
    tlbsyncs = Happened(Event::Tlbsync), Exact, [];
    /// NMIs by which the emulator carried out an INVLPGB on another CPU.
    emulation_nmis = Happened(Event::EmulationNmi), Exact, [];
    /// Flushes left to the hypervisor: of a vCPU that was preempted, or of all CPUs by one hypercall.
    hypercalls = Happened(Event::Hypercall), Exact, [Column("hypercalls", 120, IfAny), Narrow];
    /// Wake-ups sent by the bench itself.
    kicks = Happened(Event::Kick), Timing, [];
    /// Flush, sync and other interrupts taken; one may serve several requests.
    interrupts_taken = Happened(Event::InterruptTaken), Timing, [Sum];
    /// Requests that took no interrupt of their own: one interrupt served several.
    requests_coalesced = Of(|m| m.coalesced), Timing, [Column("coalesced", 125, IfAny), Sum];
    /// Flush requests carried out and acknowledged.
    flush_acks = Happened(Event::FlushAcked), Exact, [];
    /// Sync requests acknowledged.
    sync_acks = Happened(Event::SyncAcked), Exact, [];
    /// Other requests carried out and acknowledged.
    other_acks = Happened(Event::OtherAcked), Exact, [];
    /// Requests carried out for an mm by a CPU that had another one loaded.
    foreign_interrupts = Happened(Event::ForeignInterrupt), Timing, [Column("foreign", 80, Always)];
    /// Loads of an mm under a local ASID whose translations were kept.
    asids_kept = Happened(Event::AsidKept), Exact, [Column("kept", 166, IfAny), Sum];
    /// Loads of an mm under its local ASID, which was behind: its translations were dropped.
    asids_behind = Happened(Event::AsidBehind), Exact, [Column("behind", 168, IfAny), Sum];
    /// Times that a CPU loaded another mm in place of this one.
    departures = Happened(Event::Departed), Timing, [];
    /// CPUs inside a walk that could see the table, when its sync was due.
    walking_at_sync = Happened(Event::WalkingAtSync), Timing, [Column("walking", 90, IfAny)];
    /// CPUs counted in `walking_at_sync` whose walk began before the table was unlinked.
    at_risk = Happened(Event::AtRisk), Timing, [Column("at risk", 100, Always)];
    /// Unlinks while a walker was held inside its walk.
    held_at_unlink = Happened(Event::HeldAtUnlink), Exact, [Column("held", 150, Always), Narrow];
    /// Walks completed.
    walks = Happened(Event::WalkEnd), Timing, [Column("walks", 160, Always), Sum];
    /// Walks that pinned a page of 4 KiB.
    walks_pinned = Happened(Event::WalkPinned), Timing, [];
    /// Walks that pinned a huge page.
    walks_huge = Happened(Event::WalkHuge), Timing, [];
    /// Walks that came to a page whose mapping changed before it was pinned.
    walks_backed_off = Happened(Event::WalkBackedOff), Timing, [];
    /// Walks that found nothing mapped: no evidence.
    walks_not_mapped = Happened(Event::WalkNotMapped), Timing, [];
    /// Walks of NMI handlers.
    nmi_walks = Happened(Event::NmiWalk), Timing, [Column("NMI walks", 162, IfAny)];
    /// Walks that NMI handlers gave up, because the mm was not loaded, or lazily.
    nmi_refused = Happened(Event::NmiRefused), Timing, [Column("refused", 164, IfAny)];
    /// Operations before which every worker of the mm could walk to a page.
    ops_walkable = Of(|m| Some(m.walkable)), Exact, [];
    /// Operations before which a worker walked to a page, of the worker that has the fewest.
    least_ops_walked = Of(|m| m.least_reaching), Exact, [];
    /// Walks of the switcher that has the fewest.
    least_switcher_walks = Of(|m| m.least_switching), Timing, [];
    /// Flushes of the flusher that has the fewest.
    least_flusher_flushes = Of(|m| m.least_flushing), Timing, [];
    /// Kernel mappings changed and flushed while a worker on another CPU read through them, before and after.
    remaps_read = Of(|m| m.remaps_read), Exact, [];
    /// How often a vCPU was preempted.
    preemptions = Happened(Event::Preempted), Exact, [];
    /// Times that a mutator's task has gone on on another CPU, its way back included.
    moves = Happened(Event::Migrated), Exact, [Column("moves", 145, IfAny), Sum];
    /// Times that a CPU went offline.
    offlined = Happened(Event::WentOffline), Exact, [Column("offlined", 148, IfAny), Sum];
    /// Walkers caught in a table or on a page that was in use elsewhere, or without a page that was to be put back.
    sync_violations = Of(|m| Some(m.sync_violations)), Exact, [];
    /// Accesses caught that used a translation after its flush had completed.
    stale_translations = Of(|m| Some(m.stale_translations)), Exact, [];
    /// Cycles from the beginning of a turn to its end, on average: the walkers' part is in it, so it compares no policies.
    cycles_per_op = Of(|m| Some(m.cycles / m.ops.max(1))), Timing, [];
    /// Interrupts taken by isolated CPUs.
    isolated_interrupts = OnIsolated(Event::InterruptTaken), Timing, [Column("isolated", 130, Always)];
    /// Flush requests carried out by isolated CPUs.
    isolated_flush_requests = OnIsolated(Event::FlushAcked), Exact, [];
    /// Sync requests acknowledged by isolated CPUs.
    isolated_sync_requests = OnIsolated(Event::SyncAcked), Exact, [];
    /// Other requests carried out by isolated CPUs.
    isolated_other_requests = OnIsolated(Event::OtherAcked), Exact, [];
    /// NMIs taken by isolated CPUs.
    isolated_nmis = OnIsolated(Event::NmiTaken), Exact, [];
    /// The longest time that an isolated CPU was away, in cycles.
    isolated_gap = Of(|m| m.isolated.as_ref().map(|isolated| isolated.longest_gap)), Timing, [Column("gap", 140, IfAny)];
}
