//! Translations: each CPU's, kept until it is told to forget them.

use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use gupsync::mm::page_table::{self, Entry};
use gupsync::types::{Frame, Invlpgb, PAGE_SIZE, Range, VirtAddr};

use crate::core::Word;
use crate::memory::Memory;

const UNPOISONED: &str = "nothing panics while holding it";

/// What a translation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// A page, by its entry.
    Page(Entry),
    /// The kernel's window, which holds that.
    Window(u64),
}

#[derive(Clone, Copy)]
struct Translation {
    asid: u64,
    /// The page of 4 KiB, by its number, within whatever page it is.
    page: u64,
    leaf: Leaf,
}

/// What INVLPGB has invalidated on all CPUs, in order.
#[derive(Clone, Copy)]
pub(crate) enum Broadcast {
    Of(u64, Range),
    /// Everything, or everything but global translations: none is global here.
    Everything,
}

impl From<Invlpgb> for Broadcast {
    fn from(what: Invlpgb) -> Self {
        match what {
            Invlpgb::Of { asid, range } => Broadcast::Of(asid.word(), range),
            Invlpgb::NonGlobal | Invlpgb::Everything => Broadcast::Everything,
        }
    }
}

/// The TLBs of all CPUs.
pub(crate) struct Tlbs {
    cpus: Box<[Tlb]>,
    /// A CPU takes it in when it next uses its TLB: one that never does costs nothing.
    log: Mutex<Vec<Broadcast>>,
    logged: Word,
}

#[derive(Default)]
struct Tlb {
    held: Mutex<Vec<Translation>>,
    /// How much of the log it has taken in.
    seen: Word,
}

fn is_in(range: Range, page: u64) -> bool {
    match range {
        Range::All => true,
        Range::Pages { start, pages, size } => {
            // Any address in a huge page names all of it.
            let first = (start.0 - start.0 % size.bytes()) / PAGE_SIZE;
            (first..first + pages * (size.bytes() / PAGE_SIZE)).contains(&page)
        }
    }
}

impl Tlbs {
    pub(crate) fn new(cpus: usize) -> Self {
        let cpus = (0..cpus).map(|_| Tlb::default()).collect();
        Tlbs { cpus, log: Mutex::default(), logged: Word::default() }
    }

    /// INVLPGBs are complete: from here on no CPU uses what they name.
    pub(crate) fn broadcast(&self, what: impl Iterator<Item = Broadcast>) {
        let mut log = self.log.lock().expect(UNPOISONED);
        log.extend(what);
        self.logged.set(log.len() as u64);
    }

    /// A CPU forgets `range` of an ASID.
    pub(crate) fn forget(&self, cpu: usize, asid: u64, range: Range) {
        let is_kept = |held: &Translation| held.asid != asid || !is_in(range, held.page);
        self.cpus[cpu].held.lock().expect(UNPOISONED).retain(is_kept);
    }

    /// A CPU forgets everything.
    pub(crate) fn forget_all(&self, cpu: usize) {
        self.cpus[cpu].held.lock().expect(UNPOISONED).clear();
    }

    fn catch_up(&self, cpu: usize) {
        let seen = &self.cpus[cpu].seen;
        let logged = self.logged.get();
        let from = seen.replace(logged);
        if from == logged {
            return;
        }
        for what in &self.log.lock().expect(UNPOISONED)[from as usize..] {
            match *what {
                Broadcast::Of(asid, range) => self.forget(cpu, asid, range),
                Broadcast::Everything => self.forget_all(cpu),
            }
        }
    }

    /// What a CPU uses at `va`: what it holds, or what `look_up` finds, which it holds from then on.
    pub(crate) fn translate(
        &self,
        cpu: usize,
        asid: u64,
        va: VirtAddr,
        look_up: impl FnOnce() -> Option<Leaf>,
    ) -> Option<Leaf> {
        self.catch_up(cpu);
        let page = va.0 / PAGE_SIZE;
        let mut held = self.cpus[cpu].held.lock().expect(UNPOISONED);
        if let Some(known) = held.iter().find(|held| held.asid == asid && held.page == page) {
            return Some(known.leaf);
        }
        let leaf = look_up()?;
        held.push(Translation { asid, page, leaf });
        Some(leaf)
    }
}

/// What the MMU finds in the tables below `root`: the entry of the page of 4 KiB at `va`, if only as a part of a huge page.
pub(crate) fn walk(memory: &Memory, root: Frame, va: VirtAddr) -> Option<Leaf> {
    let mut table = root;
    for level in (1..=4).rev() {
        let entry = Entry(memory.words(table)[page_table::index(va, level)].load(Relaxed));
        if !entry.is_present() {
            return None;
        }
        if level == 1 {
            return Some(Leaf::Page(entry));
        }
        if entry.is_huge() {
            let within = (page_table::index(va, 1) as u64) * PAGE_SIZE;
            return Some(Leaf::Page(Entry(entry.0 + within)));
        }
        table = entry.frame();
    }
    None
}
