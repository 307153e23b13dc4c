//! What came out, on a page.

use std::collections::BTreeMap;

use comfy_table::{Table, presets};

use super::file::Variant;
use super::herd::Outcome;
use super::model::Model;
use super::needed::Shown;

/// A test under a model, and what came out.
pub struct Verdict {
    pub variant: String,
    pub model: Model,
    pub is_expected_to_fail: bool,
    pub outcome: Outcome,
}

impl Verdict {
    /// Whether it fails.
    fn fails(&self) -> bool {
        self.outcome.is_found || self.outcome.is_race
    }

    /// Whether it is as the head of the test says.
    pub fn is_good(&self) -> bool {
        self.fails() == self.is_expected_to_fail
    }
}

fn table(first: &str, last: Option<&str>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let header = [first].into_iter().chain(Model::ALL.map(Model::name)).chain(last);
    table.set_header(header);
    table
}

/// A line for each test.
pub fn tests(verdicts: &[Verdict]) -> String {
    let mut table = table("test", None);
    for verdicts in verdicts.chunk_by(|a, b| a.variant == b.variant) {
        let word = |verdict: &Verdict| match (verdict.outcome.is_found, verdict.outcome.is_race) {
            (true, _) => "fails",
            (false, true) => "race",
            (false, false) => "holds",
        };
        table.add_row([verdicts[0].variant.as_str()].into_iter().chain(verdicts.iter().map(word)));
    }
    format!("{}\n", table.trim_fmt())
}

/// A line for each ordering of `src/`: where it is needed.
pub fn orderings(rows: &BTreeMap<String, Shown>) -> String {
    let mut table = table("needed", Some("by, or why not"));
    for (name, shown) in rows {
        let (words, by) = match shown {
            Shown::By(twin, models) => {
                (Model::ALL.map(|model| if models.contains(&model) { "yes" } else { "no" }), twin)
            }
            Shown::Not(why) => (Model::ALL.map(|_| "-"), why),
        };
        table.add_row([name.as_str()].into_iter().chain(words).chain([by.as_str()]));
    }
    format!("{}\n", table.trim_fmt())
}

/// In a sentence.
pub fn summary(variants: &[&Variant], verdicts: &[Verdict]) -> String {
    let bases = variants.iter().filter(|variant| !variant.name.contains('/')).count();
    let negative = variants.iter().filter(|variant| variant.is_negative).count();
    let good = verdicts.iter().filter(|verdict| verdict.is_good()).count();
    format!(
        "{bases} litmus tests and {} twins, {negative} of them negative: {good} of {} verdicts as expected",
        variants.len() - bases,
        verdicts.len()
    )
}

/// What is not as it should be.
pub fn fault(verdict: &Verdict) -> String {
    let (found, expected) =
        match (verdict.outcome.is_found, verdict.outcome.is_race, verdict.is_expected_to_fail) {
            (true, _, _) => ("what must not come out does", "holds"),
            (false, true, _) => ("there is a data race", "holds"),
            (false, false, _) => ("it holds", "fails"),
        };
    format!("{} under {}: {found}; its head says that it {expected}", verdict.variant, verdict.model.name())
}
