//! What all boots of a stress have done together.

use std::fmt;

use gupsync_bench::Spec;
use gupsync_bench::row::Counts;

use crate::boot::Outcome;

/// Each count: its name, and where in a row it is.
type Count = (&'static str, fn(&Counts) -> Option<u64>);

const COUNTS: [Count; 13] = [
    ("operations", |c| c.ops),
    ("walks", |c| c.walks),
    ("syncs asked for", |c| c.syncs_asked),
    ("skipped", |c| c.syncs_skipped),
    ("sent", |c| c.syncs_sent),
    ("flush IPIs", |c| c.flush_ipis),
    ("sync IPIs", |c| c.sync_ipis),
    ("other IPIs", |c| c.other_ipis),
    ("interrupts taken", |c| c.interrupts_taken),
    ("set", |c| c.set),
    ("cleared", |c| c.cleared),
    ("violations", |c| Some(c.sync_violations? + c.stale_translations?)),
    ("lost acks", |c| {
        Some((c.flush_ipis? + c.sync_ipis? + c.other_ipis?) - (c.flush_acks? + c.sync_acks? + c.other_acks?))
    }),
];

/// Sums over boots.
#[derive(Debug, Default)]
pub struct Totals {
    /// How many boots.
    pub boots: u64,
    scenarios: usize,
    rows: usize,
    counts: [u64; COUNTS.len()],
}

impl Totals {
    /// Adds a boot of `specs` of which every row has its counts.
    pub fn add(&mut self, specs: &[Spec], outcome: &Outcome) {
        self.boots += 1;
        self.scenarios += specs.len();
        self.rows += outcome.rows.len();
        for row in outcome.rows.iter().filter(|row| row.mm == "total") {
            for (sum, (_, count)) in self.counts.iter_mut().zip(COUNTS) {
                *sum += count(&row.counts).unwrap_or(0);
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boots {}, scenarios {}, rows {}", self.boots, self.scenarios, self.rows)?;
        self.counts.iter().zip(COUNTS).try_for_each(|(sum, (name, _))| write!(f, ", {name} {sum}"))
    }
}
