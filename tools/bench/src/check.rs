//! Which specs cannot be run, and why.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use crate::cast::Cast;
use crate::spec::{Flush, MAX_PAGES, MAX_SHARERS, MAX_TABLES, Spec, Workload};

impl Spec {
    /// Refuses what cannot be run on `cpus` CPUs.
    ///
    /// # Errors
    ///
    /// One line that names the input and the remedy.
    pub fn check(&self, cpus: usize) -> Result<(), String> {
        let Spec { tables, pages, sharers, .. } = self;
        let rules = [
            (self.mm_cpus == 0, "mm_cpus=0: an mm needs at least one CPU".to_owned()),
            (self.ops == 0, "ops=0: nothing to count; use at least 1".to_owned()),
            (self.threshold == 0, "threshold=0: use at least 1, or invlpgb=off".to_owned()),
            (!(1..=MAX_TABLES).contains(tables), format!("tables={tables}: use 1 to {MAX_TABLES}")),
            (!(1..=MAX_PAGES).contains(pages), format!("pages={pages}: use 1 to {MAX_PAGES}")),
            (!(2..=MAX_SHARERS).contains(sharers), format!("sharers={sharers}: use 2 to {MAX_SHARERS}")),
            (self.policy.is_empty(), "policy: name at least one".to_owned()),
        ];
        if let Some((_, what)) = rules.into_iter().find(|(broken, _)| *broken) {
            return Err(what);
        }
        if self.preempted > 0 && self.workload != Workload::Mixed {
            if self.flush != Flush::Hypercall {
                return Err(format!("preempted={}: means something with flush=hypercall only", self.preempted));
            }
            if self.preempted >= self.mm_cpus {
                return Err(format!(
                    "preempted={} of mm_cpus={}: one CPU that runs the mm is not preempted; raise mm_cpus",
                    self.preempted, self.mm_cpus
                ));
            }
        }
        if self.is_piggyback() && self.mm_cpus < 3 {
            return Err(format!(
                "mm_cpus={}: a piggyback needs a mutator, a walker and a sibling; use at least 3",
                self.mm_cpus
            ));
        }
        let need = Cast::need(self);
        if need > cpus {
            return Err(format!("{}; add CPUs or lower it", Cast::say_need(self, need, cpus)));
        }
        Ok(())
    }
}
