//! `prove`: every property of the shipped code, and every mistake that must be caught, by two model checkers.
//!
//! Each checker has a lane of its own, and the two run beside each other: first all models of the code as it is, then each
//! mutant with the models that must fail. What is neither held nor caught, or did not come to an end, is a failure.

pub mod checker;
pub mod orderings;
mod sites;
mod table;

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::args::ProveArgs;
use crate::mutants::{self, Mutant};
use checker::{Checker, How, Lane, Ran};
use table::{Kind, Line, Verdict};

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
    let since = Instant::now();
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
        orderings::run(&[(tso_lane, tso), (loom_lane, loom)], &lines)?;
    }
    let lines = lines.into_inner().map_err(|_| anyhow!("a lane has panicked"))?;
    print!("{}", table::render(&lines));
    println!("{}, {:.0} s", table::summary(&lines), since.elapsed().as_secs_f64());
    Ok(lines.iter().all(Line::is_good))
}

impl Plan {
    /// Returns where the models of the code as it is are kept.
    fn run(&self, lines: &Mutex<Vec<Line>>) -> Result<PathBuf> {
        let say = |line: Line| {
            eprintln!("{}", line.progress());
            lines.lock().expect("nobody panics while holding it").push(line);
        };
        mutants::copy_tree(&self.lane.root())?;
        let models = self.lane.build("models")?;
        let filter = self.args.filter.as_deref();
        let how = How { filter, threads: 2, deep: self.args.deep, weaken: None };
        match self.lane.run(&models, how) {
            Ok(ran) => {
                if !ran.held {
                    eprintln!("{}", ran.said);
                } else if ran.explorations.is_empty() && filter.is_none() {
                    say(Line::unknown(Kind::Property, self.lane.checker(), "all", &anyhow!("there is none")));
                }
                ran.explorations.into_iter().map(Line::property).for_each(say);
            }
            Err(error) => say(Line::unknown(Kind::Property, self.lane.checker(), "all", &error)),
        }
        let wanted = |mutant: &&Mutant| filter.is_none_or(|filter| mutant.name.contains(filter));
        for mutant in self.mutants.iter().filter(wanted) {
            let model = match self.lane.checker() {
                Checker::Loom => &mutant.loom,
                Checker::Tso => &mutant.tso,
            };
            if let Some(model) = model {
                say(self.mutant(mutant, model));
            }
        }
        Ok(models)
    }

    fn mutant(&self, mutant: &Mutant, model: &str) -> Line {
        let made = || -> Result<Ran> {
            mutant.make(&self.lane.root())?;
            let models = self.lane.build("mutant")?;
            self.lane.run(&models, How { filter: Some(model), threads: 2, ..How::default() })
        };
        match made() {
            Ok(ran) if ran.explorations.is_empty() => {
                let why = anyhow!("there is no model `{model}`");
                Line::unknown(Kind::Mutant, self.lane.checker(), &mutant.name, &why)
            }
            Ok(ran) => {
                if let Some(trace) = ran.said.split_once("steps:\n").filter(|_| self.args.traces) {
                    println!(
                        "{}: {}\n{}",
                        mutant.name,
                        mutant.stands_for,
                        trace.1.split("\n\n").next().unwrap_or_default()
                    );
                }
                Line::mutant(self.lane.checker(), mutant, &ran)
            }
            Err(error) => Line::unknown(Kind::Mutant, self.lane.checker(), &mutant.name, &error),
        }
    }
}

impl Line {
    fn is_good(&self) -> bool {
        !matches!(self.verdict, Verdict::Broken | Verdict::Survived | Verdict::Unknown(_))
    }
}
