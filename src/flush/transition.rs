//! Global ASIDs: when an mm gets one, and the transition until every CPU runs the mm under it.
//!
//! # Guarantee
//!
//! While an mm is *in transition*, some CPU may still run it under its old, local ASID, which INVLPGB does not
//! reach; both methods are used then. Once the transition has ended, every CPU that has the mm loaded has it under
//! the global ASID.

use crate::atomic::{Ordering, fence};
use crate::flush::invlpgb;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::sync_round::Standing;
use crate::types::Asid;
use crate::world::Cpu;

impl<M: Machine> Cpu<'_, M> {
    /// After a flush without one: gives `mm` a global ASID if it is time, enough CPUs run it and one is left.
    pub(crate) fn consider_global_asid(&mut self, mm: &Mm) {
        let config = &self.world().config;
        if !config.invlpgb
            || !mm.config.wants_asid
            || mm.asid.now().is_global()
            || !mm.is_time_to_consider_asid()
            || self.running(mm) < config.threshold
        {
            return;
        }
        if let Some(asid) = self.take_asid()
            && !mm.asid.give(asid)
        {
            self.world().asids.give_back(asid);
        }
    }

    /// Takes a global ASID that no TLB remembers. When none is left, those that were given up are made so, all at once,
    /// by a flush of everything.
    fn take_asid(&self) -> Option<Asid> {
        let asids = &self.world().asids;
        asids.take().or_else(|| {
            asids.recycle(|| invlpgb::flush_everything(self));
            asids.take()
        })
    }

    /// `mm` has come to its end, and begins anew: its cpumask is empty, no TLB's translations are taken for its own,
    /// and its global ASID, if any, is given up. No CPU has it loaded.
    pub fn renew(&self, mm: &Mm) {
        // Relaxed: the next CPU that loads the mm has been told so by the caller.
        mm.cpumask.drain(Ordering::Relaxed, |_| ());
        mm.outdate_local_asids();
        if let Some(asid) = mm.asid.reset() {
            self.world().asids.free(asid);
        }
    }

    /// How many CPUs run `mm` now.
    fn running(&self, mm: &Mm) -> usize {
        let mut running = 0;
        // Relaxed: a decision about speed.
        mm.cpumask.for_each(Ordering::Relaxed, |cpu| {
            running += usize::from(self.world().standing(cpu, mm.id) == Standing::Running);
        });
        running
    }

    /// Whether `mm` has come to rest: `cpus` CPUs run it, and it has the ASID that it will keep.
    pub fn is_at_rest(&self, mm: &Mm, cpus: usize) -> bool {
        let world = self.world();
        let config = &world.config;
        let has_one = mm.asid.now().is_global();
        let gets_one = config.invlpgb
            && mm.config.wants_asid
            && cpus >= config.threshold
            && (has_one || world.asids.any_left());
        self.running(mm) == cpus && !mm.asid.is_in_transition() && gets_one == has_one
    }

    /// Whether every CPU that has `mm` loaded has it under its global ASID; if so, the transition is over.
    ///
    /// Waits for CPUs found SWITCHING: they may have read the ASID before it was given.
    pub(crate) fn try_end_transition(&mut self, mm: &Mm) -> bool {
        let asid = mm.asid.now();
        // F5: the ASID is visible before the CPUs are looked at. Pairs with F3: a CPU that this scan misses
        // reads the ASID after it was given.
        fence(Ordering::SeqCst);
        let world = self.world();
        let mut members = self.sets().take();
        // Acquire: pairs with the Release in `leave`; what a CPU did under the local ASID came before it left.
        mm.cpumask.for_each(Ordering::Acquire, |cpu| members.insert(cpu));
        let mut stragglers = false;
        members.for_each(|cpu| {
            let mut standing = Standing::Switching;
            self.wait(|| {
                standing = world.standing(cpu, mm.id);
                standing != Standing::Switching
            });
            // Acquire: pairs with F8 in `load`; a CPU that has the global ASID uses the local one no longer. An old value,
            // as after the CPU has loaded another mm, makes it a straggler: a wasted interrupt.
            let asid_there = world.cpus[cpu.0].loaded_asid.load(Ordering::Acquire);
            stragglers |= standing != Standing::Elsewhere && asid_there != asid.word();
        });
        self.sets().give(members);
        if !stragglers {
            mm.asid.end_transition(asid);
        }
        !stragglers
    }
}
