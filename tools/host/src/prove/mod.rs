//! `prove`: every property of the shipped code, and every mistake that must be caught, by two model checkers.
//!
//! Each checker has a lane of its own, and the two run beside each other: first all models of the code as it is, then each
//! mutant with the models that must fail. What is neither held nor caught, or did not come to an end, is a failure.

pub mod checker;
mod comments;
pub mod document;
mod hunt;
pub mod litmus;
pub mod orderings;
mod partners;
mod sites;
pub mod table;

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};

use crate::args::ProveArgs;
use crate::artifacts::Tree;
use crate::ending::demand;
use crate::mutants::{self, Mutant};
use crate::names::{MODELS, Names};
use crate::say;
use crate::sink::{self, Sink};
use checker::{Checker, How, Lane};
use document::Document;
use table::Kind;
pub use table::Line;

/// What a lane has to do.
struct Plan {
    lane: Lane,
    args: ProveArgs,
    mutants: Vec<Mutant>,
}

/// Runs all of it; says whether every property held and every mistake was caught.
///
/// # Errors
///
/// If something could not be built or run.
pub fn run(args: &ProveArgs) -> Result<bool> {
    if args.list {
        say::out(list(&mutants::all()?).trim_end());
        return Ok(true);
    }
    if args.table {
        return partners::write().map(|()| true);
    }
    let mutants = if args.properties { Vec::new() } else { mutants::all()? };
    if let Some(filter) = args.filter.as_ref().filter(|_| !args.is_part) {
        let is_time = args.deep.is_some() && filter.parse::<u64>().is_ok();
        demand(!is_time, || {
            format!("--deep {filter}: the seconds are a part of the flag; use --deep={filter}")
        })?;
        let is_hunted = |mutant: &Mutant| mutant.loom.is_some() || mutant.tso.is_some();
        let is_one = mutants.iter().any(|mutant| is_hunted(mutant) && mutant.name.contains(filter))
            || Names::Functions.may_have(&Tree::own().root, MODELS, filter)?;
        demand(is_one, || {
            format!("{filter}: no model and no mutant has this in its name; `prove --list` names the mutants")
        })?;
    }
    let sink = args.json.as_deref().map(Sink::open).transpose()?;
    // Asked before anything is written into the checkout.
    let revision = crate::document::revision(&Tree::own().root);
    let since = Instant::now();
    let lines = explore(args)?;
    if let Some(filter) = args.filter.as_ref().filter(|_| lines.is_empty() && !args.is_part) {
        bail!("{filter}: nothing with this in its name was explored");
    }
    let mut said = format!(
        "{}\n{}, {:.0} s",
        table::render(&lines, args.models).trim_end(),
        table::summary(&lines),
        since.elapsed().as_secs_f64()
    );
    // Once more at the end, where a log that was cut still has them.
    lines.iter().filter(|line| !line.is_good()).for_each(|line| said += &format!("\n{}", line.progress()));
    let is_good = lines.iter().all(Line::is_good);
    let document = Document::new(revision, since.elapsed(), lines);
    sink::hand_over(sink, &document, said).map(|()| is_good)
}

/// The same, in lines that are not printed yet: one for each model and each mistake.
///
/// # Errors
///
/// As [`run`].
pub fn explore(args: &ProveArgs) -> Result<Vec<Line>> {
    let mutants = if args.properties { Vec::new() } else { mutants::all()? };
    let lines = Mutex::new(Vec::new());
    let plans = [Checker::Tso, Checker::Loom].map(|checker| Plan {
        lane: Lane::new(checker),
        args: args.clone(),
        mutants: mutants.clone(),
    });
    let models = thread::scope(|scope| {
        let lanes = plans.each_ref().map(|plan| scope.spawn(|| plan.run(&lines)));
        lanes.map(|lane| lane.join().unwrap_or_else(|_| Err(anyhow!("a lane has panicked"))))
    });
    let [tso, loom] = models;
    let (tso, loom) = (tso?, loom?);
    if args.orderings {
        let [tso_lane, loom_lane] = plans.map(|plan| plan.lane);
        orderings::run(&[(tso_lane, tso), (loom_lane, loom)], args.deep.is_some(), &lines)?;
    }
    lines.into_inner().map_err(|_| anyhow!("a lane has panicked"))
}

impl Plan {
    /// Returns where the models of the code as it is are kept.
    fn run(&self, lines: &Mutex<Vec<Line>>) -> Result<PathBuf> {
        let say = |line: Line| {
            say::err(line.progress());
            lines.lock().expect("no thread panics while holding it").push(line);
        };
        mutants::copy_tree(&self.lane.root())?;
        let models = self.lane.build("models")?;
        let filter = self.args.filter.as_deref();
        let properties = || {
            let small = match self.lane.checker() {
                Checker::Loom => self.args.is_part,
                Checker::Tso => self.args.small,
            };
            let how = How { filter, at_once: 2, deep: self.args.deep, small, ..How::default() };
            match self.lane.run(&models, how) {
                Ok(ran) => {
                    if !ran.held {
                        say::err(&ran.said);
                    } else if ran.explorations.is_empty() && filter.is_none() {
                        say(Line::unknown(
                            Kind::Property,
                            self.lane.checker(),
                            "all",
                            &anyhow!("there is none"),
                        ));
                    }
                    for (name, error) in &ran.unknown {
                        say(Line::unknown(Kind::Property, self.lane.checker(), name, error));
                    }
                    ran.explorations.into_iter().map(Line::property).for_each(say);
                }
                Err(error) => say(Line::unknown(Kind::Property, self.lane.checker(), "all", &error)),
            }
        };
        let mutants = || hunt::run(&self.lane, &self.args, &self.mutants, &say);
        // Loom's properties take longest, and two at a time: they come last, when the other lane has nothing left to do.
        match self.lane.checker() {
            Checker::Loom => {
                mutants();
                properties();
            }
            Checker::Tso => {
                properties();
                mutants();
            }
        }
        Ok(models)
    }
}

/// What the mutants are: nothing is run.
fn list(mutants: &[Mutant]) -> String {
    let mut text = String::new();
    for mutant in mutants {
        text += &format!("{} ({})\n    {}\n", mutant.name, mutant.step, mutant.mistake);
        text += &format!("    stands for: {}\n", mutant.stands_for);
        let verb = if mutant.equivalent.is_some() { "held by" } else { "caught by" };
        for (checker, what) in mutant.catchers() {
            text += &format!("    {verb}: {checker} {what}\n");
        }
        if let Some((words, fault)) = &mutant.judge {
            text += &format!("    refused: {words}: {fault}\n");
        }
        if let Some((words, line)) = &mutant.diff {
            text += &format!("    differs: {words}: {line}\n");
        }
        if let Some(why) = &mutant.equivalent {
            text += &format!("    equivalent: {why}\n");
        }
    }
    text
}
