//! The sweep: every ordering of `src/` weakened and every fence left out, one at a time. Some model must fail.
//!
//! `tests/orderings.txt` says which, so that one model is run for each and not all of them; and it lists those that make no
//! difference, with the reason. What is not listed there is tried on all models, and what is listed as making no difference,
//! too, where deep bounds are asked for. What is listed and not there any more is a failure.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, anyhow, bail};

use super::checker::{Checker, How, Lane};
use super::sites::{self, Weakening};
use super::table::{Kind, Line, Verdict};
use crate::artifacts::Tree;
use crate::say;

pub(super) const LIST: &str = "tests/orderings.txt";

/// What is known of a weakening.
#[derive(Clone, Debug)]
enum Known {
    CaughtBy(Checker, String),
    Equivalent(String),
}

/// Weakens each in turn; `built` are the models of each checker, built without a mistake.
///
/// # Errors
///
/// If a model could not be run, or the list is not right.
pub fn run(built: &[(Lane, PathBuf)], deep: bool, lines: &Mutex<Vec<Line>>) -> Result<()> {
    let known = list()?;
    let weakenings = sites::weakenings()?;
    if let Some(stale) = known.keys().find(|name| !weakenings.iter().any(|one| one.name == **name)) {
        bail!("{LIST}: `{stale}` is not in src/ any more");
    }
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let worker = || -> Result<()> {
            while let Some(weakening) = weakenings.get(next.fetch_add(1, Ordering::Relaxed)) {
                let line = match known.get(&weakening.name) {
                    Some(Known::Equivalent(why)) if !deep => Line::equivalent(&weakening.name, why),
                    known => try_one(built, weakening, known).unwrap_or_else(|error| {
                        Line::unknown(Kind::Ordering, Checker::Loom, &weakening.name, &error)
                    }),
                };
                say::err(line.progress());
                lines.lock().expect("no thread panics while holding it").push(line);
            }
            Ok(())
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(anyhow!("a worker of the sweep has panicked")))
        })
    })
}

fn try_one(built: &[(Lane, PathBuf)], weakening: &Weakening, known: Option<&Known>) -> Result<Line> {
    let run = |lane: &Lane, models: &PathBuf, filter| {
        let how =
            How { filter, weaken: Some(&weakening.site), all: filter.is_some(), hunt: true, ..How::default() };
        let ran = lane.run(models, how)?.ended()?;
        Ok::<_, anyhow::Error>(Line::mistake(Kind::Ordering, lane.checker(), &weakening.name, &ran))
    };
    if let Some(Known::CaughtBy(checker, model)) = known {
        let (lane, models) = built
            .iter()
            .find(|(lane, _)| lane.checker() == *checker)
            .ok_or_else(|| anyhow!("{} has no lane", checker.name()))?;
        return run(lane, models, Some(model.as_str()));
    }
    let mut line = None;
    for (lane, models) in built {
        // Nothing but a fence is any weaker on x86.
        if lane.checker() == Checker::Loom || weakening.is_fence {
            let one = run(lane, models, None)?;
            if one.verdict == Verdict::Caught {
                say::err(format_args!("{LIST} lacks: {}: {} {}", weakening.name, one.checker.name(), one.note));
                return Ok(one);
            }
            line = Some(one);
        }
    }
    let mut line = line.ok_or_else(|| anyhow!("{}: no checker can tell", weakening.name))?;
    if let Some(Known::Equivalent(why)) = known {
        line.verdict = Verdict::Equivalent;
        line.note.clone_from(why);
    }
    Ok(line)
}

/// `name: checker model`, or `name: equivalent, reason`.
fn list() -> Result<HashMap<String, Known>> {
    let text = std::fs::read_to_string(Tree::own().root.join(LIST))?;
    let mut known = HashMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        // What stands behind is of litmus tests.
        let line = line.split(" | ").next().unwrap_or(line);
        let parsed = line.split_once(": ").and_then(|(name, what)| {
            let what = match what.split_once(' ')? {
                ("loom", model) => Known::CaughtBy(Checker::Loom, model.to_owned()),
                ("tso", model) => Known::CaughtBy(Checker::Tso, model.to_owned()),
                ("equivalent,", why) => Known::Equivalent(why.to_owned()),
                _ => return None,
            };
            Some((name.to_owned(), what))
        });
        let Some((name, what)) = parsed else {
            bail!("{LIST}: `{line}` is not `weakening: checker model` nor `weakening: equivalent, reason`")
        };
        known.insert(name, what);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_litmus_tests_is_no_part_of_a_model_or_a_reason() {
        let known = list().unwrap_or_else(|error| panic!("{error:#}"));
        let of = |name: &str| format!("{:?}", known.get(name));
        let f7 = of("src/policy/targeted.rs track fence SeqCst -> gone");
        assert_eq!(f7, "Some(CaughtBy(Loom, \"targeted::a_tracked_walker\"))");
        let ticket = of("src/pending_gup_sync.rs unlink fetch_add Release -> Relaxed");
        assert_eq!(ticket, "Some(Equivalent(\"F1 precedes it and serves as its release\"))");
    }
}
