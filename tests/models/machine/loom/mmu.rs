//! What a CPU of the model translates by, and how INVLPGB reaches it.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering::Relaxed;

use gupsync::atomic::Ordering::{Acquire, Release};
use gupsync::cpumask::CpuSet;
use gupsync::mm::page_table::Entry;
use gupsync::types::{Asid, Cached, CpuId, Frame, Invlpgb, Range};

use super::super::VA;
use super::super::paging::{Paging, each_place, global, number};
use super::{Model, UNPOISONED};

/// What a CPU translates by. Looked at by others when they broadcast an invalidation.
pub(super) struct Mmu {
    root: Frame,
    asid: u64,
    /// The TLB, by place: the page, and whether it may be written.
    tlb: Box<[Option<Translation>]>,
    /// The place whose translation is being looked up: what a broadcast does not find in the TLB may be there at once.
    filling: Option<usize>,
}

#[derive(Clone, Copy)]
struct Translation {
    page: Frame,
    writable: bool,
}

impl Mmu {
    pub(super) fn new(paging: Paging) -> Self {
        Mmu {
            root: Frame(0),
            asid: number(Asid::LOCAL),
            tlb: vec![None; paging.places()].into(),
            filling: None,
        }
    }

    pub(super) fn load(&mut self, root: Frame, asid: Asid, cached: Cached, paging: Paging) {
        (self.root, self.asid) = (root, number(asid));
        if cached == Cached::Dropped {
            self.forget(paging.places_of(self.asid, Range::All));
        }
    }

    pub(super) fn has_loaded(&self, root: Frame) -> bool {
        self.root == root
    }

    pub(super) fn forget_own(&mut self, range: Range, paging: Paging) {
        self.forget(paging.places_of(self.asid, range));
    }

    pub(super) fn forget(&mut self, places: impl Iterator<Item = usize>) {
        places.for_each(|place| self.tlb[place] = None);
    }

    fn may_have(&self, mut places: impl Iterator<Item = usize>) -> bool {
        places.any(|place| self.tlb[place].is_some() || self.filling == Some(place))
    }
}

