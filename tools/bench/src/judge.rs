//! The verdict on a row: whether it is what its policy promises.
//!
//! # Guarantee
//!
//! A row passes only if it came to its end, its identities hold, and its zero violations mean something: every worker
//! walked to a page before every operation, every CPU did the work of its role, and a walker was held inside its walk
//! in a tenth of the operations. A safe policy that was caught fails; so does an unsafe one that was not caught where
//! only luck could hide it.

use alloc::format;
use alloc::string::{String, ToString};

use gupsync::policy::{Never, Property};

use crate::choice::{Flush, MmName, Mutator, Sample, Sender, Status, Workload};
use crate::row::Row;
use crate::text::{OrMixed, PolicyName};

const NEVER: PolicyName = PolicyName::of::<Never>();
const PROPERTY: PolicyName = PolicyName::of::<Property>();

/// A count that must be there.
pub(crate) fn value(count: Option<u64>) -> Result<u64, String> {
    count.ok_or_else(|| "a count is missing".to_string())
}

/// The sum of counts that must be there.
pub(crate) fn sum(counts: &[Option<u64>]) -> Result<u64, String> {
    counts.iter().copied().map(value).sum()
}

impl Status {
    /// Why a row ended so, if it does not say so itself.
    fn reason(self) -> &'static str {
        match self {
            Status::Memory => "no page was left; give the machine more memory",
            Status::Unsettled => "an mm had not come to rest when its warm-up was over",
            _ => "no reason was given",
        }
    }
}

