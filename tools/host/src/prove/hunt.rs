//! The hunt for the mutants in one lane.
//!
//! # Guarantee
//!
//! A mutant that is chosen when its model runs is caught only if its own code was run; and in the program that holds the
//! mutants, with none of them chosen, a model of each property that catches one holds.
//!
//! The mutants of a lane are built once, all in one program ([`crate::schema`]); those that it cannot hold one by one.

use std::cell::OnceCell;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use super::checker::{How, Lane, Ran};
use super::table::{Kind, Line};
use crate::args::ProveArgs;
use crate::mutants::Mutant;
use crate::say;
use crate::schema::Schema;

/// How the line is called that says that the program which holds all mutants is not as it should be.
const ALL_AT_ONCE: &str = "all-at-once";

/// Tries those of `mutants` that are asked for, and have a model for this lane.
pub fn run(lane: &Lane, args: &ProveArgs, mutants: &[Mutant], say: &dyn Fn(Line)) {
    let models: Vec<_> = mutants.iter().filter_map(|mutant| Some((mutant, lane.model_for(mutant)?))).collect();
    let is_wanted =
        |mutant: &Mutant| args.filter.as_ref().is_none_or(|filter| mutant.name.contains(filter.as_str()));
    let wanted: Vec<_> = models.iter().filter(|(mutant, _)| is_wanted(mutant)).collect();
    let hunt = Hunt {
        lane,
        mutants: models.iter().map(|(mutant, _)| (*mutant).clone()).collect(),
        all: OnceCell::new(),
    };
    let unknown = |name: &str, error| say(Line::unknown(Kind::Mutant, lane.checker(), name, &error));
    // The lines of a trace are those of the tree, so each mutant is built by itself.
    let can_choose = !args.traces && !wanted.is_empty();
    if can_choose && let Err(error) = hunt.all_at_once() {
        unknown(ALL_AT_ONCE, error);
    }
    let mut controls: Vec<&str> = Vec::new();
    for (mutant, model) in wanted {
        match hunt.one(mutant, model).and_then(Ran::ended) {
            Ok(ran) if ran.explorations.is_empty() => {
                unknown(&mutant.name, anyhow!("there is no model `{model}`"));
            }
            Ok(ran) if hunt.number(mutant).is_some() && !ran.entered => {
                unknown(&mutant.name, anyhow!("`{model}` never runs the code of the mutant"));
            }
            Ok(ran) => {
                if let Some(trace) = ran.trace().filter(|_| args.traces) {
                    say::out(format_args!("{}: {}\n{trace}\n", mutant.name, mutant.mistake));
                }
                let mut line = Line::mutant(lane.checker(), mutant, &ran);
                if hunt.number(mutant).is_some() {
                    line.forget_lines();
                }
                say(line);
            }
            Err(error) => unknown(&mutant.name, error),
        }
        if hunt.number(mutant).is_some() {
            controls.push(model);
        }
    }
    hunt.control(controls).unwrap_or_else(|error| unknown(ALL_AT_ONCE, error));
}

struct Hunt<'a> {
    lane: &'a Lane,
    mutants: Vec<Mutant>,
    /// The program that holds all that can be chosen when it runs, if it was made.
    all: OnceCell<(Schema, PathBuf)>,
}

impl Hunt<'_> {
    /// Builds them all at once.
    fn all_at_once(&self) -> Result<()> {
        let schema = Schema::make(&self.mutants, &self.lane.schema_root())?;
        let models = self.lane.build_schema()?;
        let _ = self.all.set((schema, models));
        Ok(())
    }

    fn number(&self, mutant: &Mutant) -> Option<u32> {
        self.all.get()?.0.number(&mutant.name)
    }

    fn one(&self, mutant: &Mutant, model: &str) -> Result<Ran> {
        let hunt = mutant.equivalent.is_none();
        let how = How { filter: Some(model), at_once: 2, all: true, hunt, ..How::default() };
        if let (Some(number), Some((_, models))) = (self.number(mutant), self.all.get()) {
            return self.lane.run(models, How { mutant: Some(number), ..how });
        }
        mutant.make(&self.lane.root())?;
        self.lane.run(&self.lane.build("mutant")?, how)
    }

    /// With no mutant chosen, of the models that catch one of each property holds: the shortest of name, which is small.
    fn control(&self, mut models: Vec<&str>) -> Result<()> {
        let Some((_, built)) = self.all.get() else { return Ok(()) };
        let property = |model: &str| model.split("::").next().unwrap_or_default().to_owned();
        models.sort_by_key(|model| (property(model), model.len()));
        models.dedup_by_key(|model| property(model));
        for model in models {
            let how = How { filter: Some(model), at_once: 2, mutant: Some(0), ..How::default() };
            if !self.lane.run(built, how)?.held {
                return Err(anyhow!("`{model}` fails with no mutant chosen"));
            }
        }
        Ok(())
    }
}
