//! A machine on which one thing happens at a time. It records who is interrupted, and why.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use gupsync::config::{FlushConfig, FreedTables, MmConfig};
use gupsync::detect::Violation;
use gupsync::event::{Cause, Event};
use gupsync::machine::Machine;
use gupsync::page::Page;
use gupsync::types::{Asid, CpuId, Frame, FrameSize, Invlpgb, MmId, PAGE_SIZE, Range, VirtAddr};
use gupsync::world::World;

const FRAMES: usize = 64;
const UNPOISONED: &str = "nobody panics while holding it";

/// The machine.
pub struct Sequential {
    cpus: usize,
    frames: Vec<([AtomicU64; 1], Page)>,
    used: AtomicU64,
    /// Interrupts that have been sent and not taken: a bit for each CPU.
    pending: AtomicU64,
    sent: Mutex<Vec<(Cause, CpuId)>>,
    world: OnceLock<Weak<World<Sequential>>>,
}

/// A world of `mms` mms, flushed by interrupts, on `cpus` CPUs.
pub fn world(cpus: usize, mms: usize) -> Arc<World<Sequential>> {
    let machine = Sequential {
        cpus,
        frames: (0..FRAMES).map(|_| ([AtomicU64::new(0)], Page::free())).collect(),
        used: AtomicU64::new(1),
        pending: AtomicU64::new(0),
        sent: Mutex::default(),
        world: OnceLock::new(),
    };
    let config = FlushConfig {
        invlpgb: false,
        threshold: 1,
        asids: 0,
        hypercall: false,
        unshare_flush: FreedTables::No,
    };
    let world = World::new(machine, config, (0..mms).map(|_| MmConfig::default())).expect("enough frames");
    let world = Arc::new(world);
    assert!(world.machine.world.set(Arc::downgrade(&world)).is_ok());
    world
}

impl Sequential {
    /// What was sent since the last time that this was asked, by cause and CPU.
    pub fn take_sent(&self) -> Vec<(Cause, CpuId)> {
        let mut sent = std::mem::take(&mut *self.sent.lock().expect(UNPOISONED));
        sent.sort_by_key(|(cause, to)| (*cause as u8, to.0));
        sent
    }

    /// Takes the interrupts that are pending on `cpu`.
    pub fn deliver(&self, cpu: CpuId) {
        let bit = 1 << cpu.0;
        if self.pending.fetch_and(!bit, Relaxed) & bit != 0 {
            self.world.get().and_then(Weak::upgrade).expect("it lives").interrupt(cpu);
        }
    }

    fn frame(&self, frame: Frame) -> &([AtomicU64; 1], Page) {
        &self.frames[(frame.0 / PAGE_SIZE) as usize]
    }
}

impl Machine for Sequential {
    fn cpus(&self) -> usize {
        self.cpus
    }

    fn irqs_off<R>(&self, body: impl FnOnce() -> R) -> R {
        body()
    }

    fn window(&self, _: CpuId, _: impl FnMut()) {}

    /// The others answer: there is nothing else to wait for.
    fn wait(&self, _: CpuId, _: impl FnMut(), mut until: impl FnMut() -> bool) {
        (0..self.cpus).map(CpuId).for_each(|cpu| self.deliver(cpu));
        assert!(until(), "a wait that does not end");
    }

    fn pause(&self) {}

    fn park(&self, cpu: CpuId, deliver: impl FnMut(), until: impl FnMut() -> bool) {
        self.wait(cpu, deliver, until);
    }

    fn send(&self, _: CpuId, to: CpuId, cause: Cause, _: MmId) {
        self.sent.lock().expect(UNPOISONED).push((cause, to));
        self.pending.fetch_or(1 << to.0, Relaxed);
    }

    fn acked(&self, _: CpuId, _: CpuId, _: Cause, _: MmId) {}

    fn load_root(&self, _: CpuId, _: Frame, _: Asid) {}

    fn flush_local(&self, _: CpuId, _: Range) {}

    fn invlpgb(&self, _: CpuId, _: Invlpgb) {}

    fn tlbsync(&self, _: CpuId) {}

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
        let index = self.used.fetch_add(1, Relaxed);
        (index < FRAMES as u64).then_some(Frame(index * PAGE_SIZE))
    }

    fn free(&self, _: Frame, _: FrameSize) {}

    fn copy(&self, _: Frame, _: Frame) {}

    fn touch(&self, _: VirtAddr) -> Option<u64> {
        None
    }

    fn write(&self, _: VirtAddr, _: u64) -> bool {
        false
    }

    fn note(&self, _: CpuId, _: MmId, _: Event, _: u64) {}

    fn counted(&self, _: MmId, _: Event) -> u64 {
        0
    }

    fn counted_on(&self, _: CpuId, _: MmId, _: Event) -> u64 {
        0
    }

    fn forget_counts(&self) {}

    fn caught(&self, violation: &Violation) {
        panic!("{violation:?}");
    }

    fn clock(&self) -> u64 {
        0
    }
}
