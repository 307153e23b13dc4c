//! What many rounds of one test have shown, as a line of KTAP.

use std::collections::BTreeMap;

use super::calls::Kind;
use super::round::Verdict;
use crate::ending::Ending;
use crate::ktap;

/// So many rounds may be inconclusive, and are done again.
const REPEATS: usize = 3;

/// How the kernel runs, and so what is to come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// As it is: every operation waits.
    Waits,
    /// Its sync made a no-op, its flushes no proof: no operation waits.
    Missing,
    /// Its sync made a no-op, its flushes interrupts: every operation waits in its flush.
    WaitsInFlush,
}

/// The rounds of one test.
#[derive(Debug)]
pub struct Tally {
    name: String,
    expected: Expected,
    wanted: usize,
    told: Vec<Verdict>,
    untold: Vec<String>,
    /// Why no more came.
    died: Option<String>,
}

impl Tally {
    /// Of a test of this name, in which so many rounds are to be told.
    pub fn new(name: String, expected: Expected, wanted: usize) -> Self {
        Tally { name, expected, wanted, told: Vec::new(), untold: Vec::new(), died: None }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the sync is a no-op.
    pub fn is_self_test(&self) -> bool {
        self.expected != Expected::Waits
    }

    /// Whether another round is due.
    pub fn wants_more(&self) -> bool {
        self.told.len() < self.wanted && self.untold.len() <= REPEATS
    }

    /// The number of the round that comes next.
    pub fn next(&self) -> usize {
        self.told.len() + self.untold.len()
    }

    /// Adds a round.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Inconclusive(reason) => self.untold.push(reason),
            verdict => self.told.push(verdict),
        }
    }

    /// No more rounds come, for this reason.
    pub fn end(&mut self, reason: &str) {
        self.died.get_or_insert_with(|| reason.to_owned());
    }

    /// What came out: 1 for a sync that is missing or a self-test that was not passed, 3 if it cannot be told.
    pub fn ending(&self) -> Ending {
        let is_missing = |verdict: &Verdict| matches!(verdict, Verdict::Missing(_));
        let is_in_flush =
            |verdict: &Verdict| matches!(verdict, Verdict::Waits(wait) if wait.kind == Kind::Flush);
        let is_right = |verdict: &Verdict| match self.expected {
            Expected::Waits => !is_missing(verdict),
            Expected::Missing => is_missing(verdict),
            Expected::WaitsInFlush => is_in_flush(verdict),
        };
        if !self.told.iter().all(is_right) {
            Ending::Broken
        } else if self.told.len() < self.wanted {
            Ending::NotRun
        } else {
            Ending::AsPromised
        }
    }

    /// Why it cannot be told, where that is so.
    fn reason(&self) -> Option<&str> {
        let died = self.died.as_deref().or(self.untold.last().map(String::as_str));
        died.filter(|_| self.ending() == Ending::NotRun)
    }

    /// What came out, in words.
    fn words(&self) -> String {
        let mut counts = BTreeMap::new();
        for verdict in &self.told {
            let words = match verdict {
                Verdict::Waits(wait) => format!("waits in {wait}"),
                Verdict::Missing(missing) => match missing.leaked {
                    Some(_) => "MISSING SYNC, and the walker read what another process wrote".to_owned(),
                    None => "MISSING SYNC".to_owned(),
                },
                Verdict::Inconclusive(_) => continue,
            };
            *counts.entry(words).or_insert(0) += 1;
        }
        let all = self.wanted;
        let mut words: Vec<_> =
            counts.into_iter().map(|(words, count)| format!("{words}, {count} of {all} rounds")).collect();
        if let Some(reason) = self.died.as_deref().filter(|_| self.told.len() < self.wanted) {
            words.push(format!("inconclusive: {reason}"));
        } else if let Some(reason) = self.untold.last() {
            let (count, done) = (self.untold.len(), self.told.len());
            let end = if done < self.wanted { "inconclusive" } else { "done again" };
            words.push(format!("{end}, {count} times: {reason}"));
        }
        if self.ending() == Ending::Broken && self.is_self_test() {
            let should = match self.expected {
                Expected::WaitsInFlush => "every round should wait in the flush",
                _ => "every round should be MISSING",
            };
            words.push(format!("{should}: a missing sync would not be seen"));
        }
        words.join("; ")
    }

    /// A line of KTAP.
    pub fn line(&self, number: usize) -> String {
        let result = if self.ending() == Ending::AsPromised { ktap::Result::Ok } else { ktap::Result::NotOk };
        ktap::line(number, &self.name, &result, &self.words())
    }
}

/// How several tests ended together.
pub fn together(tallies: &[Tally]) -> Ending {
    let any = |ending| tallies.iter().any(|tally| tally.ending() == ending);
    [Ending::Broken, Ending::NotRun].into_iter().find(|ending| any(*ending)).unwrap_or(Ending::AsPromised)
}