impl Model {
    pub(super) fn mmu(&self, cpu: CpuId) -> MutexGuard<'_, Mmu> {
        self.cpus[cpu.0].mmu.lock().expect(UNPOISONED)
    }

    /// A CPU reads the memory of `page`, if any is mapped there.
    pub fn access(&self, cpu: CpuId, page: usize) {
        self.translated(cpu, page).into_iter().for_each(|there| self.read(there.page));
    }

    /// A CPU writes the memory of `page`, if it may.
    pub fn write_access(&self, cpu: CpuId, page: usize) {
        self.translated(cpu, page)
            .filter(|there| there.writable)
            .into_iter()
            .for_each(|there| self.reuse(there.page));
    }

    /// What the TLB has, looked up first if it has nothing. An invalidation that comes meanwhile takes it away again.
    fn translated(&self, cpu: CpuId, page: usize) -> Option<Translation> {
        self.take_broadcasts(cpu);
        let (root, asid, place, cached) = {
            let mut mmu = self.mmu(cpu);
            let place = self.paging.place(mmu.asid, page);
            mmu.filling = Some(place);
            (mmu.root, mmu.asid, place, mmu.tlb[place])
        };
        if cached.is_none() {
            // What is looked up after an invalidation is looked up after what was changed before it. An update, because it
            // must not read an old value.
            self.invalidations[place].fetch_add(0, Acquire);
            let found = self.look_up(cpu, root, asid, page);
            self.mmu(cpu).tlb[place] = found;
            self.take_broadcasts(cpu);
        }
        self.change_entry(cpu.0, asid);
        let mut mmu = self.mmu(cpu);
        mmu.filling = None;
        mmu.tlb[place]
    }

    fn look_up(&self, cpu: CpuId, root: Frame, asid: u64, page: usize) -> Option<Translation> {
        let upper = self.paging.upper_place(asid);
        let last = self.paging.look_up(root, page, |table, index| {
            let read = || Entry(self.memory(table).words[index].load(Acquire));
            match upper.filter(|_| table == root) {
                Some(place) => self.upper_entry(cpu, place, read),
                None => read(),
            }
        })?;
        Some(Translation { page: last.frame(), writable: last.read_only() != last })
    }

    /// The root's entry: the one that is kept at `place`, or `read` now, and kept. The table that it leads to is read next.
    fn upper_entry(&self, cpu: CpuId, place: usize, read: impl Fn() -> Entry) -> Entry {
        let kept = self.mmu(cpu).tlb[place].map(|there| Entry::to(there.page, VA));
        let entry = kept.unwrap_or_else(|| {
            // As of a page: what is read after an invalidation was changed before it.
            self.invalidations[place].fetch_add(0, Acquire);
            read()
        });
        if entry.is_present() {
            self.mmu(cpu).tlb[place] = Some(Translation { page: entry.frame(), writable: true });
            self.read(entry.frame());
        }
        entry
    }

    fn change_entry(&self, cpu: usize, asid: u64) {
        if !self.is_abandoned() {
            self.cpus[cpu].entries[asid as usize].lock().expect(UNPOISONED).with_mut(|_| ());
        }
    }

    /// The TLB of `cpu` does what other CPUs have broadcast, as at any instruction.
    pub(super) fn take_broadcasts(&self, cpu: CpuId) {
        let core = &self.cpus[cpu.0];
        if !core.is_unwanted.swap(false, Relaxed) {
            return;
        }
        for (from, unwanted) in core.unwanted.iter().enumerate() {
            let places = unwanted.swap(0, Acquire);
            if places != 0 {
                // First: a CPU that invalidates the same later finds nothing here, does not wait, and comes after all the same.
                for place in each_place(places) {
                    self.invalidations[place].fetch_add(0, Release);
                }
                self.mmu(cpu).forget(each_place(places));
                self.cpus[from].invalidating.fetch_sub(1, Release);
            }
        }
    }

    /// A CPU whose TLB has something of it takes it, and answers, at one of the next things it does; any other takes
    /// nothing, and what it has done is not ordered. `Everything` is for ASIDs that no CPU runs: it is done at once.
    pub(super) fn broadcast(&self, cpu: CpuId, what: Invlpgb) {
        self.require(self.paging.takes(what), "an INVLPGB of more pages than it takes");
        if what == Invlpgb::Everything {
            return self.forget_what_is_not_run();
        }
        let places = || each_place(self.paging.emptied_by(what));
        for place in places() {
            self.invalidations[place].fetch_add(1, Release);
        }
        self.mmu(cpu).forget(places());
        for (to, core) in self.cpus.iter().enumerate() {
            let is_there = to != cpu.0 && !core.is_unplugged.load(Relaxed);
            if is_there && self.mmu(CpuId(to)).may_have(places()) {
                self.ask(cpu, CpuId(to), self.paging.emptied_by(what));
            }
        }
        self.follow_uses(self.paging.emptied_by(what));
    }

    /// Has `to` empty these places, and answer `cpu`.
    fn ask(&self, cpu: CpuId, to: CpuId, places: u64) {
        let core = &self.cpus[to.0];
        self.cpus[cpu.0].has_broadcast.store(true, Relaxed);
        // If it was asked by an INVLPGB before this one, and has not been there yet, it answers both at once.
        if core.unwanted[cpu.0].fetch_or(places, Release) == 0 {
            self.cpus[cpu.0].invalidating.fetch_add(1, gupsync::atomic::Ordering::Relaxed);
        }
        core.is_unwanted.store(true, Relaxed);
        self.wake(to);
    }

    /// Comes after what CPUs have used of these places that have emptied them already, or gone offline ([`Model::end_uses`]).
    fn follow_uses(&self, places: u64) {
        for place in each_place(places) {
            self.invalidations[place].fetch_add(0, Acquire);
        }
    }

    /// A hypervisor's flush. It takes each CPU of `to` out of what it does, so each answers, whatever its TLB has: what a
    /// CPU has used and dropped by itself is over, too.
    pub(super) fn flush_all_of(&self, cpu: CpuId, to: &CpuSet) {
        let everything = self.paging.emptied_by(Invlpgb::Everything);
        if to.contains(cpu) {
            self.mmu(cpu).forget(each_place(everything));
        }
        to.for_each(|to| {
            if to != cpu && !self.cpus[to.0].is_unplugged.load(Relaxed) {
                self.ask(cpu, to, everything);
            }
        });
        self.follow_uses(everything);
        self.await_broadcasts(cpu);
    }

    /// A CPU that goes offline has used what its TLB holds before an INVLPGB or a hypercall that does not reach it is
    /// complete.
    pub(super) fn end_uses(&self) {
        self.invalidations.iter().for_each(|of_place| {
            of_place.fetch_add(0, Release);
        });
    }

    fn forget_what_is_not_run(&self) {
        for cpu in (0..self.cpus.len()).filter(|cpu| !self.cpus[*cpu].is_unplugged.load(Relaxed)) {
            let run = self.mmu(CpuId(cpu)).asid;
            for asid in global().filter(|asid| *asid != run) {
                self.mmu(CpuId(cpu)).forget(self.paging.places_of(asid, Range::All));
                self.change_entry(cpu, asid);
            }
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
