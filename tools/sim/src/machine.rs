//! The machine: [`Machine`] for simulated CPUs.

use std::sync::Mutex;

use gupsync::atomic::AtomicU64;
use gupsync::cpumask::CpuSet;
use gupsync::detect::Violation;
use gupsync::event::{Cause, Event};
use gupsync::machine::Machine;
use gupsync::page::Page;
use gupsync::types::{Asid, Cached, CpuId, Frame, FrameSize, Invlpgb, MmId, Range, VirtAddr};
use gupsync_bench::counters::Counters;
use gupsync_bench::kept::Kept;
use gupsync_bench::machine::{Bench, Spin};
use gupsync_bench::record::What;
use gupsync_bench::spec::{Backend, Fail, MachineName, Spec};

use crate::core::{Core, Interrupted, Vector, Word};
use crate::costs::Costs;
use crate::events::{Events, Interrupt};
use crate::fiber::suspend;
use crate::memory::Memory;
use crate::patience::{Patience, look_until};
use crate::pause::Pause;
use crate::record::Recorder;
use crate::tlb::{Broadcast, Leaf, Tlbs, walk};

/// The most pages that one INVLPGB takes, as where the kernel emulates it.
const INVLPGB_MAX: u64 = 8;
/// Where INVLPGB is emulated: operations between two TLBSYNCs; one more waits as if by TLBSYNC.
const QUEUE: usize = 64;
const UNPOISONED: &str = "nothing panics while holding it";

/// The CPUs, their interrupts, TLBs and memory, and what is counted of them.
pub(crate) struct Sim {
    pub(crate) cores: Box<[Core]>,
    /// The CPU whose code runs.
    pub(crate) current: Word,
    pub(crate) events: Events,
    pub(crate) costs: Costs,
    pub(crate) recorder: Recorder,
    /// Whether the recorder is on while it is counted.
    is_recorded: bool,
    memory: Memory,
    tlbs: Tlbs,
    /// INVLPGBs that wait for a TLBSYNC, by CPU.
    started: Box<[Mutex<Vec<Broadcast>>]>,
    counters: Counters,
    kept: Kept,
    /// What the page at [`Bench::KERNEL_WINDOW`] holds.
    window: Word,
    invlpgb_max: u64,
    /// Whether INVLPGB goes by NMIs.
    emulates: bool,
    /// For a test of the detector: a flush of a CPU's own TLB does nothing.
    fails_to_flush: bool,
    /// What each CPU had been through when counting ended.
    interrupted: Mutex<Vec<Interrupted>>,
}

impl Sim {
    pub(crate) fn new(spec: &Spec, cpus: usize, mms: usize, costs: &Costs, is_recorded: bool) -> Self {
        Sim {
            cores: (0..cpus).map(|_| Core::default()).collect(),
            current: Word::default(),
            events: Events::new(cpus),
            costs: *costs,
            recorder: Recorder::default(),
            is_recorded,
            memory: Memory::new(),
            tlbs: Tlbs::new(cpus),
            started: (0..cpus).map(|_| Mutex::default()).collect(),
            counters: Counters::new(cpus, mms),
            kept: Kept::new(cpus),
            window: Word::new(1),
            invlpgb_max: if spec.invlpgb_max > 0 { spec.invlpgb_max } else { INVLPGB_MAX },
            emulates: spec.backend == Backend::Emulated,
            fails_to_flush: spec.fail.0 == Some(Fail::NoFlush),
            interrupted: Mutex::default(),
        }
    }

    /// What each CPU has been through while it was counted.
    pub(crate) fn interrupted(&self) -> Vec<Interrupted> {
        std::mem::take(&mut self.interrupted.lock().expect(UNPOISONED))
    }

    pub(crate) fn core(&self, cpu: CpuId) -> &Core {
        &self.cores[cpu.0]
    }

    fn own(&self) -> &Core {
        &self.cores[self.current.get() as usize]
    }

    /// Sends `vector` to `to`. One that is on its way already is one with it, as in an APIC.
    pub(crate) fn post(&self, from: CpuId, to: CpuId, vector: Vector) {
        let (sender, target) = (self.core(from), self.core(to));
        sender.pass(self.costs.send);
        let coming = target.coming.get();
        if coming & vector.bit() == 0 {
            target.coming.set(coming | vector.bit());
            self.events.push(Interrupt { time: sender.now.get() + self.costs.deliver, to, vector });
        }
    }

    /// NMIs stand in for what reaches these CPUs.
    fn emulate(&self, from: CpuId, to: impl Iterator<Item = CpuId>) {
        let mut sent = 0;
        for to in to.filter(|to| *to != from) {
            self.note(to, MmId::KERNEL, Event::NmiTaken, 1);
            sent += 1;
        }
        self.note(from, MmId::KERNEL, Event::EmulationNmi, sent);
    }

