//! What happens, one thing after the other, to be drawn.
//!
//! # Guarantee
//!
//! Recording changes nothing: the same rows come out, at the same modelled times. Where it is off nothing is kept. What is
//! recorded is what happens while it is counted: warm-up and the end of a run are not. Of more than fits the beginning is kept.

use std::sync::Mutex;

use gupsync::types::CpuId;
use gupsync_bench::record::{Recorded, Recording, What};

use crate::core::Word;

/// So much is kept of a run.
const MOST: usize = 4_000_000;

/// What was recorded so far, if it is on.
#[derive(Default)]
pub(crate) struct Recorder {
    is_on: Word,
    lost: Word,
    recorded: Mutex<Vec<Recorded>>,
}

/// Modelled time is in nanoseconds.
const TICKS_PER_MS: u64 = 1_000_000;
const UNPOISONED: &str = "nothing panics while holding it";

impl Recorder {
    /// From now on it records, if it `is_on`.
    pub(crate) fn begin(&self, is_on: bool) {
        self.is_on.set(u64::from(is_on));
    }

    pub(crate) fn add(&self, time: u64, cpu: CpuId, what: What) {
        if self.is_on.get() == 0 {
            return;
        }
        let mut recorded = self.recorded.lock().expect(UNPOISONED);
        if recorded.len() < MOST {
            recorded.push(Recorded { time, cpu, what });
        } else {
            self.lost.add(1);
        }
    }

    /// All of it, by time.
    pub(crate) fn take(&self) -> Recording {
        let mut recorded = std::mem::take(&mut *self.recorded.lock().expect(UNPOISONED));
        recorded.sort_by_key(|one| one.time);
        Recording { recorded, ticks_per_ms: TICKS_PER_MS, lost: self.lost.get() }
    }
}
