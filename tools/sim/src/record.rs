//! What happens, one thing after the other, to be drawn.
//!
//! # Guarantee
//!
//! Recording changes nothing: the same rows come out, at the same modelled times. Where it is off nothing is kept. What is
//! recorded is what happens while it is counted: warm-up and the end of a run are not.

use std::sync::Mutex;

use gupsync::event::{Cause, Event};
use gupsync::types::{CpuId, MmId};

use crate::core::Word;

/// Something that has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When, in modelled nanoseconds. The clocks of two CPUs may differ, so what is recorded later may have happened earlier.
    pub time: u64,
    /// On which CPU.
    pub cpu: CpuId,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It sent a request. One that finds its cause on its way to the target already takes no interrupt of its own.
    Sent(Cause, CpuId, MmId),
    /// Its handler of such interrupts began.
    Began(Cause),
    /// That handler ended.
    Ended(Cause),
    /// It noted an event, so many times at once: a ticket was taken, a walk began or ended, a request was acknowledged, ...
    Noted(Event, MmId, u64),
}

/// What was recorded so far, if it is on.
#[derive(Default)]
pub(crate) struct Recorder {
    is_on: Word,
    recorded: Mutex<Vec<Recorded>>,
}

const UNPOISONED: &str = "nothing panics while holding it";

impl Recorder {
    /// From now on it records, if it `is_on`.
    pub(crate) fn begin(&self, is_on: bool) {
        self.is_on.set(u64::from(is_on));
    }

    pub(crate) fn add(&self, time: u64, cpu: CpuId, what: What) {
        if self.is_on.get() != 0 {
            self.recorded.lock().expect(UNPOISONED).push(Recorded { time, cpu, what });
        }
    }

    /// All of it, by time.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        let mut recorded = std::mem::take(&mut *self.recorded.lock().expect(UNPOISONED));
        recorded.sort_by_key(|one| one.time);
        recorded
    }
}