    fn complete(&self, cpu: CpuId) {
        let started = std::mem::take(&mut *self.started[cpu.0].lock().expect(UNPOISONED));
        if !started.is_empty() {
            self.tlbs.broadcast(started.into_iter());
            if self.emulates {
                self.emulate(cpu, (0..self.cpus()).map(CpuId));
            }
        }
    }

    fn unmask(&self, cpu: CpuId) {
        let core = self.core(cpu);
        core.masks.set(core.masks.get() - 1);
        if core.masks.get() == 0 && core.pending.get() != 0 {
            suspend(Pause::Interrupts);
        }
    }

    fn count(&self, cpu: CpuId, mm: MmId, event: Event, n: u64) {
        let cell = self.counters.cell(cpu, mm, event);
        // One thread: nothing comes between the two.
        cell.store(cell.load(RELAXED) + n, RELAXED);
    }

    fn translate(&self, cpu: usize, va: VirtAddr) -> Option<Leaf> {
        let core = &self.cores[cpu];
        self.tlbs.translate(cpu, core.asid.get(), va, || {
            if va == Self::KERNEL_WINDOW {
                Some(Leaf::Window(self.window.get()))
            } else {
                walk(&self.memory, Frame(core.root.get()), va)
            }
        })
    }

    /// The word of a page at `va`.
    fn word_at(&self, entry: gupsync::mm::page_table::Entry, va: VirtAddr) -> &AtomicU64 {
        &self.memory.words(entry.frame())[va.0 as usize % 4096 / 8]
    }
}

impl Machine for Sim {
    fn cpus(&self) -> usize {
        self.cores.len()
    }

    fn irqs_off<R>(&self, cpu: CpuId, body: impl FnOnce() -> R) -> R {
        self.core(cpu).masks.add(1);
        let result = body();
        self.unmask(cpu);
        result
    }

    fn wait(&self, _: CpuId, until: impl FnMut() -> bool) {
        look_until(until);
    }

    fn preempt(&self, cpu: CpuId) -> CpuId {
        let [next, later] = self.core(cpu).route.each_ref().map(|word| word.replace(0));
        if next == 0 || next == cpu.0 as u64 + 1 {
            self.core(cpu).route[0].set(later);
            return cpu;
        }
        let there = CpuId(next as usize - 1);
        suspend(Pause::Move(there));
        self.core(there).route[0].set(later);
        self.note(there, MmId::KERNEL, Event::Kick, 1);
        there
    }

    fn unplug(&self, cpu: CpuId) {
        let root = Frame(self.core(cpu).root.get());
        assert_eq!(root, Memory::KERNEL_ROOT, "{cpu} goes offline with an mm's tables loaded");
        self.core(cpu).masks.add(1);
    }

    fn plug(&self, cpu: CpuId) {
        self.unmask(cpu);
    }

    fn send(&self, from: CpuId, to: CpuId, cause: Cause, mm: MmId) {
        self.count(from, mm, cause.sent(), 1);
        self.recorder.add(self.core(from).now.get(), from, What::Sent(cause, to, mm.word()));
        self.post(from, to, Vector::of(cause));
    }

    fn acked(&self, cpu: CpuId, cause: Cause, mm: MmId) {
        self.note(cpu, mm, cause.acked(), 1);
    }

    fn load_root(&self, cpu: CpuId, root: Frame, asid: Asid, cached: Cached) {
        let core = self.core(cpu);
        core.root.set(root.0);
        core.asid.set(asid.word());
        if cached == Cached::Dropped {
            self.tlbs.forget(cpu.0, asid.word(), Range::All);
        }
        self.kept.load(cpu, asid, cached);
    }

    fn flush_local(&self, cpu: CpuId, range: Range) {
        let core = self.core(cpu);
        core.pass(match range {
            Range::All => self.costs.flush_all,
            Range::Pages { pages, .. } => pages * self.costs.flush_page,
        });
        if !self.fails_to_flush {
            self.tlbs.forget(cpu.0, core.asid.get(), range);
            self.kept.flush(cpu, range);
        }
    }

    fn flush_all(&self, cpu: CpuId) {
        self.core(cpu).pass(self.costs.flush_all);
        if !self.fails_to_flush {
            self.tlbs.forget_all(cpu.0);
            self.kept.flush_all(cpu);
        }
    }

    fn flush_by_hypercall(&self, cpu: CpuId, to: &CpuSet) {
        if self.fails_to_flush {
            return;
        }
        self.complete(cpu);
        let mut reached = Vec::new();
        to.for_each(|to| reached.push(to));
        reached.iter().for_each(|to| self.tlbs.forget_all(to.0));
        self.kept.flush_all_of(to);
        self.emulate(cpu, reached.into_iter());
    }

