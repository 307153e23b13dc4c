//! What all boots of a stress have done together: sums over the rows of all mms.

use std::fmt;

use gupsync_bench::Spec;
use gupsync_bench::counts::{COUNTERS, Counts, Show};
use gupsync_bench::spec::MmName;

use crate::boot::Outcome;

/// A sum: its name, and what each row adds.
type Sum = (String, fn(&Counts) -> Option<u64>);

/// The counters that the sum shows, and what must be zero.
fn sums() -> impl Iterator<Item = Sum> {
    let counters = COUNTERS.iter().filter(|counter| counter.shows.contains(&Show::Sum));
    let named = counters.map(|counter| {
        let name = counter.column().map_or(counter.key.replace('_', " "), |(header, ..)| header.to_owned());
        (name, counter.get)
    });
    let violations: fn(&Counts) -> Option<u64> = |c| Some(c.sync_violations? + c.stale_translations?);
    let lost_acks: fn(&Counts) -> Option<u64> = |c| {
        Some((c.flush_ipis? + c.sync_ipis? + c.other_ipis?) - (c.flush_acks? + c.sync_acks? + c.other_acks?))
    };
    named.chain([("violations".to_owned(), violations), ("lost acks".to_owned(), lost_acks)])
}

/// Sums over boots.
#[derive(Debug)]
pub struct Totals {
    /// How many boots.
    pub boots: u64,
    scenarios: usize,
    rows: usize,
    sums: Vec<(Sum, u64)>,
}

impl Default for Totals {
    fn default() -> Self {
        Totals { boots: 0, scenarios: 0, rows: 0, sums: sums().map(|sum| (sum, 0)).collect() }
    }
}

impl Totals {
    /// Adds a boot of `specs` of which every row has its counts.
    pub fn add(&mut self, specs: &[Spec], outcome: &Outcome) {
        self.boots += 1;
        self.scenarios += specs.len();
        self.rows += outcome.rows.len();
        for row in outcome.rows.iter().filter(|row| row.mm == MmName::Total) {
            for ((_, get), sum) in &mut self.sums {
                *sum += get(&row.counts).unwrap_or(0);
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boots {}, scenarios {}, rows {}", self.boots, self.scenarios, self.rows)?;
        self.sums.iter().try_for_each(|((name, _), sum)| write!(f, ", {name} {sum}"))
    }
}

#[cfg(test)]
mod tests {
    use gupsync_bench::Row;
    use gupsync_bench::spec::Status;

    use super::*;
    use crate::qemu::End;

    #[test]
    fn the_rows_of_all_mms_are_summed() {
        let spec: Spec = "policy=pending".parse().expect("a spec");
        let counts = Counts {
            flush_ipis: Some(7),
            sync_ipis: Some(2),
            other_ipis: Some(0),
            flush_acks: Some(7),
            sync_acks: Some(1),
            other_acks: Some(0),
            walks: Some(5),
            sync_violations: Some(1),
            stale_translations: Some(2),
            ..Counts::default()
        };
        let row = |mm| Row { counts: counts.clone(), ..Row::new(&spec, spec.policy[0], mm, 8, Status::Ok) };
        let rows = [MmName::Ipi, MmName::Total, MmName::Total].map(row).into();
        let mut totals = Totals::default();
        totals.add(
            std::slice::from_ref(&spec),
            &Outcome {
                finished: 3,
                has_begun: true,
                rows,
                traces: Vec::new(),
                loader: None,
                end: End::Timeout,
            },
        );
        assert_eq!(
            totals.to_string(),
            "boots 1, scenarios 1, rows 3, ops 0, pinned 0, flush IPIs 14, sync IPIs 4, other 0, syncs asked 0, skipped 0, \
             syncs sent 0, set 0, cleared 0, freed by ticket 0, freed by grace period 0, interrupts taken 0, \
             coalesced 0, kept 0, behind 0, walks 10, moves 0, offlined 0, violations 6, lost acks 2"
        );
    }
}
