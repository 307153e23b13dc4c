//! What was proved, on a page.

use anyhow::anyhow;
use comfy_table::{CellAlignment, Table, presets};
use gupsync_checker::report::{Exploration, Step};
use serde::{Deserialize, Serialize};

use super::checker::{Checker, Ran};
use crate::mutants::Mutant;
use crate::table::number;

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something that must hold.
    Property,
    /// A mistake that must be caught.
    Mutant,
    /// An ordering or fence that must be missed.
    Ordering,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// In a word; one that is not as it should be in capitals.
    pub fn word(&self) -> &'static str {
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// What kind of thing.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// By which checker.
    pub checker: Checker,
    /// What else there is to say: a bound, a model, a reason.
    pub note: String,
    /// The step of the protocol that a mutant changes.
    pub step: String,
    /// How many models were run.
    pub models: usize,
    /// CPUs at work.
    pub cpus: usize,
    /// Executions or states.
    pub explored: u64,
    /// Seconds.
    pub seconds: f64,
    /// How it ended.
    pub verdict: Verdict,
    /// Of a mutant: what the mistake is, what it stands for, and how it breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mistake: Option<Mistake>,
}

/// What is known of a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// What is wrong, in a sentence.
    pub what: String,
    /// The proposal or review remark that it comes from.
    pub stands_for: String,
    /// What is wrong in the end, where the shortest way to it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// That way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<Step>,
}

/// How far one that was given up had come.
fn cut_off(exploration: &Exploration) -> String {
    let Exploration { explored, seconds, .. } = exploration;
    format!("given up after {seconds:.0} s and {explored} executions or states")
}

impl Line {
    /// Of a property.
    pub fn property(exploration: Exploration) -> Self {
        let checker = if exploration.checker == "tso" { Checker::Tso } else { Checker::Loom };
        Line {
            kind: Kind::Property,
            name: exploration.property.clone(),
            step: String::new(),
            checker,
            models: 1,
            verdict: match (exploration.held, exploration.cut_off) {
                (true, _) => Verdict::Held,
                (false, false) => Verdict::Broken,
                (false, true) => Verdict::Unknown(cut_off(&exploration)),
            },
            note: exploration.bound.unwrap_or_else(|| "exhausted".to_owned()),
            cpus: exploration.cpus,
            explored: exploration.explored,
            seconds: exploration.seconds,
            mistake: None,
        }
    }

    /// Of a mutant, and the models that were to catch it; or to hold, if it is no mistake.
    pub fn mutant(checker: Checker, mutant: &Mutant, ran: &Ran) -> Self {
        let mut line = Line::mistake(Kind::Mutant, checker, &mutant.name, ran);
        line.step.clone_from(&mutant.step);
        let steps = ran.explorations.iter().find_map(|exploration| exploration.steps);
        let found = ran.explorations.iter().find(|one| !one.trace.is_empty());
        line.mistake = Some(Mistake {
            what: mutant.mistake.clone(),
            stands_for: mutant.stands_for.clone(),
            fault: found.and_then(|one| one.fault.clone()),
            trace: found.map(|one| one.trace.clone()).unwrap_or_default(),
        });
        if let Some(steps) = steps {
            line.note += &format!(", in {steps} steps");
        }
        match (&mutant.equivalent, mutant.at_most, line.verdict == Verdict::Caught) {
            (Some(why), _, false) => {
                line.verdict = Verdict::Equivalent;
                line.note.clone_from(why);
            }
            (Some(_), _, true) => line.verdict = Verdict::Unknown("not equivalent after all".to_owned()),
            (None, Some(most), true) if checker == Checker::Tso && steps.is_none_or(|steps| steps > most) => {
                line.verdict = Verdict::Unknown(format!("its trace is to be of {most} steps at most"));
            }
            _ => {}
        }
        line
    }

    /// Leaves out which lines of their files its steps are at: those of a program that holds many mutants are in no tree.
    pub fn forget_lines(&mut self) {
        for step in self.mistake.iter_mut().flat_map(|mistake| &mut mistake.trace) {
            let file = step.place.rfind(':').unwrap_or(step.place.len());
            step.place.truncate(file);
        }
    }

    /// Of something that must be caught.
    pub fn mistake(kind: Kind, checker: Checker, name: &str, ran: &Ran) -> Self {
        let found = ran.explorations.iter().find(|one| !one.held && !one.cut_off);
        let verdict = match (found, ran.explorations.iter().find(|one| !one.held)) {
            (Some(_), _) if !ran.held => Verdict::Caught,
            (None, Some(one)) => Verdict::Unknown(cut_off(one)),
            _ => Verdict::Survived,
        };
        Line {
            kind,
            name: name.to_owned(),
            step: String::new(),
            checker,
            note: found.or(ran.explorations.first()).map(|one| one.property.clone()).unwrap_or_default(),
            models: ran.explorations.len(),
            cpus: found.map_or(0, |one| one.cpus),
            explored: ran.explorations.iter().map(|one| one.explored).sum(),
            seconds: ran.explorations.iter().map(|one| one.seconds).sum(),
            verdict,
            mistake: None,
        }
    }

    /// Of a weakening that makes no difference, and was not tried.
    pub fn equivalent(name: &str, why: &str) -> Self {
        Line {
            verdict: Verdict::Equivalent,
            note: why.to_owned(),
            ..Line::unknown(Kind::Ordering, Checker::Loom, name, &anyhow!("not tried"))
        }
    }

