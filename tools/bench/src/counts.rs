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
    /// Cycles spent in them.
    pub cycles: u64,
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
    /// In the sum that `stress` prints.
    Sum,
}

/// A line of the table.
#[derive(Debug)]
pub struct Counter {
    /// Its name in JSON.
    pub key: &'static str,
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
            Show::Sum => None,
        })
    }
}

macro_rules! counters {
    ($(#[doc = $doc:literal] $key:ident = $source:expr, [$($show:expr),*];)+) => {
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
            use Show::*;
            use When::*;
            &[$(Counter { key: stringify!($key), shows: &[$($show),*], get: |counts| counts.$key }),+]
        };
    };
}

counters! {
    /// Operations done.
    ops = Of(|m| Some(m.ops)), [Column("ops", 10, Always), Sum];
    /// Operations done, but taken back: a page was pinned.
    ops_failed = Of(|m| Some(m.failed)), [];
    /// Flush requests sent.
    flush_ipis = Happened(Event::FlushIpi), [Column("flush IPIs", 20, Always), Sum];
    /// Sync requests sent.
    sync_ipis = Happened(Event::SyncIpi), [Column("sync IPIs", 30, Always), Sum];
    /// Requests sent for another reason: a kernel-range flush, a call of every CPU.
    other_ipis = Happened(Event::OtherIpi), [Column("other", 40, IfAny), Sum];
    /// Syncs asked for.
    syncs_asked = Happened(Event::SyncAsked), [Sum];
    /// Syncs that needed no interrupt.
    syncs_skipped = Happened(Event::SyncSkipped), [Column("skipped", 50, Always), Sum];
    /// Syncs that interrupted.
    syncs_sent = Happened(Event::SyncSent), [Sum];
    /// Syncs whose tables a policy handed out on its own argument: their tickets were not redeemed.
    released_by_policy = Happened(Event::ReleasedByPolicy), [];
    /// Tickets that were pending when counting began.
    pending_before = Of(|m| Some(m.before.set - m.before.cleared)), [];
    /// Tickets that were pending when counting ended.
    pending_after = Of(|m| Some(m.after.set - m.after.cleared)), [];
    /// Tickets taken.
    set = Happened(Event::Set), [Column("set", 60, IfAny), Sum];
    /// Tickets covered by a real interrupt.
    cleared = Of(|m| Some(m.after.cleared - m.before.cleared)), [Column("cleared", 70, IfAny), Sum];
    /// Tickets covered by the flush of their own operation.
    cleared_by_own_flush = Happened(Event::ClearedByOwnFlush), [];
    /// Tickets covered by a sync.
    cleared_by_sync = Happened(Event::ClearedBySync), [];
    /// Tickets covered by the flush of another operation.
    cleared_by_other_flush = Happened(Event::ClearedByOtherFlush), [];
    /// Tickets covered by an interrupt that was neither a flush nor a sync.
    cleared_by_other_ipi = Happened(Event::ClearedByOtherIpi), [];
    /// INVLPGB instructions executed.
    invlpgb_ops = Happened(Event::Invlpgb), [Column("INVLPGB", 110, IfAny)];
    /// TLBSYNC instructions executed.
    tlbsyncs = Happened(Event::Tlbsync), [];
    /// NMIs by which the emulator carried out an INVLPGB on another CPU.
    emulation_nmis = Happened(Event::EmulationNmi), [];
    /// Flushes left to the hypervisor, because a vCPU was preempted.
    hypercalls = Happened(Event::Hypercall), [Column("hypercalls", 120, IfAny)];
    /// Wake-ups sent by the bench itself.
    kicks = Happened(Event::Kick), [];
    /// Flush, sync and other interrupts taken; one may serve several requests.
    interrupts_taken = Happened(Event::InterruptTaken), [Sum];
    /// Flush requests carried out and acknowledged.
    flush_acks = Happened(Event::FlushAcked), [];
    /// Sync requests acknowledged.
    sync_acks = Happened(Event::SyncAcked), [];
    /// Other requests carried out and acknowledged.
    other_acks = Happened(Event::OtherAcked), [];
    /// Requests carried out for an mm by a CPU that had another one loaded.
    foreign_interrupts = Happened(Event::ForeignInterrupt), [Column("foreign", 80, Always)];
    /// Times that a CPU loaded another mm in place of this one.
    departures = Happened(Event::Departed), [];
    /// CPUs inside a walk that could see the table, when its sync was due.
    walking_at_sync = Happened(Event::WalkingAtSync), [Column("walking", 90, IfAny)];
    /// CPUs counted in `walking_at_sync` whose walk began before the table was unlinked.
    at_risk = Happened(Event::AtRisk), [Column("at risk", 100, Always)];
    /// Unlinks while a walker was held inside its walk.
    held_at_unlink = Happened(Event::HeldAtUnlink), [Column("held", 150, Always)];
    /// Walks completed.
    walks = Happened(Event::WalkEnd), [Column("walks", 160, Always), Sum];
    /// Walkers caught in a table or on a page that was in use elsewhere.
    sync_violations = Of(|m| Some(m.sync_violations)), [];
    /// Accesses caught that used a translation after its flush had completed.
    stale_translations = Of(|m| Some(m.stale_translations)), [];
    /// Cycles that an operation took, on average.
    cycles_per_op = Of(|m| Some(m.cycles / m.ops.max(1))), [];
    /// Interrupts taken by isolated CPUs.
    isolated_interrupts = OnIsolated(Event::InterruptTaken), [Column("isolated", 130, Always)];
    /// Flush requests carried out by isolated CPUs.
    isolated_flush_requests = OnIsolated(Event::FlushAcked), [];
    /// Sync requests acknowledged by isolated CPUs.
    isolated_sync_requests = OnIsolated(Event::SyncAcked), [];
    /// Other requests carried out by isolated CPUs.
    isolated_other_requests = OnIsolated(Event::OtherAcked), [];
    /// NMIs taken by isolated CPUs.
    isolated_nmis = OnIsolated(Event::NmiTaken), [];
    /// The longest time that an isolated CPU was away, in cycles.
    isolated_gap = Of(|m| m.isolated.as_ref().map(|isolated| isolated.longest_gap)), [Column("gap", 140, IfAny)];
}
