//! `compare --repeat`: the same rows several times over, in one boot.
//!
//! # Guarantee
//!
//! Every run is in the document, as a row of its own, each row's in the order in which they came. Where a count that is exact
//! is not the same in all runs, one line says so.

use gupsync_bench::Row;

use crate::diff;
use crate::qemu::Accel;

/// The first run of every row, the second, and so on.
fn runs(rows: &[Row]) -> Vec<Vec<Row>> {
    let mut runs: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        let is_there = |run: &Vec<Row>| run.iter().any(|other| other.asks_the_same(row));
        match runs.iter_mut().find(|run| !is_there(run)) {
            Some(run) => run.push(row.clone()),
            None => runs.push(vec![row.clone()]),
        }
    }
    runs
}

/// What is exact, and not in every run what it was in the first.
pub fn faults(rows: &[Row], accel: Accel) -> Vec<String> {
    let runs = runs(rows);
    let Some((first, others)) = runs.split_first() else { return Vec::new() };
    let of = |(index, run): (usize, &Vec<Row>)| {
        diff::exact(first, run, accel).into_iter().map(move |line| format!("{line} in run {}", index + 2))
    };
    others.iter().enumerate().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use gupsync_bench::Spec;
    use gupsync_bench::counts::Counts;
    use gupsync_bench::spec::{MmName, Status};

    use super::*;

    fn row(words: &str, sync_ipis: u64) -> Row {
        let spec: Spec = words.parse().expect("a spec");
        let counts = Counts { sync_ipis: Some(sync_ipis), walks: Some(sync_ipis), ..Counts::default() };
        Row { counts, ..Row::new(&spec, spec.policy[0], MmName::Total, 8, Status::Ok) }
    }

    #[test]
    fn an_exact_count_that_is_another_in_a_later_run_is_named() {
        let rows = [("mask", 5), ("pending", 7), ("mask", 5), ("pending", 7), ("mask", 5), ("pending", 8)];
        let rows = rows.map(|(policy, sync)| row(&format!("policy={policy}"), sync));
        assert!(faults(&rows[..4], Accel::TcgSingle).is_empty());
        let said = faults(&rows, Accel::TcgSingle);
        assert_eq!(said, ["collapse pending invlpgb=off: sync_ipis was 7, is 8 in run 3"]);
        assert!(faults(&rows, Accel::TcgMulti).is_empty());
    }

    #[test]
    fn rows_that_were_asked_for_once_are_one_run() {
        let rows = [row("policy=mask", 5), row("policy=mask lazy=1", 6), row("policy=mask invlpgb=on", 7)];
        assert_eq!((runs(&rows).len(), faults(&rows, Accel::TcgSingle)), (1, vec![]));
    }
}
