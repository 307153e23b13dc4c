//! What a CPU of the model translates by, and how INVLPGB reaches it. The explorer orders all of it.

use gupsync::atomic::AtomicU64;
use gupsync::atomic::Ordering::Relaxed;
use gupsync::machine::Machine;
use gupsync::mm::page_table::Entry;
use gupsync::types::{Asid, Cached, CpuId, Frame, Invlpgb, PAGE_SIZE, Range};
use gupsync_checker::tso::{self, Interrupt};

use super::super::paging::{Paging, each_place, number};
use super::Model;

/// What a CPU translates by, and what others want to be invalidated there.
pub(super) struct Mmu {
    /// The root, and the number of its ASID: both change at once.
    cr3: AtomicU64,
    /// The TLB, by place: the entry that maps the page, or nothing; and the life of the page when it was cached.
    cached: Box<[AtomicU64]>,
    cached_life: Box<[AtomicU64]>,
    /// Invalidations that came from elsewhere.
    broadcasts: AtomicU64,
    /// For each other CPU: the places that it wants to be empty here, a bit each.
    unwanted: Box<[AtomicU64]>,
    /// CPUs that have not yet invalidated what this one asked for.
    invalidating: AtomicU64,
}

impl Mmu {
    pub(super) fn new(cpus: usize, paging: Paging) -> Self {
        let zeroes = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
        Mmu {
            cr3: AtomicU64::new(0),
            cached: zeroes(paging.places()),
            cached_life: zeroes(paging.places()),
            broadcasts: AtomicU64::new(0),
            unwanted: zeroes(cpus),
            invalidating: AtomicU64::new(0),
        }
    }

    /// The root that is loaded, and the number of its ASID.
    fn loaded(&self) -> (Frame, u64) {
        let cr3 = self.cr3.load(Relaxed);
        (Frame(cr3 - cr3 % PAGE_SIZE), cr3 % PAGE_SIZE)
    }

    fn forget(&self, places: impl Iterator<Item = usize>) {
        places.for_each(|place| self.cached[place].store(0, Relaxed));
    }
}

impl Model {
    /// A CPU reads the memory of `page`, if any is mapped there.
    pub fn access(&self, cpu: CpuId, page: usize) {
        self.use_translation(cpu, page, |_, _| ());
    }

    /// A CPU writes the memory of `page`, if it may.
    pub fn write_access(&self, cpu: CpuId, page: usize) {
        self.use_translation(cpu, page, |entry, cached_life| {
            if entry.read_only() != entry {
                self.reuse(entry.frame());
                cached_life.store(self.memory(entry.frame()).life.peek(), Relaxed);
            }
        });
    }

    /// Looks it up if the TLB has none. An interrupt may come before it is used, but not while it is: that is one
    /// instruction.
    fn use_translation(&self, cpu: CpuId, page: usize, then: impl FnOnce(Entry, &AtomicU64)) {
        let mmu = &self.mmus[cpu.0];
        tso::irqs_off(|| self.fill(cpu, page));
        tso::irqs_off(|| {
            let place = self.paging.place(mmu.loaded().1, page);
            let entry = Entry(mmu.cached[place].load(Relaxed));
            if entry.is_present() {
                let life = self.memory(entry.frame()).life.load(Relaxed);
                // An invalidation in between: the instruction has not used it.
                if mmu.cached[place].peek() != entry.0 {
                    return;
                }
                if life != mmu.cached_life[place].peek() {
                    tso::broken(format!("{cpu} uses a translation of page {page} that was flushed"));
                }
                then(entry, &mmu.cached_life[place]);
            }
        });
    }

    /// Puts into the TLB what is loaded says of `page`, if it has nothing there; used or not.
    pub fn fill(&self, cpu: CpuId, page: usize) {
        let mmu = &self.mmus[cpu.0];
        let (root, asid) = mmu.loaded();
        let place = self.paging.place(asid, page);
        let broadcasts = mmu.broadcasts.load(Relaxed);
        if mmu.cached[place].load(Relaxed) == 0
            && let Some(entry) = self.look_up(cpu, (root, asid), page)
        {
            mmu.cached_life[place].store(self.memory(entry.frame()).life.peek(), Relaxed);
            mmu.cached[place].store(entry.0, Relaxed);
            // What is looked up while an invalidation comes in is not kept.
            if mmu.broadcasts.load(Relaxed) != broadcasts {
                mmu.cached[place].store(0, Relaxed);
            }
        }
    }

