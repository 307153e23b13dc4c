//! What the simulated machine gives in place of a boot.

use gupsync_bench::report::ExitCode;
use gupsync_bench::spec::{MachineName, PolicyName, Status};
use gupsync_bench::{Row, Spec};
use gupsync_sim::{Band, Costs, Simulated};

use super::outcome::{Outcome, Traced, Word};
use crate::qemu::End;
use crate::stop;

/// Runs all of `specs` on so many CPUs, and records what happens, if it is `traced`. A signal ends it after the row that is under
/// way.
pub fn outcome(specs: &[Spec], cpus: usize, traced: bool, mut listen: impl FnMut(Word<'_>)) -> Outcome {
    let costs = Costs::of(Band::Mid);
    let (mut came, mut traces) = (Vec::new(), Vec::new());
    let mut asked = specs.iter().flat_map(|spec| spec.policy.iter().map(move |policy| (spec, *policy)));
    // Asked before the next is taken: one that was taken is run.
    while let Some((spec, policy)) = (!stop::is_asked()).then(|| asked.next()).flatten() {
        listen(Word::Begin(spec, policy));
        let simulated = if traced {
            gupsync_sim::record(spec, policy, cpus, &costs)
        } else {
            gupsync_sim::run(spec, policy, cpus, &costs, &mut |_| ())
        };
        let rows = match simulated {
            Ok(Simulated { rows, recording, .. }) => {
                traces.extend(traced.then(|| Traced { spec: spec.clone(), policy, cpus, recording }));
                rows
            }
            Err(refusal) => vec![missing(spec, policy, cpus, &refusal)],
        };
        rows.iter().for_each(|row| listen(Word::Row(row)));
        came.extend(rows);
    }
    let (finished, has_begun) = (came.len(), !came.is_empty());
    came.extend(asked.map(|(spec, policy)| missing(spec, policy, cpus, "it was stopped")));
    let end =
        if came.len() > finished || stop::is_asked() { End::Stopped } else { End::Kernel(ExitCode::Done) };
    Outcome { rows: came, traces, finished, has_begun, loader: None, end }
}

/// A row that did not come.
fn missing(spec: &Spec, policy: PolicyName, cpus: usize, reason: &str) -> Row {
    let row = Row::without_counts(spec, policy, cpus, Status::Died);
    Row { machine: MachineName::Sim, detail: Some(reason.to_owned()), ..row }
}
