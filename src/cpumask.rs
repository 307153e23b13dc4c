//! Sets of CPUs: [`CpuMask`], shared and atomic, and [`CpuSet`], private to one CPU, with a [`SetPool`] to take it from.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::atomic::{AtomicU64, Ordering};
use crate::types::CpuId;

const BITS: usize = u64::BITS as usize;

fn word(cpu: CpuId) -> usize {
    cpu.0 / BITS
}

fn bit(cpu: CpuId) -> u64 {
    1 << (cpu.0 % BITS)
}

fn words(cpus: usize) -> usize {
    cpus.div_ceil(BITS)
}

/// The CPUs of one word, lowest first.
fn each(index: usize, mut word: u64, mut visit: impl FnMut(CpuId)) {
    while word != 0 {
        visit(CpuId(index * BITS + word.trailing_zeros() as usize));
        word &= word - 1;
    }
}

/// A set of CPUs that all CPUs read and change. The caller names each ordering: it is part of the caller's protocol, and
/// a checker takes the operation to be the caller's (`track_caller`).
pub struct CpuMask(Box<[AtomicU64]>);

impl CpuMask {
    /// The empty set, with room for `cpus`.
    pub fn new(cpus: usize) -> Self {
        CpuMask((0..words(cpus)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds `cpu`.
    #[track_caller]
    pub fn insert(&self, cpu: CpuId, order: Ordering) {
        self.0[word(cpu)].fetch_or(bit(cpu), order);
    }

    /// Removes `cpu`; says whether it was there.
    #[track_caller]
    pub fn remove(&self, cpu: CpuId, order: Ordering) -> bool {
        self.0[word(cpu)].fetch_and(!bit(cpu), order) & bit(cpu) != 0
    }

    /// Whether `cpu` is in the set.
    #[track_caller]
    pub fn contains(&self, cpu: CpuId, order: Ordering) -> bool {
        self.0[word(cpu)].load(order) & bit(cpu) != 0
    }

    /// Visits the CPUs of the set, reading each word once.
    #[track_caller]
    pub fn for_each(&self, order: Ordering, mut visit: impl FnMut(CpuId)) {
        for (index, word) in self.0.iter().enumerate() {
            each(index, word.load(order), &mut visit);
        }
    }

    /// Empties the set and visits what was in it; what other CPUs add meanwhile is either visited or stays.
    ///
    /// Looks before it takes: an interrupt is about few CPUs, and a swap costs as much for a word that holds none.
    #[track_caller]
    pub fn drain(&self, order: Ordering, mut visit: impl FnMut(CpuId)) {
        for (index, word) in self.0.iter().enumerate() {
            // Relaxed: a hint. What must be visited was added before this caller was told to come, and is seen.
            if word.load(Ordering::Relaxed) != 0 {
                each(index, word.swap(0, order), &mut visit);
            }
        }
    }

    /// Whether it holds no CPU. A hint, out of date when it returns.
    pub fn is_empty(&self) -> bool {
        // Relaxed: a hint.
        self.0.iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }
}

/// A set of CPUs that one CPU works with. The default has no room at all: it stands in while a set is lent out.
#[derive(Clone, Debug, Default)]
pub struct CpuSet(Box<[u64]>);

impl CpuSet {
    /// The empty set, with room for `cpus`.
    pub fn new(cpus: usize) -> Self {
        CpuSet((0..words(cpus)).map(|_| 0).collect())
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Adds `cpu`.
    pub fn insert(&mut self, cpu: CpuId) {
        self.0[word(cpu)] |= bit(cpu);
    }

    /// Removes `cpu`.
    pub fn remove(&mut self, cpu: CpuId) {
        self.0[word(cpu)] &= !bit(cpu);
    }

    /// Whether `cpu` is in the set.
    pub fn contains(&self, cpu: CpuId) -> bool {
        self.0[word(cpu)] & bit(cpu) != 0
    }

    /// How many CPUs are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Makes it hold what `other` holds.
    pub fn copy_from(&mut self, other: &CpuSet) {
        self.0.clone_from(&other.0);
    }

    /// Whether every CPU of this set is also in `other`.
    pub fn is_subset_of(&self, other: &CpuSet) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    /// Visits the CPUs of the set, lowest first.
    pub fn for_each(&self, mut visit: impl FnMut(CpuId)) {
        for (index, word) in self.0.iter().enumerate() {
            each(index, *word, &mut visit);
        }
    }
}

/// Sets that a CPU works with, kept so that a round allocates nothing.
pub struct SetPool {
    cpus: usize,
    spare: Vec<CpuSet>,
}

impl SetPool {
    pub(crate) fn new(cpus: usize) -> Self {
        SetPool { cpus, spare: Vec::new() }
    }

    /// An empty set.
    pub fn take(&mut self) -> CpuSet {
        let mut set = self.spare.pop().unwrap_or_else(|| CpuSet::new(self.cpus));
        set.clear();
        set
    }

    /// Takes a set back.
    pub fn give(&mut self, set: CpuSet) {
        self.spare.push(set);
    }
}
