//! What a CPU of the model translates by, and how INVLPGB reaches it.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering::Relaxed;

use gupsync::mm::page_table::Entry;
use gupsync::types::{CpuId, Frame, Invlpgb};

use super::super::VA;
use super::{Model, UNPOISONED};

/// What a CPU translates by. Looked at by others when they broadcast an invalidation.
pub(super) struct Mmu {
    pub(super) root: Frame,
    pub(super) asid: usize,
    /// The page at [`VA`], by ASID, where the TLB has it, and whether it may be written.
    pub(super) tlb: [Option<Translation>; ASIDS],
    /// A translation is being looked up: what a broadcast does not find in the TLB may be there at once.
    pub(super) filling: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Translation {
    page: Frame,
    writable: bool,
}

impl Mmu {
    fn may_have(&self, asid: usize) -> bool {
        self.tlb[asid].is_some() || self.filling && self.asid == asid
    }
}

/// The local ASID and the global ones.
pub(super) const ASIDS: usize = 4;

impl Model {
    pub(super) fn mmu(&self, cpu: CpuId) -> MutexGuard<'_, Mmu> {
        self.cpus[cpu.0].mmu.lock().expect(UNPOISONED)
    }

    /// A CPU reads the memory at [`VA`], if any is mapped there.
    pub fn access(&self, cpu: CpuId) {
        self.translated(cpu).into_iter().for_each(|there| self.read(there.page));
    }

    /// A CPU writes the memory at [`VA`], if it may.
    pub fn write_access(&self, cpu: CpuId) {
        self.translated(cpu)
            .filter(|there| there.writable)
            .into_iter()
            .for_each(|there| self.reuse(there.page));
    }

    /// What the TLB has, looked up first if it has nothing. An invalidation that comes meanwhile takes it away again.
    fn translated(&self, cpu: CpuId) -> Option<Translation> {
        self.take_broadcasts(cpu);
        let (root, asid, cached) = {
            let mut mmu = self.mmu(cpu);
            mmu.filling = true;
            (mmu.root, mmu.asid, mmu.tlb[mmu.asid])
        };
        if cached.is_none() {
            // What is looked up after an invalidation is looked up after what was changed before it. An update, because it
            // must not read an old value.
            self.invalidations[asid].fetch_add(0, gupsync::atomic::Ordering::Acquire);
            let found = self.look_up(root);
            self.mmu(cpu).tlb[asid] = found;
            self.take_broadcasts(cpu);
        }
        self.change_entry(cpu.0, asid);
        let mut mmu = self.mmu(cpu);
        mmu.filling = false;
        mmu.tlb[asid]
    }

    fn look_up(&self, root: Frame) -> Option<Translation> {
        let last = (1..=4).try_fold(Entry::to(root, VA), |entry, _| {
            let entry = Entry(self.memory(entry.frame()).words[0].load(gupsync::atomic::Ordering::Acquire));
            entry.is_present().then_some(entry)
        })?;
        Some(Translation { page: last.frame(), writable: last.read_only() != last })
    }

    fn change_entry(&self, cpu: usize, asid: usize) {
        if !self.is_abandoned() {
            self.cpus[cpu].entries[asid].lock().expect(UNPOISONED).with_mut(|_| ());
        }
    }

    /// The TLB of `cpu` does what other CPUs have broadcast, as at any instruction.
    pub(super) fn take_broadcasts(&self, cpu: CpuId) {
        let core = &self.cpus[cpu.0];
        if !core.is_unwanted.swap(false, Relaxed) {
            return;
        }
        for (from, unwanted) in core.unwanted.iter().enumerate() {
            let asid = unwanted.swap(0, gupsync::atomic::Ordering::Acquire) as usize;
            if asid != 0 {
                // First: a CPU that invalidates the same later finds nothing here, does not wait, and comes after all the same.
                self.invalidations[asid - 1].fetch_add(0, gupsync::atomic::Ordering::Release);
                self.mmu(cpu).tlb[asid - 1] = None;
                self.cpus[from].invalidating.fetch_sub(1, gupsync::atomic::Ordering::Release);
            }
        }
    }

    /// A CPU whose TLB has something of the ASID takes it, and answers, at one of the next things it does; any other
    /// takes nothing, and what it has done is not ordered. `Everything` is for ASIDs that no CPU runs: it is done at once.
    pub(super) fn broadcast(&self, cpu: CpuId, what: Invlpgb) {
        if let Invlpgb::Of { asid, .. } = what {
            self.invalidations[asid.word() as usize].fetch_add(1, gupsync::atomic::Ordering::Release);
        }
        for (to, core) in self.cpus.iter().enumerate() {
            match what {
                Invlpgb::Everything => {
                    (1..ASIDS).filter(|asid| self.mmu(CpuId(to)).asid != *asid).for_each(|asid| {
                        self.mmu(CpuId(to)).tlb[asid] = None;
                        self.change_entry(to, asid);
                    })
                }
                Invlpgb::Of { asid, .. } if to == cpu.0 => self.mmu(cpu).tlb[asid.word() as usize] = None,
                Invlpgb::Of { asid, .. } if self.mmu(CpuId(to)).may_have(asid.word() as usize) => {
                    self.cpus[cpu.0].has_broadcast.store(true, Relaxed);
                    self.cpus[cpu.0].invalidating.fetch_add(1, gupsync::atomic::Ordering::Relaxed);
                    core.unwanted[cpu.0].store(asid.word() + 1, gupsync::atomic::Ordering::Release);
                    core.is_unwanted.store(true, Relaxed);
                    self.wake(CpuId(to));
                }
                Invlpgb::Of { .. } => {}
            }
        }
        if let Invlpgb::Of { asid, .. } = what {
            self.invalidations[asid.word() as usize].fetch_add(0, gupsync::atomic::Ordering::Acquire);
        }
    }

    /// TLBSYNC: looks once, as in every wait.
    pub(super) fn await_broadcasts(&self, cpu: CpuId) {
        let core = &self.cpus[cpu.0];
        if core.has_broadcast.swap(false, Relaxed) {
            loom::thread::yield_now();
            self.take_broadcasts(cpu);
            if core.invalidating.load(gupsync::atomic::Ordering::Acquire) != 0 {
                self.abandoned.store(true, Relaxed);
            }
        }
    }
}