impl Row {
    /// Why it ended as it did.
    pub fn reason(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.status.reason())
    }

    /// What is wrong with this row, if it is not what its policy promises.
    ///
    /// # Errors
    ///
    /// One line that names the fault.
    pub fn judge(&self) -> Result<(), String> {
        match self.status {
            // A row without counts was caught, and then broke off in another way, which was not to be expected.
            Status::Violation if !self.keeps_its_promise() && self.counts.ops.is_some() => Ok(()),
            Status::Violation => Err(format!("caught: {}", self.reason())),
            Status::Ok if self.is_to_be_caught() => {
                Err("an unsafe policy was to be caught here, and was not".to_string())
            }
            // Its calls were counted, and nothing else.
            Status::Ok if self.policy.is_linux() => Ok(()),
            Status::Ok => self.check_counts(),
            status => Err(format!("{status}: {}", self.reason())),
        }
    }

    /// Whether its policy is to be safe here.
    fn keeps_its_promise(&self) -> bool {
        let is_unguarded = !self.nmi_guard.is_on() && self.is_sampled_between_tasks();
        self.policy.is_safe()
            && !(is_unguarded && self.policy.trusts_loaded_mm())
            && !(self.is_unflushed() && self.policy == PROPERTY)
    }

    /// Whether the machine's flushes are interrupts, and its callers of sync do not flush.
    fn is_unflushed(&self) -> bool {
        self.flush == OrMixed(Some(Flush::None)) && !self.invlpgb.is_on()
    }

    /// How many CPUs run its mm, are not the mutator's, and walk.
    pub(crate) fn walkers(&self) -> usize {
        let isolated =
            if matches!(self.mm, MmName::Total | MmName::Global) { self.isolated_members } else { 0 };
        self.mm_cpus.saturating_sub(isolated + usize::from(self.mutator == Mutator::Inside))
    }

    /// Whether the walkers that are to be held are between two tasks then.
    pub(crate) fn is_sampled_between_tasks(&self) -> bool {
        self.sample.0.is_some_and(Sample::is_between_tasks)
    }

    /// Whether the walkers that are to be held are refused their walk.
    fn refuses_walks(&self) -> bool {
        self.nmi_guard.is_on() && self.is_sampled_between_tasks()
    }

    /// Whether its policy is unsafe, and only luck could hide that here: no flush interrupts the walkers, and the
    /// operation needs what the policy leaves out.
    fn is_to_be_caught(&self) -> bool {
        let walkers = self.walkers();
        let is_asked = if self.policy == NEVER || self.policy == PROPERTY {
            matches!(self.workload, Workload::Collapse | Workload::Unshare)
        } else {
            // Of two sharers, the one that leaves syncs for its own walkers, and there are no others.
            self.workload == Workload::Unshare && self.sharers > 2
        };
        // The table is put back before a walker that is still inside reads it again.
        let is_put_back = self.pins.0.is_some_and(|pins| pins.is_due(1));
        let is_held = walkers > 0 && self.hold > 0 && !self.refuses_walks();
        let is_by_hypervisor = self.flush == OrMixed(Some(Flush::HypercallAll));
        let is_interrupted = !self.is_global() && !self.is_unflushed() && !is_by_hypervisor;
        let is_unsafe = !self.policy.is_safe() || self.policy == PROPERTY && self.is_unflushed();
        is_unsafe && is_held && !is_interrupted && is_asked && !is_put_back
    }

    /// Whether walkers are held in so many operations. Where the order of steps is drawn, chance decides whether a
    /// walker of this mm can be inside.
    pub(crate) fn holds(&self, ops: u64) -> bool {
        self.hold > 0 && (!self.interleave.is_on() || ops >= 100)
    }

    /// Whether its mm is flushed by INVLPGB: a row about one mm.
    pub(crate) fn is_global(&self) -> bool {
        self.invlpgb.is_on() && self.mm_cpus >= self.threshold && self.asids > 0
    }

    /// Whether CPUs went offline as often as they were to: of several mms one may have none that can.
    fn goes_offline(&self, ops: u64, offlined: Option<u64>) -> bool {
        let due = ops * self.hotplug as u64;
        match self.workload {
            Workload::Mixed => offlined.is_some_and(|offlined| (offlined > 0) == (due > 0) && offlined <= due),
            _ => offlined == Some(due),
        }
    }

    fn check_counts(&self) -> Result<(), String> {
        let c = &self.counts;
        let cleared_by =
            [c.cleared_by_own_flush, c.cleared_by_sync, c.cleared_by_other_flush, c.cleared_by_other_ipi];
        let acks = sum(&[c.flush_acks, c.sync_acks, c.other_acks])?;
        let ops = value(c.ops)?;
        let is_total = self.mm == MmName::Total;
        let holds = self.holds(ops);
        let unlinks = self.operations.iter().any(|kind| kind.unlinks());
        let is_one_mm = !is_total || self.flush != OrMixed(None);
        let walkers = if is_one_mm { self.walkers() as u64 } else { 0 };
        // What CPUs in a role did, for the row that is about all mms.
        let did = |cpus: usize, least: Option<u64>| !is_total || cpus == 0 || least > Some(0);
        let is_often = |count| value(count).map(|count| count * 10 * self.operations.len() as u64 >= ops);
        let is_any_held = unlinks && walkers > 0 && holds;
        // The rounds of a flusher, and of a sibling that comes between, move nothing; a batch that goes by INVLPGB has none.
        let may_be_others = self.flushers > 0 || self.between.0.is_some() && self.invlpgb.is_on();
        let sends = c.sync_ipis > Some(0) || c.flush_ipis > Some(0) && !may_be_others;
        let samples = if self.refuses_walks() { c.nmi_refused } else { c.nmi_walks };
        let checks = [
            (c.flush_acks == c.flush_ipis, "flush requests sent = requests acked"),
            (c.sync_acks == c.sync_ipis, "sync requests sent = requests acked"),
            (c.other_acks == c.other_ipis, "other requests sent = requests acked"),
            // An interrupt may serve requests for several mms.
            (!is_total || value(c.interrupts_taken)? <= acks, "interrupts taken <= requests"),
            (value(c.cleared)? == sum(&cleared_by)?, "cleared = the sum of its causes"),
            (
                sum(&[c.pending_before, c.set])? == sum(&[c.cleared, c.pending_after])?,
                "pending before + set = cleared + pending after",
            ),
            (
                self.policy == NEVER || value(c.syncs_asked)? == sum(&[c.syncs_skipped, c.syncs_sent])?,
                "syncs asked for = skipped + sent",
            ),
            (
                c.least_ops_walked.is_none_or(|least| Some(least) >= c.ops_walkable),
                "every worker walks to a page before every operation",
            ),
            (did(self.switchers, c.least_switcher_walks), "every switcher walks"),
            (did(self.flushers, c.least_flusher_flushes), "every flusher flushes"),
            (
                did(self.isolated + self.isolated_members, c.isolated_gap),
                "every isolated CPU looks at the clock",
            ),
            (
                !is_total
                    || !self.remap.is_on()
                    || walkers <= self.hold as u64
                    || self.naps.is_on()
                    || c.remaps_read == Some(ops),
                "a worker reads through every kernel mapping that changes",
            ),
            (
                !is_total || self.sender == Sender::Pinned || !sends || c.moves > Some(0),
                "the task of a sender that may be preempted moves",
            ),
            (!is_total || self.goes_offline(ops, c.offlined), "CPUs go offline in every operation"),
            (!is_total || self.preempted == 0 || !holds || c.preemptions > Some(0), "vCPUs are preempted"),
            (
                !is_any_held || self.refuses_walks() || is_often(c.held_at_unlink)?,
                "a walker is held in a tenth of the operations",
            ),
            (
                !is_any_held || self.sample.0.is_none() || is_often(samples)?,
                "a walker is sampled in a tenth of the operations",
            ),
        ];
        match checks.iter().chain(&self.rare_paths()?).find(|(holds, _)| !holds) {
            Some((_, what)) => Err(format!("does not hold: {what}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::counts::{Counts, Measured, Tickets};

    /// A row of 16 CPUs and 100 operations, of which each is a flush of 3 CPUs and nothing else.
    pub(crate) fn good(words: &str) -> Row {
        let spec: crate::Spec = words.parse().expect("the test's own spec");
        let measured = Measured {
            happened: &|_| 0,
            isolated: None,
            ops: 100,
            failed: 0,
            walkable: 100,
            least_reaching: Some(100),
            least_switching: Some(1),
            least_flushing: Some(1),
            cycles: 0,
            remaps_read: Some(100),
            coalesced: Some(0),
            before: Tickets { set: 7, cleared: 6 },
            after: Tickets { set: 107, cleared: 106 },
            sync_violations: 0,
            stale_translations: 0,
        };
        let counts = Counts {
            flush_ipis: Some(300),
            flush_acks: Some(300),
            interrupts_taken: Some(300),
            set: Some(100),
            cleared_by_own_flush: Some(100),
            syncs_asked: Some(100),
            syncs_skipped: Some(100),
            held_at_unlink: Some(25),
            walks: Some(300),
            isolated_gap: Some(1),
            preemptions: Some(1),
            hypercalls: Some(1),
            walks_backed_off: Some(25),
            freed_by_ticket: Some(50),
            freed_by_grace_period: Some(50),
            ..Counts::new(&measured)
        };
        Row { counts, ..Row::without_counts(&spec, spec.policy[0], 16, Status::Ok) }
    }

    #[test]
    fn each_identity_is_missed_by_its_name() {
        let words = "policy=pending switchers=1 flushers=1 isolated=1 preempted=1 flush=hypercall remap=on";
        assert_eq!(good(words).judge(), Ok(()));
        type Break = fn(&mut Counts);
        let broken: [(Break, &str); 24] = [
            (|c| c.flush_acks = Some(299), "flush requests sent"),
            (|c| c.flush_ipis = Some(299), "flush requests sent"),
            (|c| c.sync_acks = Some(1), "sync requests sent"),
            (|c| c.sync_ipis = Some(1), "sync requests sent"),
            (|c| c.other_ipis = Some(1), "other requests sent"),
            (|c| c.other_acks = Some(1), "other requests sent"),
            (|c| c.interrupts_taken = Some(301), "interrupts taken"),
            (|c| c.cleared_by_own_flush = Some(99), "sum of its causes"),
            (|c| c.cleared_by_sync = Some(1), "sum of its causes"),
            (|c| c.cleared_by_other_flush = Some(1), "sum of its causes"),
            (|c| c.cleared_by_other_ipi = Some(1), "sum of its causes"),
            (|c| c.pending_before = Some(2), "pending before"),
            (|c| c.pending_after = Some(2), "pending before"),
            (|c| c.syncs_asked = Some(101), "syncs asked for"),
            (|c| c.syncs_skipped = Some(99), "syncs asked for"),
            (|c| c.syncs_sent = Some(1), "syncs asked for"),
            (|c| c.least_ops_walked = Some(99), "every worker walks"),
            (|c| c.least_switcher_walks = Some(0), "every switcher"),
            (|c| c.least_flusher_flushes = None, "every flusher"),
            (|c| c.isolated_gap = Some(0), "every isolated CPU"),
            (|c| c.remaps_read = Some(99), "every kernel mapping"),
            (|c| c.preemptions = Some(0), "vCPUs are preempted"),
            (|c| c.held_at_unlink = Some(9), "a tenth of the operations"),
            (|c| c.set = None, "a count is missing"),
        ];
        for (breaks, fault) in broken {
            let mut row = good(words);
            breaks(&mut row.counts);
            assert!(row.judge().is_err_and(|error| error.contains(fault)), "{fault}: {row:#?}");
        }
    }

    #[test]
    fn a_sender_that_may_be_preempted_moves() {
        let judge = |words: &str, moves| {
            let mut row = good(&format!("policy=pending {words}"));
            row.counts.moves = moves;
            row.judge()
        };
        let is_refused =
            |words: &str| judge(words, Some(0)).is_err_and(|error| error.contains("preempted moves"));
        assert!(is_refused("sender=preemptible") && !is_refused("sender=pinned"));
        assert!(!is_refused("sender=preemptible flushers=1"), "its flushes may all be the flusher's");
        let between = "sender=preemptible workload=reclaim between=protect";
        assert!(is_refused(between) && !is_refused(&format!("{between} invlpgb=on")), "a sibling's flushes");
        assert_eq!(judge("sender=preemptible", Some(1)), Ok(()));
    }

    #[test]
    fn kernel_mappings_are_counted_in_the_row_about_all() {
        let row = good("policy=pending workload=mixed remap=on");
        let counts = Counts { remaps_read: None, ..row.counts.clone() };
        assert_eq!(Row { mm: MmName::Global, counts, ..row }.judge(), Ok(()));
    }

    #[test]
    fn without_the_guard_of_nmis_a_policy_that_trusts_what_is_loaded_may_be_caught() {
        let judge = |words: &str, status| Row { status, ..good(words) }.judge();
        for sample in ["switch", "lazy"] {
            let words = |policy, guard| format!("policy={policy} sample={sample} nmi_guard={guard} invlpgb=on");
            assert_eq!(judge(&words("pending", "off"), Status::Violation), Ok(()));
            assert!(judge(&words("pending", "on"), Status::Violation).is_err());
            assert!(judge(&words("broadcast", "off"), Status::Violation).is_err());
            // No walker is inside where it is refused.
            assert!(!judge(&words("never", "on"), Status::Ok).is_err_and(|error| error.contains("caught")));
            let unsampled = judge(&words("pending", "on"), Status::Ok);
            assert!(unsampled.is_err_and(|error| error.contains("sampled in a tenth")));
        }
        assert!(judge("policy=pending sample=walk nmi_guard=off", Status::Violation).is_err());
    }

    #[test]
    fn an_unsafe_policy_is_to_be_caught_where_no_flush_interrupts() {
        let is_caught = |words: &str| {
            let row = good(words);
            assert_eq!(Row { status: Status::Violation, ..row.clone() }.judge(), Ok(()), "{words}");
            row.judge().is_err_and(|error| error.contains("was to be caught"))
        };
        assert!(is_caught("policy=never invlpgb=on"));
        assert!(!is_caught("policy=never invlpgb=off"));
        assert!(!is_caught("policy=never invlpgb=on asids=0"));
        assert!(!is_caught("policy=never invlpgb=on workload=unmap"));
        assert!(!is_caught("policy=never invlpgb=on hold=0"));
        assert!(is_caught("policy=never invlpgb=on pins=every:2"));
        assert!(!is_caught("policy=never invlpgb=on pins=every:1"));
        assert!(!is_caught("policy=never invlpgb=on mm_cpus=1 threshold=1"));
        assert!(is_caught("policy=gather-posted invlpgb=on workload=unshare"));
        assert!(!is_caught("policy=gather-posted invlpgb=on workload=unshare sharers=2"));
        assert!(!is_caught("policy=gather-posted invlpgb=on"));
        assert!(is_caught("policy=property flush=none"));
        assert!(is_caught("policy=never flush=hypercall-all"));
        assert!(!is_caught("policy=never flush=hypercall"));
        assert!(is_caught("policy=never flush=none"));
    }

    #[test]
    fn a_row_that_was_cut_short_says_how() {
        for status in Status::ALL.iter().copied().filter(|status| *status != Status::Ok) {
            let row = Row { status, detail: Some("why".to_string()), ..good("policy=pending") };
            let said =
                if status == Status::Violation { "caught: why".into() } else { format!("{status}: why") };
            assert_eq!(row.judge(), Err(said));
        }
    }

    #[test]
    fn item_10_an_unsafe_policy_may_be_caught_and_not_break_off() {
        let row = Row { status: Status::Violation, ..good("policy=never") };
        assert_eq!(row.judge(), Ok(()));
        let cut = Row { counts: Counts::default(), detail: Some("a panic".to_string()), ..row };
        assert_eq!(cut.judge(), Err("caught: a panic".to_string()));
    }

    #[test]
    fn the_mms_of_mixed_are_judged_one_by_one() {
        let row = |mm, held| {
            let mut row = Row { mm, ..good("workload=mixed policy=pending") };
            row.counts.held_at_unlink = Some(held);
            row.judge()
        };
        assert_eq!(row(MmName::Total, 0), Ok(()));
        assert!(row(MmName::Ipi, 0).is_err() && row(MmName::Ipi, 25).is_ok());
    }
}
