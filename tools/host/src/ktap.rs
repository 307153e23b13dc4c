//! KTAP version 1, the form in which Linux's tests say how they ended: `Documentation/dev-tools/ktap.rst` there.

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Result {
    /// As it was to.
    Ok,
    /// Otherwise, or not at all.
    NotOk,
    /// It was not run, for this reason.
    Skip(String),
}

/// The first line.
pub const VERSION: &str = "KTAP version 1";

/// So much further to the right is what is said of the tests within a test.
const INDENT: &str = "  ";

/// The line that says how many tests there are.
pub fn plan(tests: usize) -> String {
    format!("1..{tests}")
}

/// The line of a test, and what else there is to say of it.
pub fn line(number: usize, name: &str, result: &Result, said: &str) -> String {
    let (word, directive) = match result {
        Result::Ok => ("ok", String::new()),
        Result::NotOk => ("not ok", String::new()),
        Result::Skip(reason) => ("ok", format!("SKIP {reason}")),
    };
    // A `#` begins a directive.
    let [name, said] = [name, &[directive.as_str(), said].join(" ")].map(|text| text.replace('#', ""));
    match said.trim() {
        "" => format!("{word} {number} {name}"),
        said => format!("{word} {number} {name} # {said}"),
    }
}

/// Lines about what comes next.
pub fn comment(text: &str) -> String {
    text.lines().map(|line| format!("# {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The tests within the test `name`, of which so many were to be run, and what is said of them all.
pub fn within(name: &str, planned: usize, tests: &[(String, Result)], said: &str) -> String {
    let mut lines = vec![VERSION.to_owned(), comment(&format!("Subtest: {name}")), plan(planned)];
    lines.extend(tests.iter().enumerate().map(|(index, (name, result))| line(index + 1, name, result, "")));
    if !said.is_empty() {
        lines.push(comment(said));
    }
    let indented = lines.iter().flat_map(|text| text.lines()).map(|line| format!("{INDENT}{line}"));
    indented.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_one_directive_and_a_name_none() {
        let skip = Result::Skip("no #herd7".to_owned());
        for (name, result, said, expected) in [
            ("reads", Result::Ok, "", "ok 3 reads"),
            ("reads", Result::NotOk, "by luck", "not ok 3 reads # by luck"),
            ("a # SKIP name", Result::NotOk, "", "not ok 3 a  SKIP name"),
            ("litmus", skip, "", "ok 3 litmus # SKIP no herd7"),
        ] {
            assert_eq!(line(3, name, &result, said), expected);
        }
    }

    #[test]
    fn tests_within_a_test_are_further_to_the_right_with_a_plan_of_their_own() {
        let tests = [("one".to_owned(), Result::Ok), ("two".to_owned(), Result::NotOk)];
        let text = within("boots", 3, &tests, "two: it died\n\nat once");
        let expected = "  KTAP version 1\n  # Subtest: boots\n  1..3\n  ok 1 one\n  not ok 2 two\n  # two: it died\n  #\n  # at once";
        assert_eq!(text, expected);
    }
}
