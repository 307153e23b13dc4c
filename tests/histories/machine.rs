//! A machine on which one thing happens at a time. It records which CPUs are interrupted, and why; what each has loaded, and
//! when its TLB last forgot what it knew; what was counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use gupsync::config::{FlushConfig, FreedTables, MmConfig};
use gupsync::detect::Violation;
use gupsync::event::{Cause, Event};
use gupsync::machine::Machine;
use gupsync::page::Page;
use gupsync::types::{Asid, CpuId, Frame, FrameSize, Invlpgb, MmId, PAGE_SIZE, Range};
use gupsync::world::World;

const FRAMES: usize = 64;
const UNPOISONED: &str = "nothing panics while holding it";

/// The machine.
pub struct Sequential {
    cpus: Vec<Core>,
    frames: Vec<([AtomicU64; 1], Page)>,
    free: Mutex<Vec<Frame>>,
    sent: Mutex<Vec<(Cause, CpuId)>>,
    counts: Mutex<BTreeMap<(u64, usize), u64>>,
    /// The number of the step under way.
    now: AtomicU64,
    world: OnceLock<Weak<World<Sequential>>>,
}

#[derive(Default)]
struct Core {
    masked: AtomicBool,
    /// Whether an interrupt has been sent and not taken.
    pending: AtomicBool,
    /// Requests that this CPU has sent and that were not acknowledged.
    unanswered: AtomicU64,
    root: AtomicU64,
    asid: AtomicU64,
    /// The step in which the TLB last forgot all of what is loaded.
    fresh_since: AtomicU64,
    /// INVLPGBs that wait for a TLBSYNC.
    started: Mutex<Vec<Invlpgb>>,
}

/// A world of `mms` mms, flushed by interrupts, on `cpus` CPUs. With `invlpgb`, the kernel's range is flushed by that.
pub fn world(cpus: usize, mms: usize, invlpgb: bool) -> Arc<World<Sequential>> {
    let machine = Sequential {
        cpus: (0..cpus).map(|_| Core::default()).collect(),
        frames: (0..FRAMES).map(|_| ([AtomicU64::new(0)], Page::free())).collect(),
        // Frame 0 is the kernel's root.
        free: Mutex::new((1..FRAMES as u64).map(|index| Frame(index * PAGE_SIZE)).collect()),
        sent: Mutex::default(),
        counts: Mutex::default(),
        now: AtomicU64::new(0),
        world: OnceLock::new(),
    };
    let config = FlushConfig {
        invlpgb,
        threshold: 1,
        asids: 0,
        methods_interrupt: true,
        unshare_flush: FreedTables::No,
    };
    let world = World::new(machine, config, (0..mms).map(|_| MmConfig::default())).expect("enough frames");
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

    /// The step in which the TLB of `cpu` last forgot all of what is loaded.
    pub fn fresh_since(&self, cpu: CpuId) -> u64 {
        self.cpus[cpu.0].fresh_since.load(Relaxed)
    }

    /// How often `event` was recorded for `mm`.
    pub fn counted(&self, mm: MmId, event: Event) -> u64 {
        *self.counts.lock().expect(UNPOISONED).get(&(mm.word(), event as usize)).unwrap_or(&0)
    }

    fn forget(&self, core: &Core) {
        core.fresh_since.store(self.now.load(Relaxed), Relaxed);
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
        (0..self.cpus.len()).map(CpuId).for_each(|cpu| self.deliver(cpu));
        assert_eq!(self.cpus[cpu.0].unanswered.load(Relaxed), 0, "{cpu} was not answered");
        assert!(until(), "a wait that does not end");
    }

    fn send(&self, from: CpuId, to: CpuId, cause: Cause, _: MmId) {
        self.sent.lock().expect(UNPOISONED).push((cause, to));
        self.cpus[from.0].unanswered.fetch_add(1, Relaxed);
        self.cpus[to.0].pending.store(true, Relaxed);
    }

    fn acked(&self, _: CpuId, sender: CpuId, _: Cause, _: MmId) {
        let before = self.cpus[sender.0].unanswered.fetch_sub(1, Relaxed);
        assert_ne!(before, 0, "{sender} was answered more often than it had asked");
    }

    fn load_root(&self, cpu: CpuId, root: Frame, asid: Asid) {
        let core = &self.cpus[cpu.0];
        core.root.store(root.0, Relaxed);
        core.asid.store(asid.word(), Relaxed);
        if !asid.is_global() {
            self.forget(core);
        }
    }

    fn flush_local(&self, cpu: CpuId, range: Range) {
        // The histories flush whole address spaces.
        assert_eq!(range, Range::All);
        self.forget(&self.cpus[cpu.0]);
    }

    fn invlpgb(&self, cpu: CpuId, what: Invlpgb) {
        self.cpus[cpu.0].started.lock().expect(UNPOISONED).push(what);
    }

    fn tlbsync(&self, cpu: CpuId) {
        for what in std::mem::take(&mut *self.cpus[cpu.0].started.lock().expect(UNPOISONED)) {
            let is_meant = |core: &&Core| match what {
                Invlpgb::Everything => true,
                Invlpgb::Of { asid, .. } => core.asid.load(Relaxed) == asid.word(),
            };
            self.cpus.iter().filter(is_meant).for_each(|core| self.forget(core));
        }
    }

    fn invlpgb_max(&self) -> u64 {
        1
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
