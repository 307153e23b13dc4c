//! What the runs of one selftest have shown, as a line of KTAP.

use gupsync_guest::{Run, Tap};

use crate::ending::Ending;

/// The status by which a selftest says that it was skipped.
const SKIPPED: i32 = 4;

/// What a run has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// With its reason.
    Skipped(String),
    /// Likewise.
    Failed(String),
}

/// What a test said that explains its end: of a part of it, else last.
fn words(tap: &Tap) -> String {
    let line = tap.failed.first().or(tap.skip.as_ref()).or(tap.last.last());
    line.map(|line| format!(": {}", line.trim_start_matches("# "))).unwrap_or_default()
}

/// The run without the parts that cannot pass on this machine, which are skipped. A status that says no more than that one of
/// them has failed is none.
fn without(mut run: Run, lacking: &[String]) -> Run {
    let is_lacking = |line: &String| line.split(' ').any(|word| lacking.iter().any(|name| name == word));
    let (skipped, failed): (Vec<_>, Vec<_>) = run.tap.failed.into_iter().partition(is_lacking);
    run.tap.failed = failed;
    if !skipped.is_empty() && run.tap.failed.is_empty() && run.code == Some(1) {
        run.code = Some(0);
    }
    run.tap.skipped += skipped.len() as u64;
    run.tap.skip = run.tap.skip.or(skipped.into_iter().next());
    run
}

/// What `run` has shown, which was given `limit` seconds.
fn verdict(run: &Run, limit: u64) -> Verdict {
    let said = words(&run.tap);
    match (&run.complaint, run.code, run.signal) {
        (Some(complaint), ..) => Verdict::Failed(format!("Linux said: {complaint}")),
        (_, Some(SKIPPED), _) if run.tap.failed.is_empty() => {
            Verdict::Skipped(format!("it skips itself{said}"))
        }
        (_, Some(0), _) if !run.tap.failed.is_empty() => Verdict::Failed(format!("a part has failed{said}")),
        (_, Some(0), _) if run.tap.passed == 0 && run.tap.skipped > 0 => {
            Verdict::Skipped(format!("it skips all its parts{said}"))
        }
        (_, Some(0), _) => Verdict::Passed,
        (_, Some(code), _) => Verdict::Failed(format!("it ended with {code}{said}")),
        (_, None, Some(signal)) => Verdict::Failed(format!("it was ended by signal {signal}{said}")),
        (_, None, None) => Verdict::Failed(format!("it took more than {limit} s{said}")),
    }
}

/// The runs of one test.
#[derive(Debug)]
pub struct Tally {
    name: String,
    /// Its parts that cannot pass on this machine.
    lacking: Vec<String>,
    /// Why there is no program.
    unbuilt: Option<String>,
    runs: Vec<(Run, Verdict)>,
    is_under_way: bool,
    /// Why no more came, if that is this test's affair.
    died: Option<String>,
}

impl Tally {
    /// Of a test of this name, which can be run unless there is a reason that it was not built.
    pub fn new(name: String, lacking: Vec<String>, unbuilt: Option<String>) -> Self {
        Tally { name, lacking, unbuilt, runs: Vec::new(), is_under_way: false, died: None }
    }

    /// A run begins.
    pub fn begin(&mut self) {
        self.is_under_way = true;
    }

    /// It has ended, of `limit` seconds that it was given; says how.
    pub fn add(&mut self, run: Run, limit: u64) -> String {
        self.is_under_way = false;
        let run = without(run, &self.lacking);
        let verdict = verdict(&run, limit);
        let said = match &verdict {
            Verdict::Passed => "passed".to_owned(),
            Verdict::Skipped(reason) | Verdict::Failed(reason) => reason.clone(),
        };
        let said = format!("{}: {said}, {} s", self.name, run.seconds);
        self.runs.push((run, verdict));
        said
    }

    /// The machine has ended too early, for this reason: that is the affair of a test that was under way or had not begun.
    pub fn end(&mut self, reason: &str) {
        if self.unbuilt.is_none() && (self.is_under_way || self.runs.is_empty()) {
            self.died = Some(reason.to_owned());
        }
    }

    fn count(&self, is_one: impl Fn(&Verdict) -> bool) -> usize {
        self.runs.iter().filter(|(_, verdict)| is_one(verdict)).count()
    }

