//! The model's machine: CPUs are loom threads, interrupts are taken where the library says they are on.

mod mmu;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use gupsync::atomic::AtomicU64;
use gupsync::cpumask::CpuSet;
use gupsync::detect::Violation;
use gupsync::event::{Cause, Event};
use gupsync::machine::Machine;
use gupsync::page::Page;
use gupsync::types::{Asid, Cached, CpuId, Frame, FrameSize, Invlpgb, MmId, PAGE_SIZE, Range};
use gupsync::world::World;
use gupsync_bench::machine::Spin;
use gupsync_checker::report::{UnderWay, deep, is_hunt, is_small, patience};
use loom::cell::UnsafeCell;
use loom::thread::Thread;

use super::paging::{ASIDS, Paging};
use super::{FRAMES, Part, Places, Setting, Stage};
use mmu::Mmu;

const UNPOISONED: &str = "no thread panics while holding it";

struct Memory {
    words: Box<[AtomicU64]>,
    page: Page,
    /// What a walker reads and a reuser writes. The mutex is not loom's, which therefore does not know it: it makes
    /// the cell shareable, and orders nothing in the model.
    contents: Mutex<UnsafeCell<()>>,
}

/// The machine.
pub struct Model {
    pub paging: Paging,
    cpus: Vec<Core>,
    memory: Vec<Memory>,
    /// By place in a TLB: how often it was invalidated by broadcast.
    invalidations: Box<[AtomicU64]>,
    places: Places,
    // The rest only steers the exploration. It is std's: loom neither explores it nor lets it order anything.
    /// Frames handed out.
    used: AtomicUsize,
    /// Requests sent and not acknowledged.
    unanswered: AtomicUsize,
    /// By CPU: the task that is there.
    tasks: Vec<AtomicUsize>,
    /// Acts that are not over yet.
    at_work: AtomicUsize,
    /// A CPU has waited in vain: this execution is not looked at any further.
    abandoned: AtomicBool,
    /// What a CPU runs when it takes an interrupt.
    handler: OnceLock<Box<dyn Fn(CpuId) + Send + Sync>>,
}

struct Core {
    /// Interrupts sent, or anything newer than [`Core::taken`]. Loom's: what a CPU does depends on it.
    rung: AtomicU64,
    /// Interrupts taken. Its own.
    taken: AtomicUsize,
    /// Its thread, once its act is over: parked until it is interrupted.
    idle: Mutex<Option<Thread>>,
    mmu: Mutex<Mmu>,
    /// What the TLB has, by ASID, as memory: the CPU that makes an ASID clean on all CPUs writes it, the next CPU that
    /// uses the ASID reads it.
    entries: [Mutex<UnsafeCell<()>>; ASIDS as usize],
    /// For each other CPU: the places of the TLB that it wants to be empty here, a bit each.
    unwanted: Vec<AtomicU64>,
    /// Whether there is any such.
    is_unwanted: AtomicBool,
    /// Whether it is offline.
    is_unplugged: AtomicBool,
    /// CPUs that have not yet invalidated what this one asked for, and whether there were any.
    invalidating: AtomicU64,
    has_broadcast: AtomicBool,
}

