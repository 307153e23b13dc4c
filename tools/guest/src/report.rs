//! What has come out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::selftest::Run;

/// Each line that is meant for the host begins with this.
pub const PREFIX: &str = "gupsync: ";

/// A line for the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The kernel runs, on so many CPUs.
    Booted {
        /// Its release, as `uname -r`.
        release: String,
        /// How many CPUs are online.
        cpus: usize,
    },
    /// Experiment number so much has ended.
    Done(usize, Report),
    /// Experiment number so much could not be done, and why.
    Failed(usize, String),
    /// Selftest number so much begins.
    Begun(usize),
    /// It has ended.
    Ran(usize, Run),
    /// All have ended.
    End,
}

impl Said {
    /// The line that says it.
    ///
    /// # Panics
    ///
    /// Never: it is plain data.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{PREFIX}{}", serde_json::to_string(self).expect("plain data"))
    }

    /// What a line says, if it is for the host. The kernel may have begun it with words of its own.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line.split_once(PREFIX)?.1.trim_end()).ok()
    }
}

/// What an experiment has counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it was counted.
    pub counted: Counted,
    /// The calls of each operation, in order: runs of equal ones.
    pub ops: Vec<(u64, Calls)>,
    /// All calls during them that were neither a flush nor a sync, by the function that was called.
    pub others: BTreeMap<String, u64>,
    /// How many operations the kernel has refused, and were done again.
    pub refused: u64,
}

/// How calls were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Where they are queued, by function and target: the trace point `csd:csd_queue_cpu`.
    Queued,
    /// Where they arrive: `TLB` and `CAL` of `/proc/interrupts`. Calls that arrive together are one, and those of other
    /// functions count as syncs.
    Arrived,
}

/// How many CPUs an operation has called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Calls {
    /// To flush: `flush_tlb_func()`.
    pub flush: u64,
    /// To sync: `tlb_remove_table_smp_sync()`.
    pub sync: u64,
    /// To flush or to sync, on CPUs that have never run the process.
    pub outside: u64,
}

impl Report {
    /// Adds an operation.
    pub fn add(&mut self, calls: Calls) {
        match self.ops.last_mut() {
            Some((times, last)) if *last == calls => *times += 1,
            _ => self.ops.push((1, calls)),
        }
    }

    /// How many operations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ops.iter().map(|(times, _)| times).sum()
    }

    /// The calls of all operations.
    #[must_use]
    pub fn sum(&self) -> Calls {
        self.ops.iter().fold(Calls::default(), |sum, (times, calls)| Calls {
            flush: sum.flush + times * calls.flush,
            sync: sum.sync + times * calls.sync,
            outside: sum.outside + times * calls.outside,
        })
    }

    /// What most operations sent, and how many of them: flushes and syncs, whatever else was called.
    #[must_use]
    pub fn mode(&self) -> (u64, u64, u64) {
        let mut times = BTreeMap::new();
        for (count, calls) in &self.ops {
            *times.entry((calls.flush, calls.sync)).or_insert(0) += count;
        }
        let most = times.into_iter().max_by_key(|(_, count)| *count);
        most.map_or((0, 0, 0), |((flush, sync), count)| (flush, sync, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ops: &[(u64, u64, u64)]) -> Report {
        let mut report = Report {
            counted: Counted::Queued,
            ops: Vec::new(),
            others: BTreeMap::from([("rcu_exp_handler".to_owned(), 2)]),
            refused: 0,
        };
        for (flush, sync, outside) in ops {
            report.add(Calls { flush: *flush, sync: *sync, outside: *outside });
        }
        report
    }

    #[test]
    fn the_mode_is_that_of_flushes_and_syncs() {
        let report = report(&[(0, 9, 0), (3, 7, 1), (3, 7, 0), (3, 7, 2), (0, 9, 0)]);
        assert_eq!(report.mode(), (3, 7, 3));
        assert_eq!((report.count(), report.ops.len()), (5, 5));
        assert_eq!(report.sum(), Calls { flush: 9, sync: 39, outside: 3 });
    }

    #[test]
    fn what_is_said_is_heard_whatever_stands_before_it() {
        let said = Said::Done(3, report(&[(3, 7, 0), (3, 7, 0), (0, 7, 0)]));
        assert_eq!(Said::read(&format!("[    1.5] {}\r", said.line())), Some(said));
        assert_eq!(Said::read("gupsync: {\"done\":[1"), None);
        assert_eq!(Said::read("a kernel's line"), None);
    }
}
