//! The simulator's answers to a page.
//!
//! # Guarantee
//!
//! The rows are those of `compare --accel sim --json` for the same settings, whatever this is built for: every field of
//! every row. What cannot be run is refused in the words of the command line.

#![forbid(unsafe_code)]

use gupsync_bench::{Row, Spec};
use gupsync_sim::{Band, Costs, MAX_CPUS};
use serde::{Deserialize, Serialize};

/// What runs the module, in JavaScript: a function `run` of the module, a request and what hears of progress.
pub const RUN: [&str; 2] = [gupsync_wasm::FIBERS, include_str!("run.js")];

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The rows.
    Rows(Vec<Row>),
    /// Why there are none, in one line.
    Error(String),
}

/// Runs what `request` asks for, the settings of a kernel's command line after `cpus=N`, and gives an [`Answer`] as JSON.
/// `progress` is called with the number of operations done, by each policy in turn.
///
/// # Panics
///
/// If what was counted is no JSON, which it is.
#[must_use]
pub fn answer(request: &str, progress: impl FnMut(u64) + Send) -> String {
    let answer = rows(request, progress).map_or_else(Answer::Error, Answer::Rows);
    serde_json::to_string(&answer).expect("rows are plain data")
}

fn rows(request: &str, mut progress: impl FnMut(u64) + Send) -> Result<Vec<Row>, String> {
    let (cpus, spec) = read(request)?;
    spec.check(cpus).map_err(|refusal| refusal.in_flags())?;
    let costs = Costs::of(Band::Mid);
    let mut rows = Vec::new();
    for policy in &*spec.policy {
        rows.extend(gupsync_sim::run(&spec, *policy, cpus, &costs, &mut progress)?.rows);
    }
    Ok(rows)
}

fn read(request: &str) -> Result<(usize, Spec), String> {
    let (cpus, settings) = request.split_once(' ').unwrap_or((request, ""));
    let number = cpus.strip_prefix("cpus=").ok_or_else(|| format!("`{cpus}` is not of the form cpus=N"))?;
    let number = number.parse().ok().filter(|number| (1..=MAX_CPUS).contains(number));
    let number = number.ok_or_else(|| format!("{cpus}: use a number from 1 to {MAX_CPUS}"))?;
    Ok((number, settings.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(request: &str) -> Answer {
        serde_json::from_str(&answer(request, |_| ())).expect("an answer")
    }

    #[test]
    fn a_request_is_answered_by_a_row_for_each_policy() {
        let mut done = 0;
        let text = answer("cpus=8 policy=broadcast,pending invlpgb=on ops=20", |ops| done += ops);
        let Answer::Rows(rows) = serde_json::from_str(&text).expect("an answer") else { panic!("{text}") };
        let sent: Vec<_> = rows.iter().map(|row| (&*row.policy, row.counts.sync_ipis)).collect();
        assert_eq!(sent, [("broadcast", Some(140)), ("pending", Some(60))]);
        assert!(done > 0);
    }

    #[test]
    fn what_cannot_be_run_is_refused_in_one_line() {
        for (request, fault) in [
            ("", "`` is not of the form cpus=N"),
            ("cpus=0", "cpus=0: use a number from 1 to 8192"),
            ("cpus=8 turbo=on", "`turbo` is no key"),
            ("cpus=2", "--mm-cpus 4: --mm-cpus 4 --mutator inside need 4 CPUs, there are 2"),
        ] {
            let Answer::Error(error) = answered(request) else { panic!("{request}") };
            assert!(error.starts_with(fault) && error.lines().count() == 1, "{request}: {error}");
        }
    }
}