impl Model {
    fn new(cpus: usize, paging: Paging, moves: bool) -> Self {
        let zeroes = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
        let memory = || Memory {
            words: zeroes(paging.pages),
            page: Page::free(),
            contents: Mutex::new(UnsafeCell::new(())),
        };
        let core = || Core {
            rung: AtomicU64::new(0),
            taken: AtomicUsize::new(0),
            idle: Mutex::new(None),
            mmu: Mutex::new(Mmu::new(paging)),
            entries: std::array::from_fn(|_| Mutex::new(UnsafeCell::new(()))),
            unwanted: (0..cpus).map(|_| AtomicU64::new(0)).collect(),
            is_unwanted: AtomicBool::new(false),
            is_unplugged: AtomicBool::new(false),
            invalidating: AtomicU64::new(0),
            has_broadcast: AtomicBool::new(false),
        };
        Model {
            paging,
            cpus: (0..cpus).map(|_| core()).collect(),
            memory: (0..FRAMES).map(|_| memory()).collect(),
            invalidations: zeroes(paging.places()).into(),
            // Frame 0 is the kernel's root.
            used: AtomicUsize::new(1),
            unanswered: AtomicUsize::new(0),
            tasks: (0..cpus).map(AtomicUsize::new).collect(),
            places: Places::new(cpus, moves),
            at_work: AtomicUsize::new(cpus),
            abandoned: AtomicBool::new(false),
            handler: OnceLock::new(),
        }
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    /// Wakes a CPU whose act is over. It learns what the waker has done, as from an interrupt.
    fn wake(&self, cpu: CpuId) {
        if let Some(thread) = self.cpus[cpu.0].idle.lock().expect(UNPOISONED).as_ref() {
            thread.unpark();
        }
    }

    /// The end of an act: takes interrupts until no CPU is left that could send one.
    fn rest(&self, cpu: CpuId) {
        if self.at_work.fetch_sub(1, Relaxed) == 1 {
            (0..self.cpus.len()).map(CpuId).for_each(|cpu| self.wake(cpu));
        }
        loop {
            self.window(cpu);
            if self.at_work.load(Relaxed) == 0 {
                return;
            }
            *self.cpus[cpu.0].idle.lock().expect(UNPOISONED) = Some(loom::thread::current());
            loom::thread::park();
            *self.cpus[cpu.0].idle.lock().expect(UNPOISONED) = None;
        }
    }

    /// A point at which an interrupt may be taken.
    pub fn window(&self, cpu: CpuId) {
        self.take_broadcasts(cpu);
        let core = &self.cpus[cpu.0];
        // Relaxed, here and where it is rung: an interrupt may be late, and orders nothing by itself.
        let rung = core.rung.fetch_add(0, gupsync::atomic::Ordering::Relaxed) as usize;
        if core.taken.swap(rung, Relaxed) != rung {
            self.handler.get().expect("an interrupt before the exploration")(cpu);
        }
    }

    /// A point at which the TLB may be flushed from elsewhere, interrupts off or not: inside a walk too.
    pub fn broadcast_window(&self, cpu: CpuId) {
        self.take_broadcasts(cpu);
    }

    /// Lets others get on, interrupts off.
    pub fn pause(&self) {
        loom::thread::yield_now();
    }

    fn memory(&self, frame: Frame) -> &Memory {
        &self.memory[(frame.0 / PAGE_SIZE) as usize]
    }

    /// Something holds, or else a fault is found.
    pub fn require(&self, holds: bool, what: &str) {
        assert!(holds || self.is_abandoned(), "{what}");
    }

    /// A walker reads a table, or a CPU a page.
    pub fn read(&self, frame: Frame) {
        if self.is_abandoned() {
            return;
        }
        self.memory(frame).contents.lock().expect(UNPOISONED).with(|_| ());
    }

    /// A table or a page is reused. No fence here: it would hide what the protocol must order itself.
    pub fn reuse(&self, frame: Frame) {
        if self.is_abandoned() {
            return;
        }
        self.memory(frame).contents.lock().expect(UNPOISONED).with_mut(|_| ());
    }
}

impl Spin for Model {
    /// Looks twice, others in between; as [`Machine::wait`], but takes no interrupt.
    fn spin(&self, mut until: impl FnMut() -> bool) {
        if !until() {
            self.pause();
            if !until() {
                self.abandoned.store(true, Relaxed);
            }
        }
    }
}

impl Machine for Model {
    fn cpus(&self) -> usize {
        self.cpus.len()
    }

    fn irqs_off<R>(&self, cpu: CpuId, body: impl FnOnce() -> R) -> R {
        let result = body();
        self.window(cpu);
        result
    }

    /// Looks, lets others get on, and looks once more. Loom explores every number of turns of a spin loop, and there is
    /// no end to that; an execution in which the look is in vain is abandoned, for there is another in which it comes
    /// later.
    fn wait(&self, cpu: CpuId, mut until: impl FnMut() -> bool) {
        self.window(cpu);
        if until() {
            return;
        }
        loom::thread::yield_now();
        self.window(cpu);
        if !until() {
            self.abandoned.store(true, Relaxed);
        }
    }

    /// The others get on while one yields.
    fn preempt(&self, cpu: CpuId) -> CpuId {
        let Some(tasks) = self.places.tasks else { return cpu };
        match self.tasks[cpu.0].load(Relaxed) {
            0 => match self.places.ask(cpu, tasks) {
                Some(task) => {
                    let is_there = |place: &AtomicUsize| place.load(Relaxed) == task;
                    let to = self.tasks.iter().position(is_there).expect("it is somewhere");
                    self.tasks[cpu.0].store(task, Relaxed);
                    self.tasks[to].store(0, Relaxed);
                    CpuId(to)
                }
                None => cpu,
            },
            task => self.places.yield_to(task, loom::thread::yield_now).unwrap_or(cpu),
        }
    }

    fn unplug(&self, cpu: CpuId) {
        self.require(
            self.mmu(cpu).has_loaded(self.kernel_root()),
            "a CPU goes offline with an mm's tables loaded",
        );
        self.end_uses();
        self.cpus[cpu.0].is_unplugged.store(true, Relaxed);
        // The others get on meanwhile.
        self.pause();
    }

    fn plug(&self, cpu: CpuId) {
        self.cpus[cpu.0].is_unplugged.store(false, Relaxed);
    }

