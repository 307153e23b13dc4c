//! The two ways into a run: the first CPU leads it, all others follow.

use alloc::vec::Vec;

use gupsync::policy;
use gupsync::types::CpuId;

use crate::cast::Role;
use crate::guests::{self, Switch};
use crate::isolated;
use crate::machine::Bench;
use crate::mutator::Mutate;
use crate::row::Row;
use crate::run::Run;
use crate::worker::Work;

impl<M: Bench> Run<M> {
    /// What the first CPU does: it opens the phases. Returns the rows when all other CPUs are ending.
    ///
    /// `progress` is called now and then with the number of operations that its team has done.
    pub fn lead(&self, progress: impl FnMut(u64)) -> Vec<Row> {
        let mutate = Mutate { run: self, cpu: CpuId(0), team: 0, progress };
        policy::with(&self.policy, mutate).expect("the policy was checked")
    }

    /// What every other CPU does, by its role.
    pub fn follow(&self, cpu: CpuId) {
        match self.cast.role(cpu) {
            Role::Mutator(team) => {
                policy::with(&self.policy, Mutate { run: self, cpu, team, progress: |_| () });
            }
            Role::Worker(team) => {
                policy::with(&self.policy, Work { run: self, cpu, team });
            }
            Role::Switcher => {
                policy::with(&self.policy, Switch { run: self, cpu });
            }
            Role::Lazy(team) => guests::be_lazy(self, cpu, team),
            Role::Stale(team) => guests::be_stale(self, cpu, team),
            Role::Flusher(team) => guests::flush_on(self, cpu, team),
            Role::Isolated(team) => isolated::be_isolated(self, cpu, team),
            Role::Bystander => {}
        }
    }
}
