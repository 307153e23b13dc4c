//! What tickets, rounds and membership are, said as plainly as can be: sets and numbers, and nothing at once.

use std::collections::BTreeSet;

use gupsync::event::Cause;

/// A CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// The mm that it has loaded.
    pub loaded: Option<usize>,
    /// Whether it has it loaded for a kernel thread.
    pub lazy: bool,
    /// Whether it is offline.
    pub offline: bool,
}

impl Cpu {
    /// Online, with `mm` loaded.
    fn running(mm: Option<usize>) -> Self {
        Cpu { loaded: mm, ..Cpu::default() }
    }
}

/// An mm.
#[derive(Clone, Debug, Default)]
pub struct Mm {
    /// Its cpumask.
    pub members: BTreeSet<usize>,
    /// Tickets taken.
    pub modified: u64,
    /// The highest that is covered.
    pub synced: u64,
}

/// The CPUs that are interrupted, and why.
pub type Sent = Vec<(Cause, usize)>;

/// All of it.
#[derive(Clone, Debug)]
pub struct World {
    pub cpus: Vec<Cpu>,
    pub mms: Vec<Mm>,
}

impl World {
    pub fn new(cpus: usize, mms: usize) -> Self {
        World { cpus: vec![Cpu::default(); cpus], mms: vec![Mm::default(); mms] }
    }

    /// A CPU loads an mm, or none.
    pub fn switch(&mut self, cpu: usize, mm: Option<usize>) {
        self.cpus[cpu] = Cpu::running(mm);
        mm.into_iter().for_each(|mm| {
            self.mms[mm].members.insert(cpu);
        });
    }

    pub fn enter_lazy_tlb(&mut self, cpu: usize) {
        self.cpus[cpu].lazy = true;
    }

    pub fn exit_lazy_tlb(&mut self, cpu: usize, mm: usize) {
        if self.cpus[cpu].loaded == Some(mm) {
            self.cpus[cpu].lazy = false;
        } else {
            self.switch(cpu, Some(mm));
        }
    }

    /// The CPUs whose ack a round of `sender` for `mm` needs: they may be inside a walk of it.
    pub fn walkers(&self, sender: usize, mm: usize) -> BTreeSet<usize> {
        let may_walk = |cpu: &usize| *cpu != sender && self.cpus[*cpu] == Cpu::running(Some(mm));
        self.mms[mm].members.iter().copied().filter(may_walk).collect()
    }

    /// All that was unlinked before `seen` was read is covered.
    pub fn cover(&mut self, mm: usize, seen: u64) {
        self.mms[mm].synced = self.mms[mm].synced.max(seen);
    }

    /// A sync that finds its ticket not covered.
    pub fn round(&mut self, sender: usize, mm: usize) -> Sent {
        let sent = self.walkers(sender, mm).into_iter().map(|cpu| (Cause::Sync, cpu)).collect();
        self.cover(mm, self.mms[mm].modified);
        sent
    }

    /// A call of every other CPU: it covers what was unlinked of any mm.
    pub fn everyone(&mut self, sender: usize) -> Sent {
        (0..self.mms.len()).for_each(|mm| self.cover(mm, self.mms[mm].modified));
        self.online_but(sender).map(|cpu| (Cause::Other, cpu)).collect()
    }

    fn online_but(&self, sender: usize) -> impl Iterator<Item = usize> {
        (0..self.cpus.len()).filter(move |cpu| *cpu != sender && !self.cpus[*cpu].offline)
    }

    /// A CPU goes offline: it calls all others first, which covers nothing.
    pub fn go_offline(&mut self, cpu: usize) -> Sent {
        self.cpus[cpu] = Cpu { offline: true, ..Cpu::default() };
        self.online_but(cpu).map(|cpu| (Cause::Other, cpu)).collect()
    }

    pub fn come_online(&mut self, cpu: usize) {
        self.cpus[cpu] = Cpu::default();
    }

    /// A flush after last-level entries have changed: it does not interrupt a CPU that does not use the mm.
    pub fn flush_kept(&mut self, sender: usize, mm: usize) -> Sent {
        let sent = self.walkers(sender, mm).into_iter().map(|cpu| (Cause::Flush, cpu)).collect();
        self.cover(mm, self.mms[mm].modified);
        self.carry_out_flush(sender, mm);
        sent
    }

    /// A flush after a table was unlinked: every CPU of the cpumask.
    pub fn flush_freed(&mut self, sender: usize, mm: usize) -> Sent {
        let members: Vec<_> =
            self.online_but(sender).filter(|cpu| self.mms[mm].members.contains(cpu)).collect();
        self.cover(mm, self.mms[mm].modified);
        self.carry_out_flush(sender, mm);
        members.iter().for_each(|cpu| self.take_flush(*cpu, mm));
        members.into_iter().map(|cpu| (Cause::Flush, cpu)).collect()
    }

    /// A CPU that is interrupted for a flush: one that has another mm loaded leaves the cpumask.
    fn take_flush(&mut self, cpu: usize, mm: usize) {
        if self.cpus[cpu].loaded != Some(mm) {
            self.mms[mm].members.remove(&cpu);
        }
        self.carry_out_flush(cpu, mm);
    }

    /// A lazy CPU drops the mm instead of flushing; its bit stays.
    fn carry_out_flush(&mut self, cpu: usize, mm: usize) {
        if self.cpus[cpu] == (Cpu { lazy: true, ..Cpu::running(Some(mm)) }) {
            self.cpus[cpu].loaded = None;
        }
    }
}