    fn send(&self, _: CpuId, to: CpuId, _: Cause, _: MmId) {
        let is_offline = self.cpus[to.0].is_unplugged.load(Relaxed);
        self.require(!is_offline, "an interrupt is sent to a CPU that is offline");
        self.unanswered.fetch_add(1, Relaxed);
        self.cpus[to.0].rung.fetch_add(1, gupsync::atomic::Ordering::Relaxed);
        self.wake(to);
    }

    fn acked(&self, _: CpuId, _: Cause, _: MmId) {
        let before = self.unanswered.fetch_sub(1, Relaxed);
        assert_ne!(before, 0, "more was answered than was asked");
    }

    fn load_root(&self, cpu: CpuId, root: Frame, asid: Asid, cached: Cached) {
        self.mmu(cpu).load(root, asid, cached, self.paging);
    }

    fn flush_local(&self, cpu: CpuId, range: Range) {
        self.mmu(cpu).forget_own(range, self.paging);
    }

    fn flush_all(&self, cpu: CpuId) {
        self.mmu(cpu).forget(0..self.paging.places());
    }

    fn flush_by_hypercall(&self, cpu: CpuId, to: &CpuSet) {
        self.flush_all_of(cpu, to);
    }

    fn invlpgb(&self, cpu: CpuId, what: Invlpgb) {
        self.broadcast(cpu, what);
    }

    fn tlbsync(&self, cpu: CpuId) {
        self.await_broadcasts(cpu);
    }

    fn invlpgb_max(&self) -> u64 {
        self.paging.invlpgb_max
    }

    fn kernel_root(&self) -> Frame {
        Frame(0)
    }

    fn words(&self, frame: Frame) -> &[AtomicU64] {
        &self.memory(frame).words
    }

    fn page(&self, frame: Frame) -> &Page {
        &self.memory(frame).page
    }

    fn alloc(&self, _: FrameSize) -> Option<Frame> {
        let index = self.used.fetch_add(1, Relaxed);
        (index < FRAMES).then_some(Frame(index as u64 * PAGE_SIZE))
    }

    /// What is freed may be reused at once.
    fn free(&self, frame: Frame, _: FrameSize) {
        self.reuse(frame);
    }

    fn copy(&self, from: Frame, to: Frame) {
        self.read(from);
        self.reuse(to);
    }

    fn note(&self, _: CpuId, _: MmId, _: Event, _: u64) {}

    fn caught(&self, violation: &Violation) {
        assert!(self.is_abandoned(), "{violation:?}");
    }
}

/// [`explore`], where the task of the first CPU may change places with each of the others.
pub fn explore_moving<T: Send + Sync + 'static>(setting: Setting<T>, parts: &'static [Part<T>]) {
    explore_all(setting, parts, true);
}

/// Explores all of `parts` at once, each on its CPU, with at most three preemptions, two if there are four CPUs; one
/// more where deep bounds are asked for, one fewer where small ones are. In the hunt for a mistake smaller bounds come
/// first.
pub fn explore<T: Send + Sync + 'static>(setting: Setting<T>, parts: &'static [Part<T>]) {
    explore_all(setting, parts, false);
}

fn explore_all<T: Send + Sync + 'static>(setting: Setting<T>, parts: &'static [Part<T>], moves: bool) {
    let most = if parts.len() < 4 { 3 } else { 2 } + usize::from(deep().is_some()) - usize::from(is_small());
    let report = UnderWay::begin("loom", parts.len(), Some(format!("{most} preemptions")));
    let since = Instant::now();
    for preemptions in if is_hunt() { 1 } else { most }..=most {
        let (executions, setting) = (report.counter(), Setting { ..setting });
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 20_000;
        builder.max_duration = patience();
        builder.check(move || {
            executions.fetch_add(1, Relaxed);
            execute(Setting { ..setting }, parts, moves);
        });
    }
    if patience().is_some_and(|most| since.elapsed() >= most) {
        report.cut_off();
    } else {
        report.held();
    }
}

fn execute<T: Send + Sync + 'static>(setting: Setting<T>, parts: &'static [Part<T>], moves: bool) {
    let Setting { config, mms, paging, table } = setting;
    let mms = mms.iter().copied();
    let world = World::new(Model::new(parts.len(), paging, moves), config, mms).expect("enough frames");
    let stage = Arc::new(Stage { table: table(&world), world });
    let weak = Arc::downgrade(&stage);
    let handler = move |cpu| weak.upgrade().expect("it lives").world.interrupt(cpu);
    assert!(stage.world.machine.handler.set(Box::new(handler)).is_ok());
    for (index, (before, _)) in parts.iter().enumerate() {
        before(&stage, &mut stage.world.enter(CpuId(index)));
    }
    let threads: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(index, (_, act))| {
            let stage = stage.clone();
            loom::thread::spawn(move || {
                let mut cpu = stage.world.enter(CpuId(index));
                act(&stage, &mut cpu);
                stage.world.machine.rest(cpu.id());
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("an act does not panic");
    }
}