    fn passes(&self) -> usize {
        self.count(|verdict| *verdict == Verdict::Passed)
    }

    fn failure(&self) -> Option<String> {
        let reason = self.runs.iter().find_map(|(_, verdict)| match verdict {
            Verdict::Failed(reason) => Some(reason),
            _ => None,
        });
        let count = self.count(|verdict| matches!(verdict, Verdict::Failed(_)));
        let failed = reason.map(|reason| format!("{count} of {} runs: {reason}", self.runs.len()));
        let not_run = || self.runs.is_empty() && self.unbuilt.is_none();
        failed.or(self.died.clone()).or_else(|| not_run().then(|| "it was not run".to_owned()))
    }

    fn skip(&self) -> Option<String> {
        let reason = self.runs.iter().find_map(|(_, verdict)| match verdict {
            Verdict::Skipped(reason) => Some(reason.clone()),
            _ => None,
        });
        let unbuilt = self.unbuilt.as_ref().map(|reason| format!("it cannot be built: {reason}"));
        unbuilt.or(reason)
    }

    /// What came out: a pass is earned by runs, none of which has failed.
    pub fn ending(&self) -> Ending {
        match (self.failure(), self.passes()) {
            (Some(_), _) => Ending::Broken,
            (None, 0) => Ending::NotRun,
            (None, _) => Ending::AsPromised,
        }
    }

    /// A line of KTAP.
    pub fn line(&self, number: usize) -> String {
        let words = match (self.ending(), self.failure(), self.skip()) {
            (Ending::Broken, reason, _) => reason.unwrap_or_default(),
            (Ending::AsPromised, ..) => self.passed(),
            (_, _, reason) => format!("SKIP {}", reason.unwrap_or_default()),
        };
        let result = if self.ending() == Ending::Broken { "not ok" } else { "ok" };
        // A `#` begins a directive there.
        let words = words.replace('#', "");
        format!("{result} {number} {} # {words}", self.name)
    }

    fn passed(&self) -> String {
        let last = &self.runs[self.runs.len() - 1].0;
        let seconds = self.runs.iter().map(|(run, _)| run.seconds).sum::<u64>();
        let mut words = format!("passed {} of {} runs, {seconds} s", self.passes(), self.runs.len());
        if last.tap.passed + last.tap.skipped > 0 {
            let (passed, skipped) = (last.tap.passed, last.tap.skipped);
            words += &format!("; of its parts {passed} passed, {skipped} were skipped");
            words += &last.tap.skip.iter().map(|line| format!(": {line}")).collect::<String>();
        }
        words
    }
}

/// What several have shown, in numbers.
pub fn totals(tallies: &[Tally]) -> String {
    let count = |ending| tallies.iter().filter(|tally| tally.ending() == ending).count();
    let (passed, failed) = (count(Ending::AsPromised), count(Ending::Broken));
    let runs = tallies.iter().map(|tally| tally.runs.len()).sum::<usize>();
    let seconds = tallies.iter().flat_map(|tally| &tally.runs).map(|(run, _)| run.seconds).sum::<u64>();
    let skipped = count(Ending::NotRun);
    format!("# Totals: pass:{passed} fail:{failed} skip:{skipped}; {runs} runs, {seconds} s")
}

