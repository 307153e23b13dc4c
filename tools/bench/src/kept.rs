//! The translations that a CPU used and that its TLB may still hold: as in a TLB that forgets nothing but what it is
//! told to.
//!
//! # Guarantee
//!
//! [`Kept::of`] knows of each page that a CPU has touched under a local ASID what was read, unless the CPU has been
//! told to forget it since: by a flush of its range, by a load that drops that ASID, or by a flush of everything. (Or
//! so much was touched that there is no room.) What it knows under the loaded ASID may be used, so it must not be older
//! than a flush that is over.
//!
//! # Mechanism
//!
//! A few places for each CPU, which that CPU alone uses, interrupts off (but for forgetting all). Hardware may forget
//! more: QEMU's TCG has no PCID, and drops all whenever a root is loaded, so a translation that was kept for too long
//! is seen here alone. Under a global ASID nothing is remembered: INVLPGB reaches the TLBs of the machine, and not
//! these.

use alloc::boxed::Box;
use crossbeam_utils::CachePadded;

use gupsync::atomic::{Figure, Ordering};
use gupsync::cpumask::CpuSet;
use gupsync::types::{Asid, Cached, CpuId, Range, VirtAddr};

/// So many translations are remembered for each CPU.
const PLACES: usize = 32;
/// In place of an ASID: a place that holds none, and a global one that is loaded. No ASID has these numbers.
const EMPTY: u64 = u64::MAX;
const GLOBAL: u64 = u64::MAX - 1;

/// The translations of all CPUs.
pub struct Kept {
    cpus: Box<[CachePadded<OfCpu>]>,
    /// How often all CPUs were told to forget everything.
    everywhere: Figure,
}

struct OfCpu {
    /// The ASID that is loaded.
    loaded: Figure,
    places: [Place; PLACES],
    /// The place that is taken next.
    next: Figure,
    /// How often a hypervisor has flushed everything here.
    by_hypervisor: Figure,
    /// How many flushes of everything that came from elsewhere it is up to.
    up_to: Figure,
    /// Whether it has started such a flush itself.
    has_started: Figure,
}

impl OfCpu {
    /// The translations under the ASID that is loaded.
    fn usable(&self) -> impl Iterator<Item = &Place> {
        let loaded = self.loaded.load(Ordering::Relaxed);
        self.places.iter().filter(move |place| place.asid.load(Ordering::Relaxed) == loaded)
    }
}

struct Place {
    asid: Figure,
    va: Figure,
    value: Figure,
}

impl Place {
    fn forget(&self) {
        self.asid.store(EMPTY, Ordering::Relaxed);
    }
}

// Relaxed, all of them: used by one CPU alone; what others write says only that everything is to be forgotten, and a CPU that
// was told that the flush is over has been told that, too.
impl Kept {
    /// Of so many CPUs, which have touched nothing.
    pub fn new(cpus: usize) -> Self {
        let zero = || Figure::new(0);
        let place = || Place { asid: Figure::new(EMPTY), va: zero(), value: zero() };
        let of_cpu = || OfCpu {
            loaded: zero(),
            places: core::array::from_fn(|_| place()),
            next: zero(),
            by_hypervisor: zero(),
            up_to: zero(),
            has_started: zero(),
        };
        Kept { cpus: (0..cpus).map(|_| CachePadded::new(of_cpu())).collect(), everywhere: zero() }
    }

    /// A root is loaded under `asid`.
    pub fn load(&self, cpu: CpuId, asid: Asid, cached: Cached) {
        let own = &self.cpus[cpu.0];
        own.loaded.store(if asid.is_global() { GLOBAL } else { asid.word() }, Ordering::Relaxed);
        if cached == Cached::Dropped {
            own.usable().for_each(Place::forget);
        }
    }

    /// Of what is loaded, `range` is flushed. A page is told by the address that was touched; hardware drops a huge
    /// page whichever address in it is named, and here the stride has to come to it.
    pub fn flush(&self, cpu: CpuId, range: Range) {
        let is_meant = |place: &&Place| match range {
            Range::All => true,
            Range::Pages { start, pages, size } => {
                let first = start.0 - start.0 % size.bytes();
                (first..first + pages * size.bytes()).contains(&place.va.load(Ordering::Relaxed))
            }
        };
        self.cpus[cpu.0].usable().filter(is_meant).for_each(Place::forget);
    }

    /// Everything is flushed on this CPU.
    pub fn flush_all(&self, cpu: CpuId) {
        self.cpus[cpu.0].places.iter().for_each(Place::forget);
    }

    /// INVLPGB of everything has been executed on this CPU.
    pub fn start_everywhere(&self, cpu: CpuId) {
        self.cpus[cpu.0].has_started.store(1, Ordering::Relaxed);
    }

    /// What this CPU has started is done. Not before: what a CPU reads until then it may still read by an old
    /// translation.
    pub fn complete(&self, cpu: CpuId) {
        if self.cpus[cpu.0].has_started.swap(0, Ordering::Relaxed) != 0 {
            self.everywhere.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A hypervisor has flushed everything on each CPU of `to`. Not before: as above.
    pub fn flush_all_of(&self, to: &CpuSet) {
        to.for_each(|cpu| {
            self.cpus[cpu.0].by_hypervisor.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// `cpu` reads at `va`, interrupts off: what `read` has found is remembered, unless something is already.
    pub fn touch(&self, cpu: CpuId, va: VirtAddr, read: impl FnOnce() -> Option<u64>) -> Option<u64> {
        // First: what is read after this look at the flushes is not taken for newer than a flush that ends meanwhile.
        let (own, is_known) = (&self.cpus[cpu.0], self.of(cpu, va).is_some());
        let found = read()?;
        let loaded = own.loaded.load(Ordering::Relaxed);
        if loaded != GLOBAL && !is_known {
            let next = own.next.load(Ordering::Relaxed);
            own.next.store(next + 1, Ordering::Relaxed);
            let place = &own.places[next as usize % PLACES];
            place.va.store(va.0, Ordering::Relaxed);
            place.value.store(found, Ordering::Relaxed);
            place.asid.store(loaded, Ordering::Relaxed);
        }
        Some(found)
    }

    /// What `cpu` would read at `va` if its TLB had forgotten no more than it was told, interrupts off; `None` if it
    /// has to look it up.
    pub fn of(&self, cpu: CpuId, va: VirtAddr) -> Option<u64> {
        let own = &self.cpus[cpu.0];
        let now = self.everywhere.load(Ordering::Relaxed) + own.by_hypervisor.load(Ordering::Relaxed);
        if own.up_to.load(Ordering::Relaxed) != now {
            own.up_to.store(now, Ordering::Relaxed);
            self.flush_all(cpu);
        }
        let is_it = |place: &&Place| place.va.load(Ordering::Relaxed) == va.0;
        own.usable().find(is_it).map(|place| place.value.load(Ordering::Relaxed))
    }
}
