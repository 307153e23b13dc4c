//! What the host and the program that runs selftests say to each other.

use serde::{Deserialize, Serialize};

/// The file, at the root of the initramfs, with the selftests to be run: [`Selftests`] as JSON.
pub const SELFTESTS: &str = "/selftests.json";
/// The folder of their programs.
pub const PROGRAMS: &str = "/selftests";
/// What a kernel says when something has gone wrong that it survives.
const WARNING: &str = "WARNING: ";
/// What it says when it cannot go on, or perhaps cannot.
const COMPLAINTS: [&str; 5] = ["Kernel panic", "BUG: ", "Oops: ", "general protection fault", "kernel BUG at"];
/// So many of the last lines of a test are told.
const LINES: usize = 16;

/// Whether a line of a kernel says that it may not be able to go on.
#[must_use]
pub fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|words| line.contains(words))
}

/// Whether it says that anything has gone wrong.
#[must_use]
pub fn is_warning(line: &str) -> bool {
    line.contains(WARNING) || is_complaint(line)
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selftests {
    /// All are run again until so many seconds are over.
    pub seconds: u64,
    /// A run that takes so many seconds is killed.
    pub limit: u64,
    /// The program and the arguments of each.
    pub tests: Vec<Vec<String>>,
}

/// One run of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The status it has ended with; none if it was killed.
    pub code: Option<i32>,
    /// The signal that has killed it; none, and no status either, if it took too long.
    pub signal: Option<i32>,
    /// How long it took.
    pub seconds: u64,
    /// What it has said.
    pub tap: Tap,
    /// What the kernel has complained of meanwhile.
    pub complaint: Option<String>,
}

/// What a test says of its parts, in the Test Anything Protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    /// How many have passed.
    pub passed: u64,
    /// How many were skipped. That there are none is a skip, too.
    pub skipped: u64,
    /// The lines of those that have failed, and are not known to.
    pub failed: Vec<String>,
    /// The first line of a part that was skipped.
    pub skip: Option<String>,
    /// The last lines of all.
    pub last: Vec<String>,
}

impl Tap {
    /// Reads what a test has said.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut tap = Tap::default();
        for line in text.lines().map(str::trim_end) {
            let (is_ok, is_not) = (line.starts_with("ok "), line.starts_with("not ok "));
            let has = |directive: &str| line.contains(directive);
            let has_none = line == "1..0" || line.starts_with("1..0 ");
            if has_none || (is_ok || is_not) && (has("# SKIP") || has("# skip")) {
                tap.skipped += 1;
                tap.skip.get_or_insert_with(|| line.to_owned());
            } else if is_ok || is_not && (has("# TODO") || has("# XFAIL")) {
                tap.passed += 1;
            } else if is_not {
                tap.failed.push(line.to_owned());
            }
        }
        let last: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        tap.last = last[last.len().saturating_sub(LINES)..].to_vec();
        tap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_passed_failed_and_were_skipped_are_told_apart() {
        let text = "TAP version 13\n1..4\nok 1 a\nok 2 b # SKIP no hugetlb\nnot ok 3 c\n# why\nnot ok 4 d # XFAIL known\n";
        let tap = Tap::read(text);
        assert_eq!((tap.passed, tap.skipped), (2, 1));
        assert_eq!(tap.failed, ["not ok 3 c"]);
        assert_eq!(tap.skip.as_deref(), Some("ok 2 b # SKIP no hugetlb"));
        assert_eq!(tap.last.last().map(String::as_str), Some("not ok 4 d # XFAIL known"));
        assert_eq!(Tap::read(""), Tap::default());
        let none = Tap::read("TAP version 13\n1..0\n# PASSED: 0 / 0 tests passed.\n");
        assert_eq!((none.passed, none.skipped, none.skip.as_deref()), (0, 1, Some("1..0")));
        assert_eq!(Tap::read("1..10\nok 1 a\n").skipped, 0);
    }
}
