//! A machine on which one thing happens at a time. It records which CPUs are interrupted, and why; what each has loaded, what
//! its TLB holds, and when that last forgot all of it; what was counted.
//!
//! While a CPU waits, other things may happen: [`Sequential::meanwhile`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use gupsync::config::{FlushConfig, MmConfig};
use gupsync::cpumask::CpuSet;
use gupsync::detect::Violation;
use gupsync::event::{Cause, Event};
use gupsync::machine::Machine;
use gupsync::page::Page;
use gupsync::types::{Asid, Cached, CpuId, Frame, FrameSize, Invlpgb, MmId, PAGE_SIZE, Range};
use gupsync::world::World;

use crate::tlb::{Flushed, Page as TlbPage, Tlb, Translation};

const FRAMES: usize = 64;
/// More pages than this are not flushed one by one, as in Linux.
const SINGLE_PAGES: u64 = 33;
const UNPOISONED: &str = "nothing panics while holding it";

/// The machine.
pub struct Sequential {
    cpus: Vec<Core>,
    frames: Vec<([AtomicU64; 1], Page)>,
    free: Mutex<Vec<Frame>>,
    /// Requests that were sent and not acknowledged.
    unanswered: AtomicU64,
    /// Where a task goes on that may be preempted, the next times.
    route: Mutex<VecDeque<CpuId>>,
    sent: Mutex<Vec<(Cause, CpuId)>>,
    counts: Mutex<BTreeMap<(u64, usize), u64>>,
    /// The mm, by its root, that each global ASID was last loaded for, and that has not come to its end.
    owners: Mutex<BTreeMap<u64, Frame>>,
    /// The most pages that one INVLPGB takes.
    invlpgb_max: u64,
    /// What happens when a CPU next waits, for acks or for its INVLPGBs.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// What the TLBs were told to forget, and how often.
    flushes: Mutex<BTreeMap<Flushed, u64>>,
    /// The number of the step under way.
    now: AtomicU64,
    world: OnceLock<Weak<World<Sequential>>>,
}

struct Core {
    masked: AtomicBool,
    /// Whether it is offline.
    unplugged: AtomicBool,
    /// Whether an interrupt has been sent and not taken.
    pending: AtomicBool,
    root: AtomicU64,
    asid: Mutex<Asid>,
    /// The step in which the TLB last forgot all of an ASID.
    fresh_since: Mutex<BTreeMap<u64, u64>>,
    /// INVLPGBs that wait for a TLBSYNC.
    started: Mutex<Vec<Invlpgb>>,
    tlb: Mutex<Tlb>,
}

impl Core {
    fn new() -> Self {
        Core {
            masked: AtomicBool::new(false),
            unplugged: AtomicBool::new(false),
            pending: AtomicBool::new(false),
            root: AtomicU64::new(0),
            asid: Mutex::new(Asid::LOCAL),
            fresh_since: Mutex::default(),
            started: Mutex::default(),
            tlb: Mutex::default(),
        }
    }
}

/// A world of `mms` mms on `cpus` CPUs, flushed by interrupts while they have no global ASID.
pub fn world(
    cpus: usize,
    mms: usize,
    config: FlushConfig,
    mm_config: MmConfig,
    invlpgb_max: u64,
) -> Arc<World<Sequential>> {
    let machine = Sequential {
        cpus: (0..cpus).map(|_| Core::new()).collect(),
        frames: (0..FRAMES).map(|_| ([AtomicU64::new(0)], Page::free())).collect(),
        // Frame 0 is the kernel's root.
        free: Mutex::new((1..FRAMES as u64).map(|index| Frame(index * PAGE_SIZE)).collect()),
        unanswered: AtomicU64::new(0),
        route: Mutex::default(),
        sent: Mutex::default(),
        counts: Mutex::default(),
        owners: Mutex::default(),
        invlpgb_max,
        meanwhile: Mutex::default(),
        flushes: Mutex::default(),
        now: AtomicU64::new(0),
        world: OnceLock::new(),
    };
    let world = World::new(machine, config, (0..mms).map(|_| mm_config)).expect("enough frames");
    let world = Arc::new(world);
    assert!(world.machine.world.set(Arc::downgrade(&world)).is_ok());
    world
}

impl Sequential {
    /// Step number `now` begins.
    pub fn begin_step(&self, now: u64) {
        self.now.store(now, Relaxed);
    }

    /// What was sent since the last time that this was asked, by cause and CPU.
    pub fn take_sent(&self) -> Vec<(Cause, CpuId)> {
        let mut sent = std::mem::take(&mut *self.sent.lock().expect(UNPOISONED));
        sent.sort_by_key(|(cause, to)| (*cause as u8, to.0));
        sent
    }

    /// Takes the interrupts that are pending on `cpu`.
    pub fn deliver(&self, cpu: CpuId) {
        let core = &self.cpus[cpu.0];
        assert!(!core.masked.load(Relaxed), "{cpu} keeps interrupts off");
        if core.pending.swap(false, Relaxed) {
            self.world.get().and_then(Weak::upgrade).expect("it lives").interrupt(cpu);
        }
    }

