//! What was proved, on a page.

use comfy_table::{CellAlignment, Table, presets};
use gupsync_checker::report::Exploration;

use super::checker::{Checker, Ran};
use crate::mutants::Mutant;

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something that must hold.
    Property,
    /// A mistake that must be caught.
    Mutant,
    /// An ordering or fence that must be missed.
    Ordering,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As far as it was looked at.
    Held,
    /// A property did not hold.
    Broken,
    /// A mistake was caught.
    Caught,
    /// A mistake was not caught.
    Survived,
    /// It makes no difference, and it is said why.
    Equivalent,
    /// It could not be told.
    Unknown(String),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::Broken => "BROKEN",
            Verdict::Caught => "caught",
            Verdict::Survived => "SURVIVED",
            Verdict::Equivalent => "equivalent",
            Verdict::Unknown(_) => "UNKNOWN",
        }
    }
}

/// What one checker has to say of one thing.
#[derive(Clone, Debug)]
pub struct Line {
    /// What kind of thing.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// By which checker.
    pub checker: Checker,
    /// What else there is to say: a bound, a model, a reason.
    pub note: String,
    /// CPUs at work.
    pub cpus: usize,
    /// Executions or states.
    pub explored: u64,
    /// Seconds.
    pub seconds: f64,
    /// How it ended.
    pub verdict: Verdict,
}

impl Line {
    /// Of a property.
    pub fn property(exploration: Exploration) -> Self {
        let checker = if exploration.checker == "tso" { Checker::Tso } else { Checker::Loom };
        Line {
            kind: Kind::Property,
            name: exploration.property,
            checker,
            note: exploration.bound.unwrap_or_else(|| "exhausted".to_owned()),
            cpus: exploration.cpus,
            explored: exploration.explored,
            seconds: exploration.seconds,
            verdict: if exploration.held { Verdict::Held } else { Verdict::Broken },
        }
    }

    /// Of a mistake, and the models that were to catch it.
    pub fn mutant(checker: Checker, mutant: &Mutant, ran: &Ran) -> Self {
        Line::mistake(Kind::Mutant, checker, &mutant.name, ran)
    }

    /// Of something that must be caught.
    pub fn mistake(kind: Kind, checker: Checker, name: &str, ran: &Ran) -> Self {
        let found = ran.explorations.iter().find(|exploration| !exploration.held);
        let verdict = match found {
            Some(_) if !ran.held => Verdict::Caught,
            _ => Verdict::Survived,
        };
        Line {
            kind,
            name: name.to_owned(),
            checker,
            note: found.or(ran.explorations.first()).map(|one| one.property.clone()).unwrap_or_default(),
            cpus: found.map_or(0, |one| one.cpus),
            explored: ran.explorations.iter().map(|one| one.explored).sum(),
            seconds: ran.explorations.iter().map(|one| one.seconds).sum(),
            verdict,
        }
    }

    /// Of what did not come to an end.
    pub fn unknown(kind: Kind, checker: Checker, name: &str, why: &anyhow::Error) -> Self {
        Line {
            kind,
            name: name.to_owned(),
            checker,
            note: String::new(),
            cpus: 0,
            explored: 0,
            seconds: 0.0,
            verdict: Verdict::Unknown(format!("{why:#}")),
        }
    }

    /// While it goes on.
    pub fn progress(&self) -> String {
        let why = match &self.verdict {
            Verdict::Unknown(why) => format!(": {why}"),
            _ => String::new(),
        };
        format!("{:4} {:10} {}{why}", self.checker.name(), self.verdict.word(), self.name)
    }
}

/// All of it: properties first, then what was caught.
pub fn render(lines: &[Line]) -> String {
    [Kind::Property, Kind::Mutant, Kind::Ordering].map(|kind| of(kind, lines)).concat()
}

fn of(kind: Kind, lines: &[Line]) -> String {
    let mut lines: Vec<_> = lines.iter().filter(|line| line.kind == kind).collect();
    if lines.is_empty() {
        return String::new();
    }
    lines.sort_by(|a, b| (&a.name, a.checker.name()).cmp(&(&b.name, b.checker.name())));
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let (name, note) = match kind {
        Kind::Property => ("property", "bound"),
        Kind::Mutant => ("mutant", "caught by"),
        Kind::Ordering => ("weakened", "caught by, or why it is equivalent"),
    };
    table.set_header([name, "checker", "CPUs", "explored", "seconds", "", note]);
    for line in lines {
        let cpus = if line.cpus == 0 { "-".to_owned() } else { line.cpus.to_string() };
        table.add_row([
            line.name.as_str(),
            line.checker.name(),
            &cpus,
            &line.explored.to_string(),
            &format!("{:.1}", line.seconds),
            line.verdict.word(),
            &line.note,
        ]);
    }
    for column in [2, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n\n", table.trim_fmt())
}

/// In a sentence.
pub fn summary(lines: &[Line]) -> String {
    let count = |kind, verdict: &[Verdict]| {
        lines.iter().filter(|line| line.kind == kind && verdict.contains(&line.verdict)).count()
    };
    let all = |kind| lines.iter().filter(|line| line.kind == kind).count();
    let mut said = format!(
        "{} of {} explorations held, {} of {} mutants caught",
        count(Kind::Property, &[Verdict::Held]),
        all(Kind::Property),
        count(Kind::Mutant, &[Verdict::Caught]),
        all(Kind::Mutant)
    );
    if all(Kind::Ordering) > 0 {
        said += &format!(
            ", {} of {} weakenings caught, {} equivalent",
            count(Kind::Ordering, &[Verdict::Caught]),
            all(Kind::Ordering),
            count(Kind::Ordering, &[Verdict::Equivalent])
        );
    }
    said
}
