//! The result: one row, the same whatever machine produced it.

use alloc::format;
use alloc::string::{String, ToString};
use serde::{Deserialize, Serialize};

use crate::spec::{List, Mutator, Spec, Workload};
use gupsync::policy;

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All operations were done and no detector fired.
    Ok,
    /// A detector fired; the row ended there.
    Violation,
    /// The mm did not come to rest in its warm-up: no operation was counted.
    Unsettled,
    /// There was not enough memory in the machine.
    Memory,
    /// The machine died in a panic or an exception before the row was finished.
    Panic,
    /// The machine was stopped because it took too long.
    Timeout,
    /// The machine ended in some other way before the row was finished.
    Died,
}

impl Status {
    /// Its name in rows and tables.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Violation => "violation",
            Status::Unsettled => "unsettled",
            Status::Memory => "memory",
            Status::Panic => "panic",
            Status::Timeout => "timeout",
            Status::Died => "died",
        }
    }
}

/// One policy at one workload. A count that was not taken, because the machine died, is `None`: never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the schema; README.md explains them")]
pub struct Row {
    pub workload: String,
    pub policy: String,
    /// `total`, or the mm's name where a workload has several.
    pub mm: String,
    pub invlpgb: String,
    pub backend: String,
    pub flush: String,
    pub threshold: u64,
    pub mutator: String,
    pub seed: u64,
    pub cpus: u64,
    pub mm_cpus: u64,
    pub asids: u64,
    pub invlpgb_max: u64,
    pub unshare_flush: String,
    pub trim: String,
    pub lazy: u64,
    pub stale: u64,
    pub preempted: u64,
    pub isolated: u64,
    pub switchers: u64,
    pub flushers: u64,
    pub hold: u64,
    pub eager: String,
    pub naps: String,
    pub tables: u64,
    pub gather: u64,
    pub sharers: u64,
    pub interleave: String,
    pub migrate: String,
    pub operations: String,
    #[serde(flatten)]
    pub counts: Counts,
    pub status: Status,
    /// What a detector saw, or why there is no result.
    pub detail: Option<String>,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the schema; README.md explains them")]
pub struct Counts {
    pub ops: Option<u64>,
    pub ops_failed: Option<u64>,
    pub flush_ipis: Option<u64>,
    pub sync_ipis: Option<u64>,
    pub other_ipis: Option<u64>,
    pub syncs_asked: Option<u64>,
    pub syncs_skipped: Option<u64>,
    pub syncs_sent: Option<u64>,
    pub pending_before: Option<u64>,
    pub pending_after: Option<u64>,
    pub set: Option<u64>,
    pub cleared: Option<u64>,
    pub cleared_by_own_flush: Option<u64>,
    pub cleared_by_sync: Option<u64>,
    pub cleared_by_other_flush: Option<u64>,
    pub cleared_by_other_ipi: Option<u64>,
    pub invlpgb_ops: Option<u64>,
    pub tlbsyncs: Option<u64>,
    pub emulation_nmis: Option<u64>,
    pub hypercalls: Option<u64>,
    pub kicks: Option<u64>,
    pub interrupts_taken: Option<u64>,
    pub flush_acks: Option<u64>,
    pub sync_acks: Option<u64>,
    pub other_acks: Option<u64>,
    pub foreign_interrupts: Option<u64>,
    pub departures: Option<u64>,
    pub walking_at_sync: Option<u64>,
    pub at_risk: Option<u64>,
    pub held_at_unlink: Option<u64>,
    pub walks: Option<u64>,
    pub sync_violations: Option<u64>,
    pub stale_translations: Option<u64>,
    pub cycles_per_op: Option<u64>,
    pub isolated_interrupts: Option<u64>,
    pub isolated_flush_requests: Option<u64>,
    pub isolated_sync_requests: Option<u64>,
    pub isolated_other_requests: Option<u64>,
    pub isolated_nmis: Option<u64>,
    pub isolated_gap: Option<u64>,
}

impl Row {
    /// A row that says what was run and how it ended, and nothing more.
    pub fn without_counts(spec: &Spec, policy: &str, cpus: usize, status: Status) -> Self {
        Row {
            workload: spec.workload.to_string(),
            policy: policy.to_string(),
            mm: "total".to_string(),
            invlpgb: spec.invlpgb.to_string(),
            backend: if spec.invlpgb.is_on() { spec.backend.to_string() } else { "none".to_string() },
            flush: if spec.workload == Workload::Mixed { "mixed".to_string() } else { spec.flush.to_string() },
            threshold: spec.threshold as u64,
            mutator: spec.mutator.to_string(),
            seed: spec.seed,
            cpus: cpus as u64,
            mm_cpus: spec.mm_cpus as u64,
            asids: spec.asids as u64,
            invlpgb_max: spec.invlpgb_max,
            unshare_flush: spec.unshare_flush.to_string(),
            trim: spec.trim.to_string(),
            lazy: spec.lazy as u64,
            stale: spec.stale as u64,
            preempted: spec.preempted as u64,
            isolated: spec.isolated as u64,
            switchers: spec.switchers as u64,
            flushers: spec.flushers as u64,
            hold: spec.hold as u64,
            eager: spec.eager.to_string(),
            naps: spec.naps.to_string(),
            tables: spec.tables,
            gather: spec.gather as u64,
            sharers: spec.sharers as u64,
            interleave: spec.interleave.to_string(),
            migrate: spec.migrate.to_string(),
            operations: List(spec.kinds().to_vec()).to_string(),
            counts: Counts::default(),
            status,
            detail: None,
        }
    }