    /// Of what did not come to an end.
    pub fn unknown(kind: Kind, checker: Checker, name: &str, why: &anyhow::Error) -> Self {
        Line {
            kind,
            name: name.to_owned(),
            step: String::new(),
            checker,
            note: String::new(),
            models: 0,
            cpus: 0,
            explored: 0,
            seconds: 0.0,
            verdict: Verdict::Unknown(format!("{why:#}")),
            mistake: None,
        }
    }

    /// Whether it is as it should be.
    pub fn is_good(&self) -> bool {
        !matches!(self.verdict, Verdict::Broken | Verdict::Survived | Verdict::Unknown(_))
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

/// All of it: properties first, then what was caught. The models of a property are put together, unless they are asked for
/// one by one.
pub fn render(lines: &[Line], by_model: bool) -> String {
    let all = [Kind::Property, Kind::Mutant, Kind::Ordering].map(|kind| {
        let mut lines: Vec<_> = lines.iter().filter(|line| line.kind == kind).cloned().collect();
        lines.sort_by(|a, b| (&a.name, a.checker.name()).cmp(&(&b.name, b.checker.name())));
        if kind == Kind::Property && !by_model { of(kind, &by_property(&lines)) } else { of(kind, &lines) }
    });
    all.concat()
}

/// Models whose names begin alike, put together.
pub fn by_property(models: &[Line]) -> Vec<Line> {
    let property = |line: &Line| line.name.split("::").next().unwrap_or_default().to_owned();
    let mut lines: Vec<Line> = Vec::new();
    for model in models {
        let same = |line: &&mut Line| line.name == property(model) && line.checker == model.checker;
        match lines.iter_mut().find(same) {
            Some(line) => line.join(model),
            None => lines.push(Line { name: property(model), ..model.clone() }),
        }
    }
    lines.sort_by(|a, b| (&a.name, a.checker.name()).cmp(&(&b.name, b.checker.name())));
    lines
}

impl Line {
    /// With another model of the same property. What is worst of either is the verdict.
    fn join(&mut self, model: &Line) {
        self.models += model.models;
        self.cpus = self.cpus.max(model.cpus);
        self.explored += model.explored;
        self.seconds += model.seconds;
        if !self.note.split("; ").any(|note| note == model.note) {
            self.note += &format!("; {}", model.note);
        }
        if model.verdict != Verdict::Held {
            self.verdict = model.verdict.clone();
        }
    }
}

fn of(kind: Kind, lines: &[Line]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(match kind {
        Kind::Property => ["property", "models", "checker", "CPUs", "explored", "seconds", "", "bound"],
        Kind::Mutant => ["mutant", "step", "checker", "CPUs", "explored", "seconds", "", "by, or why"],
        Kind::Ordering => ["weakened", "", "checker", "CPUs", "explored", "seconds", "", "by, or why"],
    });
    for line in lines {
        let models = line.models.to_string();
        let cpus = if line.cpus == 0 { "-".to_owned() } else { line.cpus.to_string() };
        table.add_row([
            line.name.as_str(),
            if kind == Kind::Property { &models } else { &line.step },
            line.checker.name(),
            &cpus,
            &number(Some(line.explored)),
            &format!("{:.1}", line.seconds),
            line.verdict.word(),
            &line.note,
        ]);
    }
    let numbers: &[usize] = if kind == Kind::Property { &[1, 3, 4, 5] } else { &[3, 4, 5] };
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
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
        "{} of {} explorations held, {} of {} mutants caught, {} equivalent",
        count(Kind::Property, &[Verdict::Held]),
        all(Kind::Property),
        count(Kind::Mutant, &[Verdict::Caught]),
        all(Kind::Mutant) - count(Kind::Mutant, &[Verdict::Equivalent]),
        count(Kind::Mutant, &[Verdict::Equivalent])
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

#[cfg(test)]
mod tests {
    use super::*;

    fn exploration(name: &str, held: bool) -> Exploration {
        let (property, checker) = (name.to_owned(), "tso".to_owned());
        let (bound, cut_off, steps, fault, trace) = (None, false, None, None, Vec::new());
        Exploration {
            property,
            checker,
            cpus: 2,
            explored: 10,
            bound,
            seconds: 0.0,
            held,
            cut_off,
            steps,
            fault,
            trace,
        }
    }

    fn model(name: &str, held: bool) -> Line {
        Line::property(exploration(name, held))
    }

    #[test]
    fn a_property_holds_if_all_of_its_models_do() {
        let lines = by_property(&[
            model("a::one", true),
            model("a::two", false),
            model("a::three", true),
            model("b::one", true),
        ]);
        let found: Vec<_> =
            lines.iter().map(|line| (line.name.as_str(), line.models, line.explored, &line.verdict)).collect();
        assert_eq!(found, [("a", 3, 30, &Verdict::Broken), ("b", 1, 10, &Verdict::Held)]);
    }

    #[test]
    fn a_model_that_was_given_up_says_how_far_it_came_and_neither_holds_nor_catches() {
        let given_up = Exploration { cut_off: true, ..exploration("a::one", false) };
        let why = Verdict::Unknown("given up after 0 s and 10 executions or states".to_owned());
        assert_eq!(Line::property(given_up.clone()).verdict, why);
        let explorations = vec![given_up];
        let (unknown, said) = (Vec::new(), String::new());
        let ran = Ran { explorations, held: false, unknown, entered: true, said };
        assert_eq!(Line::mistake(Kind::Ordering, Checker::Tso, "b", &ran).verdict, why);
    }

    #[test]
    fn what_did_not_come_to_an_end_is_not_good() {
        assert!(!Line::unknown(Kind::Mutant, Checker::Tso, "a", &anyhow!("killed")).is_good());
        assert!(!model("a::one", false).is_good());
    }
}