/// What is wrong with several tests, in one line, if anything is.
pub fn fault(tallies: &[Tally]) -> Option<String> {
    let names = |ending, is_self_test| {
        let of_kind =
            tallies.iter().filter(|tally| tally.ending() == ending && tally.is_self_test() == is_self_test);
        of_kind.map(|tally| tally.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let all = [
        ("a sync is missing", names(Ending::Broken, false)),
        ("a self-test failed", names(Ending::Broken, true)),
        ("inconclusive", [names(Ending::NotRun, false), names(Ending::NotRun, true)].join(", ")),
        // The first stands for all.
        ("the reason", tallies.iter().find_map(Tally::reason).unwrap_or_default().to_owned()),
    ];
    let said = all.into_iter().map(|(what, names)| (what, names.trim_matches([',', ' ']).to_owned()));
    let said: Vec<_> =
        said.filter(|(_, names)| !names.is_empty()).map(|(what, names)| format!("{what}: {names}")).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::fault as fault_of;
    use super::*;
    use crate::linux::check::calls::Wait;
    use crate::linux::check::round::{Missing, Site};

    fn waits(kind: Kind, function: &str) -> Verdict {
        Verdict::Waits(Wait { kind, function: function.into() })
    }

    fn sync() -> Verdict {
        waits(Kind::Sync, "tlb_remove_table_sync_one")
    }

    fn flush() -> Verdict {
        waits(Kind::Flush, "flush_tlb_mm_range")
    }

    fn missing(leaked: Option<char>) -> Verdict {
        let site = Site { at: "pmdp_collapse_flush".into(), stack: Vec::new() };
        Verdict::Missing(Box::new(Missing { walker: "CPU 1".into(), site, result: 0, leaked }))
    }

    fn untold() -> Verdict {
        Verdict::Inconclusive("it slept".into())
    }

    fn tally(expected: Expected, verdicts: Vec<Verdict>) -> Tally {
        let mut tally = Tally::new("collapse.pv".into(), expected, 2);
        verdicts.into_iter().for_each(|verdict| tally.add(verdict));
        tally
    }

    #[test]
    fn each_kind_of_rounds_has_its_line_and_its_status() {
        use Expected::{Missing, Waits, WaitsInFlush};
        let cases = [
            (
                Waits,
                vec![sync(), sync()],
                Ending::AsPromised,
                "ok 1 collapse.pv # waits in tlb_remove_table_sync_one, 2 of 2 rounds",
            ),
            (
                Waits,
                vec![sync(), missing(None)],
                Ending::Broken,
                "not ok 1 collapse.pv # MISSING SYNC, 1 of 2 rounds; waits in tlb_remove_table_sync_one, 1 of 2 rounds",
            ),
            // One that is missing outweighs what cannot be told.
            (
                Waits,
                vec![missing(Some('S')), untold()],
                Ending::Broken,
                "not ok 1 collapse.pv # MISSING SYNC, and the walker read what another process wrote, 1 of 2 rounds; \
                 inconclusive, 1 times: it slept",
            ),
            (
                Waits,
                vec![sync()],
                Ending::NotRun,
                "not ok 1 collapse.pv # waits in tlb_remove_table_sync_one, 1 of 2 rounds",
            ),
            (Waits, vec![], Ending::NotRun, "not ok 1 collapse.pv"),
            (
                Missing,
                vec![missing(None), missing(None)],
                Ending::AsPromised,
                "ok 1 collapse.pv # MISSING SYNC, 2 of 2 rounds",
            ),
            (
                Missing,
                vec![missing(None), sync()],
                Ending::Broken,
                "not ok 1 collapse.pv # MISSING SYNC, 1 of 2 rounds; waits in tlb_remove_table_sync_one, 1 of 2 rounds; \
                 every round should be MISSING: a missing sync would not be seen",
            ),
            (
                WaitsInFlush,
                vec![flush(), flush()],
                Ending::AsPromised,
                "ok 1 collapse.pv # waits in flush_tlb_mm_range, 2 of 2 rounds",
            ),
            (
                WaitsInFlush,
                vec![flush(), sync()],
                Ending::Broken,
                "not ok 1 collapse.pv # waits in flush_tlb_mm_range, 1 of 2 rounds; \
                 waits in tlb_remove_table_sync_one, 1 of 2 rounds; \
                 every round should wait in the flush: a missing sync would not be seen",
            ),
        ];
        for (expected, verdicts, ending, line) in cases {
            let tally = tally(expected, verdicts);
            assert_eq!((tally.ending(), tally.line(1).as_str()), (ending, line));
        }
    }

    #[test]
    fn rounds_that_cannot_be_told_are_done_again_and_not_for_ever() {
        let mut again = tally(Expected::Waits, vec![untold(), sync()]);
        assert!(again.wants_more());
        again.add(sync());
        assert!(!again.wants_more() && again.ending() == Ending::AsPromised && again.next() == 3);
        assert!(again.line(2).ends_with("; done again, 1 times: it slept"), "{}", again.line(2));
        let never = tally(Expected::Waits, vec![untold(), untold(), untold(), untold()]);
        assert!(!never.wants_more() && never.ending() == Ending::NotRun);
        assert_eq!(never.line(1), "not ok 1 collapse.pv # inconclusive, 4 times: it slept");
    }

    #[test]
    fn a_machine_that_died_is_no_pass() {
        let mut died = tally(Expected::Waits, vec![sync()]);
        died.end("Kernel panic");
        died.end("QEMU has gone");
        assert_eq!(died.ending(), Ending::NotRun);
        assert!(died.line(1).ends_with("1 of 2 rounds; inconclusive: Kernel panic"), "{}", died.line(1));
        let broken = tally(Expected::Waits, vec![missing(None)]);
        let all = [died, broken, tally(Expected::Missing, vec![]), tally(Expected::Missing, vec![sync()])];
        assert_eq!((together(&all), together(&all[..1])), (Ending::Broken, Ending::NotRun));
        let fault = "a sync is missing: collapse.pv; a self-test failed: collapse.pv; inconclusive: collapse.pv, collapse.pv; \
                     the reason: Kernel panic";
        assert_eq!(fault_of(&all).as_deref(), Some(fault));
        assert_eq!(fault_of(&[tally(Expected::Waits, vec![sync(), sync()])]), None);
    }
}