    /// Whether its policy keeps the promise.
    fn is_safe(&self) -> bool {
        policy::safe_names().any(|name| name == self.policy)
    }

    /// Whether its policy is unsafe, and here nothing but luck could hide it: no flush interrupts the walkers, and the
    /// policy's own fault is asked for.
    fn is_to_be_caught(&self) -> bool {
        let walkers = self.mm_cpus - u64::from(self.mutator == Mutator::Inside.to_string());
        let is_global = self.invlpgb == "on" && self.mm_cpus >= self.threshold && self.asids > 0;
        let is_asked = match self.policy.as_str() {
            "never" => ["collapse", "unshare"].contains(&self.workload.as_str()),
            // With two, whoever leaves settles for himself.
            _ => self.workload == "unshare" && self.sharers > 2,
        };
        !self.is_safe() && walkers > 0 && self.hold > 0 && is_global && is_asked
    }

    /// What is wrong with this row, if it is not what its policy promises.
    ///
    /// # Errors
    ///
    /// One line that names the fault.
    pub fn judge(&self) -> Result<(), String> {
        let detail = || self.detail.as_deref().unwrap_or("no reason was given");
        match self.status {
            Status::Violation if !self.is_safe() => Ok(()),
            Status::Violation => Err(format!("caught: {}", detail())),
            Status::Ok if self.is_to_be_caught() => {
                Err("an unsafe policy was to be caught here, and was not".to_string())
            }
            Status::Ok => self.check_counts(),
            status => Err(format!("{}: {}", status.name(), detail())),
        }
    }

    fn check_counts(&self) -> Result<(), String> {
        let c = &self.counts;
        let value = |count: Option<u64>| count.ok_or_else(|| "a count is missing".to_string());
        let sum = |counts: &[Option<u64>]| counts.iter().map(|count| value(*count)).sum::<Result<u64, _>>();
        let cleared_by =
            [c.cleared_by_own_flush, c.cleared_by_sync, c.cleared_by_other_flush, c.cleared_by_other_ipi];
        let acks = sum(&[c.flush_acks, c.sync_acks, c.other_acks])?;
        let ops = value(c.ops)?;
        let names = self.operations.split(',').count() as u64;
        // Where the order is drawn, so is whether a walker of this mm can be inside.
        let holds = self.hold > 0 && (self.interleave == "off" || ops >= 100);
        let unlinks = self.operations.split(',').any(|name| name != "protect");
        let walkers = self.mm_cpus.saturating_sub(1) * u64::from(self.mm != "total" || self.flush != "mixed");
        let checks = [
            (c.flush_acks == c.flush_ipis, "flush requests sent = requests acked"),
            (c.sync_acks == c.sync_ipis, "sync requests sent = requests acked"),
            (c.other_acks == c.other_ipis, "other requests sent = requests acked"),
            // An interrupt is for no mm in particular.
            (self.mm != "total" || value(c.interrupts_taken)? <= acks, "interrupts taken <= requests"),
            (value(c.cleared)? == sum(&cleared_by)?, "cleared = the sum of its causes"),
            (
                sum(&[c.pending_before, c.set])? == sum(&[c.cleared, c.pending_after])?,
                "pending before + set = cleared + pending after",
            ),
            (
                self.policy == "never" || value(c.syncs_asked)? == sum(&[c.syncs_skipped, c.syncs_sent])?,
                "syncs asked for = skipped + sent",
            ),
            (value(c.walks)? >= ops * walkers, "every CPU of the mm walks in every operation"),
            (
                !unlinks || walkers == 0 || !holds || value(c.held_at_unlink)? * 10 * names >= ops,
                "a walker is held in a tenth of the operations",
            ),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(format!("does not hold: {what}")),
            None => Ok(()),
        }
    }
}
