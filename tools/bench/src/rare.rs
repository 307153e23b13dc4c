//! The rare paths: what a row must have seen of those that it asked for.
//!
//! # Guarantee
//!
//! A row that asked for pins, for held walkers, for preempted vCPUs, for deferred tables or for visits to another mm
//! has gone through what handles them. Pins are found exactly as often as they were asked for, unless walkers race or a
//! collapse has several ranges: a walker may then be called with a page in its hands that it is about to give back, and a
//! collapse finds that pinned, too.

use alloc::string::String;

use crate::choice::{Flush, Kind, MmName, Workload};
use crate::judge::{sum, value};
use crate::row::Row;
use crate::text::OrMixed;

impl Row {
    /// What must hold, and how it is called.
    pub(crate) fn rare_paths(&self) -> Result<[(bool, &'static str); 7], String> {
        let c = &self.counts;
        let (ops, pinned, held) = (value(c.ops)?, value(c.ops_pinned)?, value(c.held_at_unlink)?);
        let due = self.pins_due(ops);
        let is_one_kind =
            |kinds: &[Kind]| self.workload != Workload::Mixed && kinds.contains(&self.operations[0]);
        // A walker that is inside when the table goes finds its page, and the entry above it changed.
        // An NMI handler pins none; and of several ranges a walker is held in one.
        // In an upper table it finds nothing below that.
        let backs_off = is_one_kind(&[Kind::Collapse, Kind::Unshare])
            && !self.exit.is_on()
            && !self.is_sampled_between_tasks()
            && self.ranges == 1
            && self.policy.is_safe()
            && !self.races();
        // How long a grace period takes is not promised: where CPUs walk by themselves, none may end in a few operations.
        let defers = (is_one_kind(&[Kind::Unmap]) || self.exit.is_on()) && ops > 1 && !self.races();
        let failed = value(c.ops_failed)?;
        Ok([
            (
                pinned == due || self.may_find_more_pinned() && pinned > due,
                "so many collapses find a page pinned as were given one",
            ),
            (
                failed == pinned || self.ranges > 1 && failed > 0 && failed < pinned,
                "an operation is taken back if it finds a page pinned, and only then",
            ),
            (!backs_off || value(c.walks_backed_off)? >= held, "a walker that is held at the unlink backs off"),
            (
                !self.leaves_flushes(ops) || c.hypercalls > Some(0),
                "flushes of preempted vCPUs are left to the hypervisor",
            ),
            (!self.keeps_asids() || c.asids_kept > Some(0), "translations are kept while another mm is loaded"),
            (!self.finds_asids_behind() || c.asids_behind > Some(0), "an ASID that was kept is found behind"),
            (!defers || sum(&[c.freed_by_ticket, c.freed_by_grace_period])? > 0, "deferred tables are freed"),
        ])
    }

    /// Whether walkers may walk at any time, so that one may have a page in its hands when the table goes.
    pub(crate) fn races(&self) -> bool {
        self.workload == Workload::Mixed
            || self.eager.is_on()
            || self.remap.is_on()
            || self.switchers > 0
            || self.flushers > 0
    }

    /// Whether a collapse may find a page in the hands of a walker that is about to give it back: of one that walks at any
    /// time, or of one that was held in a range which goes after the flush of another has called it.
    pub(crate) fn may_find_more_pinned(&self) -> bool {
        self.races() || self.ranges > 1 && self.hold > 0
    }

    /// In how many of its operations a worker has a page of the range pinned: one collapse of so many, of each team.
    fn pins_due(&self, ops: u64) -> u64 {
        let Some(pins) = self.pins.0 else { return 0 };
        let Some(place) = self.operations.iter().position(|kind| *kind == Kind::Collapse) else { return 0 };
        let is_sum = self.workload == Workload::Mixed && self.mm == MmName::Total;
        let teams = if is_sum { MmName::ALL.len() as u64 - 1 } else { 1 };
        let kinds = self.operations.len() as u64;
        let collapses = (ops / teams + kinds - 1 - place as u64) / kinds;
        teams * (collapses / pins.0)
    }

    /// Whether workers go to another mm and back, and keep what they have of either.
    fn keeps_asids(&self) -> bool {
        // What is kept of the other mm is in the row about all.
        self.visits.is_on() && self.pcids > 1 && self.walkers() > 0 && self.mm == MmName::Total
    }

    /// Whether each operation flushes their mm while they have the other loaded.
    fn finds_asids_behind(&self) -> bool {
        let is_flushed = self.workload != Workload::Mixed && self.workload != Workload::Unshare;
        let sleeps_elsewhere = !self.naps.is_on() && !self.eager.is_on() && self.hold == 0;
        // The one that goes on touching has the mm loaded meanwhile.
        let is_one_free = self.walkers() > usize::from(self.touch.is_on() || self.remap.is_on());
        // Around a reclaim it goes by the other mm of the batch, too: there is to be room for three.
        let has_room = self.workload != Workload::Reclaim || self.pcids > 2;
        // Guests that load the mm count, too, where it is given a global ASID.
        let guests = self.switchers + self.flushers + self.lazy + self.stale;
        let may_be_global = self.invlpgb.is_on() && self.mm_cpus + guests >= self.threshold && self.asids > 0;
        // One that comes back from being offline has kept nothing.
        let all_stay = self.hotplug == 0;
        self.keeps_asids()
            && is_flushed
            && sleeps_elsewhere
            && is_one_free
            && has_room
            && all_stay
            && !may_be_global
    }

    /// Whether a vCPU is preempted while an operation flushes by hypercall.
    fn leaves_flushes(&self, ops: u64) -> bool {
        let is_asked = match self.workload {
            Workload::Mixed => {
                [MmName::Hypercall, MmName::Total].contains(&self.mm)
                    && self.operations.iter().any(|kind| *kind != Kind::Reclaim)
            }
            // A batch goes by INVLPGB where that is used, whatever its mms have.
            Workload::Reclaim if self.invlpgb.is_on() => false,
            _ => self.preempted > 0 && self.flush == OrMixed(Some(Flush::Hypercall)) && !self.is_global(),
        };
        // A CPU between two tasks is lazy, or elsewhere: a plain flush leaves it out. And a flusher may call the vCPU out of
        // its walk before it is preempted, every time.
        is_asked && self.holds(ops) && !self.is_sampled_between_tasks() && self.flushers == 0
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::counts::Counts;
    use crate::judge::tests::good;

    /// What the verdict says of a row of `words` with these counts.
    fn judged(words: &str, change: impl Fn(&mut Counts)) -> Result<(), String> {
        let mut row = good(words);
        change(&mut row.counts);
        row.judge()
    }

    fn is_refused(words: &str, fault: &str, change: impl Fn(&mut Counts)) -> bool {
        judged(words, change).is_err_and(|error| error.contains(fault))
    }

    #[test]
    fn item_5_so_many_collapses_find_a_page_pinned_as_were_given_one() {
        let pinned = |count| {
            move |c: &mut Counts| {
                c.ops_pinned = Some(count);
                c.ops_failed = Some(count);
            }
        };
        let fault = "find a page pinned";
        for (words, due) in [
            ("policy=pending", 0),
            ("policy=pending pins=every:1", 100),
            ("policy=pending pins=every:3", 33),
            ("policy=pending pins=every:101", 0),
            ("policy=pending pins=every:4 workload=piggyback-kernel", 25),
            // Five mms, with 20 operations each, of which 5, 7 and 6 are collapses.
            ("policy=pending pins=every:2 workload=mixed", 10),
            ("policy=pending pins=every:2 workload=mixed operations=collapse,unmap,protect", 15),
            ("policy=pending pins=every:2 workload=mixed operations=unmap,protect,collapse", 15),
            ("policy=pending pins=every:7 workload=mixed operations=unmap,protect,collapse", 0),
        ] {
            assert_eq!(judged(words, pinned(due)), Ok(()), "{words}");
            assert!(due == 0 || is_refused(words, fault, pinned(due - 1)), "{words}");
            // A walker that races may be caught with a page in its hands.
            let races = words.contains("mixed");
            assert!(
                is_refused(&format!("{words} ranges=3 hold=0"), fault, pinned(due + 1)) || races,
                "{words}"
            );
            assert_eq!(is_refused(words, fault, pinned(due + 1)), !races, "{words}");
            let several: &[_] = if words.contains("workload") { &[] } else { &["ranges=3"] };
            for race in ["eager=on", "remap=on", "switchers=1", "flushers=1"].iter().chain(several) {
                let words = format!("{words} {race}");
                assert_eq!(judged(&words, pinned(due + 1)), Ok(()), "{words}");
                assert!(due == 0 || is_refused(&words, fault, pinned(due - 1)), "{words}");
            }
        }
    }

    #[test]
    fn item_5_a_collapse_that_finds_a_page_pinned_is_taken_back() {
        let words = "policy=pending pins=every:4";
        for failed in [0, 24, 26] {
            let change = |c: &mut Counts| (c.ops_pinned, c.ops_failed) = (Some(25), Some(failed));
            assert!(is_refused(words, "is taken back", change), "{failed}");
        }
    }

    #[test]
    fn item_5_held_walkers_back_off_where_a_table_goes_that_maps_pages() {
        let fault = "backs off";
        for (words, is_due) in [
            ("policy=pending", true),
            ("policy=pending workload=unshare", true),
            ("policy=pending workload=unshare exit=on", false),
            // The pages go first.
            ("policy=pending workload=unmap", false),
            ("policy=pending eager=on", false),
            ("policy=never", false),
        ] {
            assert_eq!(is_refused(words, fault, |c| c.walks_backed_off = Some(24)), is_due, "{words}");
        }
    }

    #[test]
    fn item_5_preempted_vcpus_leave_flushes_to_the_hypervisor() {
        let fault = "left to the hypervisor";
        for (words, is_due) in [
            ("policy=pending preempted=1 flush=hypercall", true),
            ("policy=pending preempted=1 flush=hypercall invlpgb=on", false),
            ("policy=pending preempted=1 flush=hypercall invlpgb=on asids=0", true),
            ("policy=pending preempted=1 flush=hypercall hold=0", false),
            ("policy=pending preempted=1 flush=hypercall flushers=1", false),
            ("policy=pending flush=hypercall", false),
            ("policy=pending workload=mixed", true),
            ("policy=pending workload=mixed operations=reclaim", false),
            ("policy=pending workload=reclaim preempted=1 flush=hypercall", true),
            ("policy=pending workload=reclaim preempted=1 flush=hypercall invlpgb=on asids=0", false),
        ] {
            assert_eq!(is_refused(words, fault, |c| c.hypercalls = Some(0)), is_due, "{words}");
        }
    }

    #[test]
    fn item_1_4_asids_are_kept_and_found_behind() {
        let counts =
            |kept, behind| move |c: &mut Counts| (c.asids_kept, c.asids_behind) = (Some(kept), Some(behind));
        for (words, keeps, finds_behind) in [
            ("policy=pending", false, false),
            ("policy=pending visits=on hold=0", true, true),
            ("policy=pending visits=on", true, false),
            ("policy=pending visits=on hold=0 invlpgb=on", true, false),
            ("policy=pending visits=on hold=0 naps=on", true, false),
            ("policy=pending visits=on hold=0 pcids=1", false, false),
            ("policy=pending visits=on hold=0 mm_cpus=1", false, false),
            ("policy=pending visits=on hold=0 mm_cpus=2 touch=on", true, false),
            ("policy=pending visits=on hold=0 mm_cpus=2 remap=on", true, false),
            ("policy=pending visits=on hold=0 mm_cpus=3 touch=on", true, true),
            ("policy=pending visits=on hold=0 mm_cpus=2 invlpgb=on", true, true),
            ("policy=pending visits=on hold=0 mm_cpus=2 invlpgb=on lazy=2", true, false),
            ("policy=pending visits=on hold=0 workload=reclaim pcids=2", true, false),
            ("policy=pending visits=on hold=0 workload=reclaim pcids=3", true, true),
        ] {
            let [kept, behind] = ["translations are kept", "is found behind"];
            assert_eq!(is_refused(words, kept, counts(0, 1)), keeps, "{words}");
            assert_eq!(is_refused(words, behind, counts(1, 0)), finds_behind, "{words}");
            assert_eq!(judged(words, counts(1, 1)), Ok(()), "{words}");
        }
    }

    #[test]
    fn item_5_deferred_tables_are_freed() {
        let fault = "deferred tables";
        for (words, is_due) in [
            ("policy=pending workload=unmap", true),
            ("policy=pending workload=unmap gather=0", true),
            ("policy=pending workload=unmap switchers=1", false),
            ("policy=pending workload=unshare exit=on", true),
            ("policy=pending workload=unshare", false),
            ("policy=pending", false),
        ] {
            let none = |c: &mut Counts| (c.freed_by_ticket, c.freed_by_grace_period) = (Some(0), Some(0));
            assert_eq!(is_refused(words, fault, none), is_due, "{words}");
            assert_eq!(judged(words, |c| c.freed_by_ticket = Some(0)), Ok(()), "{words}");
            assert_eq!(judged(words, |c| c.freed_by_grace_period = Some(0)), Ok(()), "{words}");
        }
    }
}
