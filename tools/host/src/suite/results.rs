//! How tests ended, as cargo says it.
//!
//! # Guarantee
//!
//! No test is lost: `announced` is what each program said that it would run, whether or not it came to its end.

use crate::ktap;

/// The tests of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// How many were to be run.
    pub announced: usize,
    /// Those that ended.
    pub tests: Vec<(String, ktap::Result)>,
    /// What was said of those that failed.
    pub failures: String,
}

impl Results {
    /// What `said`, the standard output of `cargo test`, tells.
    pub fn read(said: &str) -> Self {
        let mut results = Results::default();
        let mut is_of_failures = false;
        for line in said.lines() {
            if let Some(count) = announced(line) {
                results.announced += count;
            } else if let Some(test) = ended(line) {
                results.tests.push(test);
            }
            is_of_failures = (is_of_failures || line == "failures:") && !line.starts_with("test result: ");
            if is_of_failures {
                results.failures += &format!("{line}\n");
            }
        }
        results
    }

    /// Whether all ended, and none failed.
    pub fn are_good(&self) -> bool {
        self.tests.len() == self.announced
            && self.tests.iter().all(|(_, result)| *result != ktap::Result::NotOk)
    }
}

/// `running 12 tests`
fn announced(line: &str) -> Option<usize> {
    let count = line.strip_prefix("running ")?;
    count.strip_suffix(" tests").or(count.strip_suffix(" test"))?.parse().ok()
}

/// `test name ... ok`. What is said in front of a name, of a test that is skipped, is the reason.
fn ended(line: &str) -> Option<(String, ktap::Result)> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let name = name.trim();
    let (kind, name) = match name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((kind, name)) => (Some(kind), name),
        None => (None, name),
    };
    let result = match end.split_once(", ").map_or((end, kind), |(end, reason)| (end, Some(reason))) {
        ("ok", _) => ktap::Result::Ok,
        ("FAILED", _) => ktap::Result::NotOk,
        ("ignored", reason) => {
            let reason = reason.unwrap_or("ignored");
            ktap::Result::Skip(reason.strip_prefix("skipped: ").unwrap_or(reason).to_owned())
        }
        _ => return None,
    };
    Some((name.to_owned(), result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_both_harnesses_are_read() {
        let said = "\
running 3 tests
test a::fine ... ok
test a::left_out ... ignored, needs a server
test a::bad - should panic ... FAILED

failures:

---- a::bad stdout ----
it did not

failures:
    a::bad

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out

running 1 test
test [skipped: no Limine here; name its folder by LIMINE_DIR] limine::bios ... ignored

running 2 tests
test padded        ... ok
";
        let results = Results::read(said);
        let named = |name: &str, result| (name.to_owned(), result);
        let skip = |reason: &str| ktap::Result::Skip(reason.to_owned());
        let expected = [
            named("a::fine", ktap::Result::Ok),
            named("a::left_out", skip("needs a server")),
            named("a::bad - should panic", ktap::Result::NotOk),
            named("limine::bios", skip("no Limine here; name its folder by LIMINE_DIR")),
            named("padded", ktap::Result::Ok),
        ];
        assert_eq!((results.announced, &results.tests[..]), (6, &expected[..]));
        assert!(results.failures.contains("it did not") && !results.failures.contains("test result"));
        assert!(!results.are_good());
    }

    #[test]
    fn a_test_that_did_not_come_to_its_end_is_no_pass() {
        let told = |said: &str| Results::read(said).are_good();
        assert!(told("running 2 tests\ntest a ... ok\ntest b ... ok\n"));
        assert!(!told("running 2 tests\ntest a ... ok\ntest b ... "));
        assert!(!told("running 2 tests\ntest a ... ok\n"));
    }
}
