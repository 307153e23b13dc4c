//! Where a count of [`Class::Exact`] is exact.
//!
//! # Guarantee
//!
//! Two rows of the same settings have the same value in each count that is [exact](Row::is_exact) in both, whatever machine has
//! made them and whatever day it was, if one thread ran all its CPUs.
//!
//! What is left out, and why, is listed here and nowhere else: `diff`, `--repeat` and the comparison of the kernel with the
//! simulated machine go by it.

use gupsync::policy::{PendingTargeted, Policy, Targeted, TargetedPosted};

use crate::choice::{Kind, Status, Workload};
use crate::counts::{Class, Counter};
use crate::row::Row;

/// Which interrupt covered a ticket.
const CAUSES: &[&str] =
    &["cleared_by_own_flush", "cleared_by_sync", "cleared_by_other_flush", "cleared_by_other_ipi"];
/// Tickets that are covered, or not yet.
const COVERED: &[&str] = &["pending_before", "pending_after", "cleared"];
/// What a policy that looks who walks has sent, or not.
const SYNCS: &[&str] =
    &["sync_ipis", "sync_acks", "syncs_skipped", "syncs_sent", "cleared_by_sync", "isolated_sync_requests"];
/// How many CPUs a flush has interrupted.
const FLUSHES: &[&str] = &["flush_ipis", "flush_acks", "isolated_flush_requests"];
/// Local ASIDs that were found again.
const ASIDS: &[&str] = &["asids_kept", "asids_behind"];
/// Collapses that were taken back.
const PINNED: &[&str] = &["ops_pinned", "ops_failed"];
/// What CPUs that keep no step with a team leave alone.
const OF_TEAMS: &[&str] = &[
    "ops",
    "ops_failed",
    "ops_pinned",
    "syncs_asked",
    "set",
    "held_at_unlink",
    "remaps_read",
    "moves",
    "offlined",
    "sync_violations",
    "stale_translations",
];

impl Row {
    /// Whether this count is exact in this row.
    pub fn is_exact(&self, counter: &Counter) -> bool {
        let is_one_of = |keys: &[&str]| keys.contains(&counter.key);
        let is_free = self.switchers > 0 || self.flushers > 0 || self.comes_and_goes_between_unshares();
        let is_mixed = self.workload == Workload::Mixed;
        counter.class == Class::Exact
            && self.status == Status::Ok
            && !self.policy.is_linux()
            && !self.eager.is_on()
            && (!is_free || is_one_of(OF_TEAMS))
            && !(self.may_find_more_pinned() && is_one_of(PINNED))
            // What one team calls may cover what another has unlinked, sooner or later.
            && !(is_mixed && (is_one_of(CAUSES) || is_one_of(COVERED)))
            && !(self.looks_who_walks() && self.may_walk_between_unshares() && is_one_of(SYNCS))
            // A walker that was called comes back to be held again, in time for what looks at it next or not.
            && !(self.is_sampled_between_tasks() && is_one_of(ASIDS))
            && !(self.goes_elsewhere_beside_a_sibling() && [CAUSES, SYNCS, FLUSHES].into_iter().any(is_one_of))
            && !((self.preempted > 0 || is_mixed) && is_one_of(&["preemptions"]))
    }

    fn unshares(&self) -> bool {
        self.operations.contains(&Kind::Unshare)
    }

    fn looks_who_walks(&self) -> bool {
        [Targeted::NAME, TargetedPosted::NAME, PendingTargeted::NAME].contains(&&*self.policy)
    }

    /// Between two unshares walkers may walk, unless each is held at each.
    fn may_walk_between_unshares(&self) -> bool {
        self.unshares() && !self.interleave.is_on()
    }

    /// When a sibling has answered it goes back to where it sleeps, as a walker that was called does to where it is held. If the
    /// mm is not what is loaded there, the next flush or sync calls it or does not.
    fn goes_elsewhere_beside_a_sibling(&self) -> bool {
        let goes = self.visits.is_on() || self.naps.is_on() || self.is_sampled_between_tasks();
        Workload::PIGGYBACK.contains(&self.workload) && (goes || self.hotplug > 0)
    }

    /// Between two unshares one that naps, or was offline, may be back or not when a sender looks at it.
    fn comes_and_goes_between_unshares(&self) -> bool {
        self.unshares() && (self.naps.is_on() || self.hotplug > 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::counts::COUNTERS;
    use crate::judge::tests::good;

    #[test]
    fn a_count_is_exact_unless_it_depends_on_when_things_happen() {
        for (words, key, is_exact) in [
            ("policy=pending", "sync_ipis", true),
            ("policy=pending", "walks", false),
            ("policy=pending eager=on", "sync_ipis", false),
            ("policy=pending flushers=1", "sync_ipis", false),
            ("policy=pending flushers=1", "set", true),
            ("policy=pending flushers=1", "ops_pinned", false),
            ("policy=pending ranges=2", "ops_pinned", false),
            ("policy=pending ranges=2 hold=0", "ops_pinned", true),
            ("policy=pending naps=on", "sync_ipis", true),
            ("policy=pending naps=on workload=unshare", "sync_ipis", false),
            ("policy=pending hotplug=1 workload=unshare", "flush_ipis", false),
            ("policy=pending hotplug=1 workload=unshare", "offlined", true),
            ("policy=targeted", "sync_ipis", true),
            ("policy=targeted workload=unshare", "sync_ipis", false),
            ("policy=targeted workload=unshare", "flush_ipis", true),
            ("policy=targeted workload=unshare interleave=on", "sync_ipis", true),
            ("policy=mask workload=unshare", "sync_ipis", true),
            ("policy=pending workload=mixed", "cleared_by_sync", false),
            ("policy=broadcast workload=mixed", "cleared", false),
            ("policy=pending workload=mixed", "preemptions", false),
            ("policy=pending workload=mixed", "flush_ipis", true),
            ("policy=pending workload=piggyback-protect sample=walk", "flush_ipis", true),
            ("policy=pending workload=piggyback-protect sample=switch", "flush_ipis", false),
            ("policy=pending workload=piggyback-kernel sample=switch", "cleared", true),
            ("policy=mask workload=piggyback-kernel visits=on hold=0", "sync_ipis", false),
            ("policy=mask workload=piggyback-kernel hold=0", "sync_ipis", true),
            ("policy=mask visits=on hold=0", "sync_ipis", true),
            ("policy=pending sample=lazy", "asids_kept", false),
            ("policy=pending preempted=1", "preemptions", false),
        ] {
            let counter = COUNTERS.iter().find(|counter| counter.key == key).expect(key);
            assert_eq!(good(words).is_exact(counter), is_exact, "{words}: {key}");
        }
    }
}