    /// Nothing is invalidated before TLBSYNC, as late as the manual allows.
    fn invlpgb(&self, cpu: CpuId, what: Invlpgb) {
        if self.emulates && self.started[cpu.0].lock().expect(UNPOISONED).len() == QUEUE {
            self.complete(cpu);
        }
        self.started[cpu.0].lock().expect(UNPOISONED).push(what.into());
        if matches!(what, Invlpgb::NonGlobal | Invlpgb::Everything) {
            self.kept.start_everywhere(cpu);
        }
    }

    fn tlbsync(&self, cpu: CpuId) {
        self.complete(cpu);
        self.kept.complete(cpu);
    }

    fn invlpgb_max(&self) -> u64 {
        self.invlpgb_max
    }

    fn kernel_root(&self) -> Frame {
        Memory::KERNEL_ROOT
    }

    fn words(&self, frame: Frame) -> &[AtomicU64] {
        self.memory.words(frame)
    }

    fn page(&self, frame: Frame) -> &Page {
        self.memory.page(frame)
    }

    fn alloc(&self, size: FrameSize) -> Option<Frame> {
        self.memory.alloc(size)
    }

    fn free(&self, frame: Frame, size: FrameSize) {
        self.memory.free(frame, size);
    }

    fn copy(&self, from: Frame, to: Frame) {
        self.memory.copy(from, to);
    }

    fn note(&self, cpu: CpuId, mm: MmId, event: Event, n: u64) {
        self.count(cpu, mm, event, n);
        if n > 0 {
            self.recorder.add(self.core(cpu).now.get(), cpu, What::Noted(event, mm.word(), n));
        }
    }

    fn caught(&self, _: &Violation) {}
}

const RELAXED: gupsync::atomic::Ordering = gupsync::atomic::Ordering::Relaxed;

impl Spin for Sim {
    fn spin(&self, until: impl FnMut() -> bool) {
        look_until(until);
    }
}

impl Bench for Sim {
    const NAME: MachineName = MachineName::Sim;

    fn park(&self, _: CpuId, mut until: impl FnMut() -> bool) {
        while !until() {
            suspend(Pause::Park);
        }
    }

    /// What it does takes no time; it is away from one look to the next, and while handlers run.
    fn run_undisturbed(&self, cpu: CpuId, mut look: impl FnMut(), mut until: impl FnMut() -> bool) -> u64 {
        self.core(cpu).longest.set(0);
        self.wait(cpu, || {
            look();
            until()
        });
        Patience::LEAST + self.core(cpu).longest.get()
    }

    fn wake(&self, from: CpuId, sleepers: impl Iterator<Item = CpuId> + Clone, mm: MmId) {
        let mut count = 0;
        for sleeper in sleepers {
            self.post(from, sleeper, Vector::Kick);
            count += 1;
        }
        self.note(from, mm, Event::Kick, count);
    }

    fn let_migrate(&self, own: CpuId, route: [Option<CpuId>; 2]) {
        for (word, to) in self.core(own).route.iter().zip(route) {
            word.set(to.map_or(0, |to| to.0 as u64 + 1));
        }
    }

    fn send_nmi(&self, _: CpuId) {
        suspend(Pause::Nmi);
    }

    fn touch(&self, cpu: CpuId, va: VirtAddr) -> Option<u64> {
        self.kept.touch(cpu, va, || match self.translate(cpu.0, va)? {
            Leaf::Page(entry) => Some(self.word_at(entry, va).load(RELAXED)),
            Leaf::Window(value) => Some(value),
        })
    }

    fn kept(&self) -> &Kept {
        &self.kept
    }

    const KERNEL_WINDOW: VirtAddr = VirtAddr(0xffff_ffff_ffff_f000);

    fn map_kernel_window(&self, value: u64) {
        self.window.set(value);
    }

    fn kernel_window(&self) -> u64 {
        self.window.get()
    }

    fn write(&self, va: VirtAddr, value: u64) -> bool {
        match self.translate(self.current.get() as usize, va) {
            Some(Leaf::Page(entry)) if entry.read_only() != entry => {
                self.word_at(entry, va).store(value, RELAXED);
                true
            }
            _ => false,
        }
    }

    fn counted(&self, mm: MmId, event: Event) -> u64 {
        self.counters.sum(mm, event)
    }

    fn counted_on(&self, cpu: CpuId, mm: MmId, event: Event) -> u64 {
        self.counters.on(cpu, mm, event)
    }

    fn forget_counts(&self) {
        self.counters.begin();
        self.recorder.begin(self.is_recorded);
        for core in &self.cores {
            core.interrupts.set(0);
            core.away.set(0);
        }
    }

    fn end_counts(&self) {
        self.recorder.begin(false);
        let of = |core: &Core| Interrupted { interrupts: core.interrupts.get(), time: core.away.get() };
        *self.interrupted.lock().expect(UNPOISONED) = self.cores.iter().map(of).collect();
    }

    fn clock(&self) -> u64 {
        self.own().now.get()
    }
}