/// How they ended together: 1 if any has failed, 3 if none has passed.
pub fn together(tallies: &[Tally]) -> Ending {
    let any = |ending| tallies.iter().any(|tally| tally.ending() == ending);
    let known = [Ending::Broken, Ending::AsPromised].into_iter().find(|ending| any(*ending));
    known.unwrap_or(Ending::NotRun)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(code: Option<i32>, said: &str) -> Run {
        Run { code, signal: None, seconds: 2, tap: Tap::read(said), complaint: None }
    }

    fn tally(runs: Vec<Run>) -> Tally {
        let mut tally = Tally::new("t -x".to_owned(), vec!["needs_swap".to_owned()], None);
        for run in runs {
            tally.begin();
            assert!(tally.add(run, 9).starts_with("t -x: "));
        }
        tally
    }

    fn line(runs: Vec<Run>) -> String {
        tally(runs).line(1)
    }

    #[test]
    fn a_pass_is_a_process_that_ends_with_0_and_no_part_that_failed() {
        let good = || run(Some(0), "ok 1 a\nok 2 b # SKIP no memory\n");
        assert_eq!(
            line(vec![good(), good()]),
            "ok 1 t -x # passed 2 of 2 runs, 4 s; of its parts 1 passed, 1 were skipped: ok 2 b  SKIP no memory"
        );
        assert_eq!(line(vec![run(Some(0), "")]), "ok 1 t -x # passed 1 of 1 runs, 2 s");
        for (bad, reason) in [
            (run(Some(0), "ok 1 a\nnot ok 2 b\n"), "a part has failed: not ok 2 b"),
            (run(Some(1), "a word\n"), "it ended with 1: a word"),
            (run(Some(4), "not ok 1 a\n"), "it ended with 4: not ok 1 a"),
            (run(None, ""), "it took more than 9 s"),
            (Run { signal: Some(11), ..run(None, "") }, "it was ended by signal 11"),
            (Run { complaint: Some("WARNING: x".to_owned()), ..good() }, "Linux said: WARNING: x"),
        ] {
            assert_eq!(line(vec![good(), bad]), format!("not ok 1 t -x # 1 of 2 runs: {reason}"));
        }
    }

    #[test]
    fn a_part_that_cannot_pass_here_is_skipped_and_no_other() {
        let said = "ok 1 a\nnot ok 2 needs_swap\n";
        let passed =
            "ok 1 t -x # passed 1 of 1 runs, 2 s; of its parts 1 passed, 1 were skipped: not ok 2 needs_swap";
        assert_eq!(line(vec![run(Some(1), said)]), passed);
        let other = format!("{said}not ok 3 b\n");
        assert_eq!(
            line(vec![run(Some(1), &other)]),
            "not ok 1 t -x # 1 of 1 runs: it ended with 1: not ok 3 b"
        );
        assert!(line(vec![run(Some(3), said)]).starts_with("not ok 1 t -x # 1 of 1 runs: it ended with 3"));
        let nothing_else = "not ok 2 needs_swap\n";
        assert!(line(vec![run(Some(1), nothing_else)]).starts_with("ok 1 t -x # SKIP it skips all its parts"));
    }

    #[test]
    fn what_is_skipped_or_not_built_is_no_pass() {
        let skipped = run(Some(4), "ok 1 # SKIP no CONFIG_X\n");
        assert_eq!(line(vec![skipped.clone()]), "ok 1 t -x # SKIP it skips itself: ok 1  SKIP no CONFIG_X");
        let all = run(Some(0), "ok 1 # SKIP no CONFIG_X\n");
        assert!(line(vec![all]).starts_with("ok 1 t -x # SKIP it skips all its parts: "));
        let unbuilt = Tally::new("t".to_owned(), Vec::new(), Some("no libnuma".to_owned()));
        assert_eq!(unbuilt.line(3), "ok 3 t # SKIP it cannot be built: no libnuma");
        let skipped = [tally(vec![skipped]), unbuilt];
        assert_eq!(together(&skipped), Ending::NotRun);
        assert_eq!(totals(&skipped), "# Totals: pass:0 fail:0 skip:2; 1 runs, 2 s");
    }

    #[test]
    fn a_machine_that_ends_too_early_is_the_failure_of_what_had_not_ended() {
        let (mut done, mut under_way, mut never) =
            (tally(vec![run(Some(0), "")]), tally(vec![run(Some(0), "")]), tally(vec![]));
        under_way.begin();
        let mut unbuilt = Tally::new("u".to_owned(), Vec::new(), Some("no libnuma".to_owned()));
        for tally in [&mut done, &mut under_way, &mut never, &mut unbuilt] {
            tally.end("a panic");
        }
        let endings = [&done, &under_way, &never, &unbuilt].map(Tally::ending);
        assert_eq!(endings, [Ending::AsPromised, Ending::Broken, Ending::Broken, Ending::NotRun]);
        assert_eq!(under_way.line(1), "not ok 1 t -x # a panic");
        assert_eq!(tally(vec![]).line(1), "not ok 1 t -x # it was not run");
        assert_eq!(together(&[done, under_way]), Ending::Broken);
    }
}