    fn look_up(&self, cpu: CpuId, (root, asid): (Frame, u64), page: usize) -> Option<Entry> {
        let upper = self.paging.upper_place(asid);
        self.paging.look_up(root, page, |table, index| {
            let read = || Entry(self.memory(table).words[index].load(Relaxed));
            match upper.filter(|_| table == root) {
                Some(place) => self.upper_entry(cpu, place, read),
                None => read(),
            }
        })
    }

    /// The root's entry: the one that is kept at `place`, or `read` now, and kept. The table that it leads to is read next.
    fn upper_entry(&self, cpu: CpuId, place: usize, read: impl Fn() -> Entry) -> Entry {
        let mmu = &self.mmus[cpu.0];
        let broadcasts = mmu.broadcasts.load(Relaxed);
        let kept = Entry(mmu.cached[place].load(Relaxed));
        if !kept.is_present() {
            let entry = read();
            if entry.is_present() {
                mmu.cached_life[place].store(self.memory(entry.frame()).life.peek(), Relaxed);
                mmu.cached[place].store(entry.0, Relaxed);
                if mmu.broadcasts.load(Relaxed) != broadcasts {
                    mmu.cached[place].store(0, Relaxed);
                }
            }
            return entry;
        }
        let life = self.memory(kept.frame()).life.load(Relaxed);
        // An invalidation in between: the look-up begins anew, and is about what is there by then.
        if mmu.cached[place].peek() != kept.0 {
            return Entry(0);
        }
        if life != mmu.cached_life[place].peek() {
            tso::broken(format!("{cpu} looks up in an upper table that was freed"));
        }
        kept
    }

    pub(super) fn has_kernel_loaded(&self, cpu: CpuId) -> bool {
        self.mmus[cpu.0].loaded().0 == self.kernel_root()
    }

    /// What is filled in meanwhile belongs to what is loaded from here on.
    pub(super) fn load(&self, cpu: CpuId, root: Frame, asid: Asid, cached: Cached) {
        let mmu = &self.mmus[cpu.0];
        mmu.cr3.store(root.0 | number(asid), Relaxed);
        if cached == Cached::Dropped {
            mmu.forget(self.paging.places_of(number(asid), Range::All));
        }
    }

    pub(super) fn forget_all(&self, cpu: CpuId) {
        self.mmus[cpu.0].forget(0..self.paging.places());
    }

    pub(super) fn forget_own(&self, cpu: CpuId, range: Range) {
        let mmu = &self.mmus[cpu.0];
        mmu.forget(self.paging.places_of(mmu.loaded().1, range));
    }

    pub(super) fn broadcast(&self, cpu: CpuId, what: Invlpgb) {
        self.require(self.paging.takes(what), "an INVLPGB of more pages than it takes");
        self.invalidate(cpu, self.paging.emptied_by(what), |_| true);
    }

    /// Starts to empty `places` of the CPUs that are meant: as by an NMI to each, which may be taken anywhere, inside a walk
    /// too. Hardware and hypervisors are no more predictable.
    pub(super) fn invalidate(&self, cpu: CpuId, places: u64, is_meant: impl Fn(CpuId) -> bool) {
        let own = &self.mmus[cpu.0];
        if is_meant(cpu) {
            own.forget(each_place(places));
        }
        for (to, mmu) in self.mmus.iter().enumerate().filter(|(to, _)| *to != cpu.0 && is_meant(CpuId(*to))) {
            if !tso::is_exploring() {
                mmu.forget(each_place(places));
                continue;
            }
            if self.is_unplugged(to) {
                continue;
            }
            // If it was asked by an INVLPGB before this one, and has not been there yet, it answers both at once.
            if mmu.unwanted[cpu.0].fetch_or(places, Relaxed) == 0 {
                own.invalidating.fetch_add(1, Relaxed);
            }
            tso::interrupt(to, Interrupt::Nmi);
        }
    }

    /// TLBSYNC.
    pub(super) fn await_broadcasts(&self, cpu: CpuId) {
        tso::wait(|| self.mmus[cpu.0].invalidating.load(Relaxed) == 0);
    }

    /// The TLB of `cpu` does what other CPUs have broadcast.
    pub(super) fn take_broadcasts(&self, cpu: usize) {
        let mmu = &self.mmus[cpu];
        for (from, unwanted) in mmu.unwanted.iter().enumerate() {
            let places = unwanted.swap(0, Relaxed);
            if places != 0 {
                mmu.broadcasts.fetch_add(1, Relaxed);
                mmu.forget(each_place(places));
                self.mmus[from].invalidating.fetch_sub(1, Relaxed);
            }
        }
    }
}