    /// The root that `cpu` has loaded.
    pub fn root(&self, cpu: CpuId) -> Frame {
        Frame(self.cpus[cpu.0].root.load(Relaxed))
    }

    /// The ASID that it has it loaded under.
    fn asid(&self, cpu: CpuId) -> Asid {
        *self.cpus[cpu.0].asid.lock().expect(UNPOISONED)
    }

    /// Code on `cpu` uses `page`, whose entry in the loaded tables was last changed in step `changed`.
    pub fn touch(&self, cpu: CpuId, page: TlbPage, changed: u64) {
        let read = Translation { root: self.root(cpu), changed };
        self.cpus[cpu.0].tlb.lock().expect(UNPOISONED).touch(self.asid(cpu), page, read);
    }

    /// What code on `cpu` may use of what its TLB holds.
    pub fn usable(&self, cpu: CpuId) -> Vec<(TlbPage, Translation)> {
        self.cpus[cpu.0].tlb.lock().expect(UNPOISONED).of(self.asid(cpu)).collect()
    }

    /// The task of the next step goes on on these CPUs in turn, where it may be preempted.
    pub fn let_migrate(&self, route: impl IntoIterator<Item = CpuId>) {
        *self.route.lock().expect(UNPOISONED) = route.into_iter().collect();
    }

    /// When a CPU next waits, `body` happens first; with none, nothing does.
    pub fn meanwhile(&self, body: Option<Box<dyn FnOnce() + Send>>) {
        *self.meanwhile.lock().expect(UNPOISONED) = body;
    }

    fn happen_meanwhile(&self) {
        let body = self.meanwhile.lock().expect(UNPOISONED).take();
        body.into_iter().for_each(|body| body());
    }

    /// The mm of this root has come to its end: its ASID may be given to another.
    pub fn end_of(&self, root: Frame) {
        self.owners.lock().expect(UNPOISONED).retain(|_, owner| *owner != root);
    }

    /// What the TLBs were told to forget, and how often.
    pub fn flushes(&self) -> BTreeMap<Flushed, u64> {
        self.flushes.lock().expect(UNPOISONED).clone()
    }

    fn record(&self, flushed: Flushed) {
        *self.flushes.lock().expect(UNPOISONED).entry(flushed).or_default() += 1;
    }

    /// The step in which the TLB of `cpu` last forgot all of the ASID that is loaded.
    pub fn fresh_since(&self, cpu: CpuId) -> u64 {
        let fresh = self.cpus[cpu.0].fresh_since.lock().expect(UNPOISONED);
        *fresh.get(&self.asid(cpu).word()).unwrap_or(&0)
    }

    /// How often `event` was recorded for `mm`.
    pub fn counted(&self, mm: MmId, event: Event) -> u64 {
        *self.counts.lock().expect(UNPOISONED).get(&(mm.word(), event as usize)).unwrap_or(&0)
    }

    /// The TLB of `core` forgets `range` of `asid`.
    fn forget(&self, core: &Core, asid: Asid, range: Range) {
        core.tlb.lock().expect(UNPOISONED).forget(asid, range);
        if range == Range::All {
            core.fresh_since.lock().expect(UNPOISONED).insert(asid.word(), self.now.load(Relaxed));
        }
    }

    /// The TLB of `core` forgets everything.
    fn forget_all(&self, core: &Core) {
        core.tlb.lock().expect(UNPOISONED).clear();
        let now = self.now.load(Relaxed);
        core.fresh_since.lock().expect(UNPOISONED).values_mut().for_each(|since| *since = now);
    }

    fn frame(&self, frame: Frame) -> &([AtomicU64; 1], Page) {
        &self.frames[(frame.0 / PAGE_SIZE) as usize]
    }
}

impl Machine for Sequential {
    fn cpus(&self) -> usize {
        self.cpus.len()
    }

    fn irqs_off<R>(&self, cpu: CpuId, body: impl FnOnce() -> R) -> R {
        let masked = &self.cpus[cpu.0].masked;
        let before = masked.swap(true, Relaxed);
        let result = body();
        masked.store(before, Relaxed);
        result
    }

    /// The other CPUs take their interrupts: there is nothing else to wait for.
    fn wait(&self, cpu: CpuId, mut until: impl FnMut() -> bool) {
        self.happen_meanwhile();
        (0..self.cpus.len()).map(CpuId).for_each(|cpu| self.deliver(cpu));
        assert_eq!(self.unanswered.load(Relaxed), 0, "{cpu} waits, and not all were answered");
        assert!(until(), "a wait that does not end");
    }

    fn preempt(&self, cpu: CpuId) -> CpuId {
        self.route.lock().expect(UNPOISONED).pop_front().unwrap_or(cpu)
    }

