//! What boots have shown: how the command ends, and one line for each cause of what is wrong.

use gupsync_bench::Row;
use gupsync_bench::report::ExitCode;
use gupsync_bench::spec::Status;

use crate::boot::Outcome;
use crate::ending::Ending;
use crate::qemu::End;

/// How the command ends, and why, if it is not as promised.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How.
    pub ending: Ending,
    /// Why: a line for each cause.
    pub faults: Vec<String>,
}

impl Verdict {
    /// That on all boots of a command.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mut faults = Vec::new();
        // Rows that did not come, by what kept them.
        let mut missing: Vec<(String, Vec<&Row>)> = Vec::new();
        for outcome in outcomes {
            let (came, rest) = outcome.rows.split_at(outcome.finished);
            faults.extend(came.iter().filter_map(|row| Some(format!("{}: {}", name(row), row.judge().err()?))));
            for row in rest {
                let cause = format!("{}: {}", row.status, row.reason());
                match missing.iter_mut().find(|(other, _)| *other == cause) {
                    Some((_, rows)) => rows.push(row),
                    None => missing.push((cause, vec![row])),
                }
            }
            // The machine ended badly after its last row.
            if rest.is_empty() && !matches!(outcome.end, End::Kernel(ExitCode::Done) | End::Stopped) {
                faults.push(format!("after the last row: {}", outcome.end));
            }
        }
        faults.extend(missing.into_iter().map(|(cause, rows)| match rows.as_slice() {
            [row] => format!("{}: {cause}", name(row)),
            [row, others @ ..] => format!("{} and {} more: {cause}", name(row), others.len()),
            [] => cause,
        }));
        Verdict { ending: ending(outcomes, faults.is_empty()), faults }
    }
}

fn ending(outcomes: &[Outcome], is_good: bool) -> Ending {
    let is_refused = |outcome: &Outcome| outcome.end == End::Kernel(ExitCode::Refused);
    let is_violated = |outcome: &Outcome| {
        outcome.rows.iter().any(|row| row.status == Status::Violation && row.judge().is_err())
    };
    if is_good {
        Ending::AsPromised
    } else if outcomes.iter().any(is_violated) {
        Ending::Broken
    } else if outcomes.iter().any(is_refused) {
        Ending::Usage
    } else {
        Ending::of_begun(outcomes.iter().any(|outcome| outcome.has_begun))
    }
}

fn name(row: &Row) -> String {
    format!("{} {} invlpgb={}", row.workload, row.policy, row.invlpgb)
}