    fn unplug(&self, cpu: CpuId) {
        assert_eq!(self.root(cpu), self.kernel_root(), "{cpu} goes offline with an mm's tables loaded");
        self.cpus[cpu.0].unplugged.store(true, Relaxed);
    }

    fn plug(&self, cpu: CpuId) {
        self.cpus[cpu.0].unplugged.store(false, Relaxed);
    }

    fn send(&self, _: CpuId, to: CpuId, cause: Cause, _: MmId) {
        assert!(!self.cpus[to.0].unplugged.load(Relaxed), "{to} is called offline");
        self.sent.lock().expect(UNPOISONED).push((cause, to));
        self.unanswered.fetch_add(1, Relaxed);
        self.cpus[to.0].pending.store(true, Relaxed);
    }

    fn acked(&self, _: CpuId, _: Cause, _: MmId) {
        let before = self.unanswered.fetch_sub(1, Relaxed);
        assert_ne!(before, 0, "more was answered than was asked");
    }

    fn load_root(&self, cpu: CpuId, root: Frame, asid: Asid, cached: Cached) {
        let core = &self.cpus[cpu.0];
        core.root.store(root.0, Relaxed);
        *core.asid.lock().expect(UNPOISONED) = asid;
        if asid.is_global() {
            let owner = *self.owners.lock().expect(UNPOISONED).entry(asid.word()).or_insert(root);
            assert_eq!(owner, root, "two mms have {asid:?}");
            assert_eq!(cached, Cached::Kept, "{cpu} drops what INVLPGB keeps up to date");
        }
        if cached == Cached::Dropped {
            self.forget(core, asid, Range::All);
        }
    }

    fn flush_local(&self, cpu: CpuId, range: Range) {
        self.record(Flushed::Locally(range.into()));
        if let Range::Pages { pages, .. } = range {
            assert!((1..=SINGLE_PAGES).contains(&pages), "{pages} pages are flushed one by one");
        }
        self.forget(&self.cpus[cpu.0], self.asid(cpu), range);
    }

    fn flush_all(&self, cpu: CpuId) {
        self.record(Flushed::LocallyEverything);
        self.forget_all(&self.cpus[cpu.0]);
    }

    fn flush_by_hypercall(&self, cpu: CpuId, to: &CpuSet) {
        assert!(self.cpus[cpu.0].masked.load(Relaxed), "{cpu} makes a hypercall with interrupts on");
        self.record(Flushed::ByHypercall);
        to.for_each(|to| self.forget_all(&self.cpus[to.0]));
    }

    fn invlpgb(&self, cpu: CpuId, what: Invlpgb) {
        if let Invlpgb::Of { asid, range } = what {
            assert!(asid.is_global(), "INVLPGB of a local ASID");
            if let Range::Pages { pages, .. } = range {
                assert!((1..=self.invlpgb_max).contains(&pages), "an INVLPGB of {pages} pages");
            }
        }
        self.cpus[cpu.0].started.lock().expect(UNPOISONED).push(what);
    }

    /// Invalidates as late as it may.
    fn tlbsync(&self, cpu: CpuId) {
        self.happen_meanwhile();
        let plugged = || self.cpus.iter().filter(|core| !core.unplugged.load(Relaxed));
        for what in std::mem::take(&mut *self.cpus[cpu.0].started.lock().expect(UNPOISONED)) {
            match what {
                Invlpgb::Of { asid, range } => {
                    self.record(Flushed::Broadcast(range.into()));
                    plugged().for_each(|core| self.forget(core, asid, range));
                }
                Invlpgb::NonGlobal | Invlpgb::Everything => {
                    self.record(Flushed::Everything);
                    plugged().for_each(|core| self.forget_all(core));
                }
            }
        }
    }

    fn invlpgb_max(&self) -> u64 {
        self.invlpgb_max
    }

    fn kernel_root(&self) -> Frame {
        Frame(0)
    }

    fn words(&self, frame: Frame) -> &[AtomicU64] {
        &self.frame(frame).0
    }

    fn page(&self, frame: Frame) -> &Page {
        &self.frame(frame).1
    }

    fn alloc(&self, _: FrameSize) -> Option<Frame> {
        self.free.lock().expect(UNPOISONED).pop()
    }

    fn free(&self, frame: Frame, _: FrameSize) {
        let mut free = self.free.lock().expect(UNPOISONED);
        assert!(!free.contains(&frame), "{frame:?} was freed twice");
        free.push(frame);
    }

    fn copy(&self, from: Frame, to: Frame) {
        for (from, to) in self.words(from).iter().zip(self.words(to)) {
            to.store(from.load(Relaxed), Relaxed);
        }
    }

    fn note(&self, _: CpuId, mm: MmId, event: Event, n: u64) {
        *self.counts.lock().expect(UNPOISONED).entry((mm.word(), event as usize)).or_default() += n;
    }

    fn caught(&self, violation: &Violation) {
        panic!("{violation:?}");
    }
}
