//! The machine of the models under x86-TSO: CPUs are coroutines of the explorer, interrupts come at any instruction.

mod mmu;

use std::rc::Rc;
use std::sync::Arc;

use gupsync::atomic::Ordering::Relaxed;
use gupsync::atomic::{AtomicU64, Figure};
use gupsync::cpumask::CpuSet;
use gupsync::detect::Violation;
use gupsync::event::{Cause, Event};
use gupsync::machine::Machine;
use gupsync::page::Page;
use gupsync::types::{Asid, Cached, CpuId, Frame, FrameSize, Invlpgb, MmId, PAGE_SIZE, Range};
use gupsync::world::World;
use gupsync_bench::machine::Spin;
use gupsync_checker::report::{UnderWay, deep, is_small, patience};
use gupsync_checker::tso::{self, Interrupt, Role};

use super::paging::Paging;
use super::{FRAMES, Part, Places, Setting, Stage};
use mmu::Mmu;

struct Memory {
    words: Box<[AtomicU64]>,
    page: Page,
    /// Counts how often it was reused.
    life: AtomicU64,
}

/// The machine.
pub struct Model {
    pub paging: Paging,
    /// Of each CPU.
    mmus: Vec<Mmu>,
    memory: Vec<Memory>,
    /// Frames handed out.
    used: Figure,
    places: Places,
    /// By CPU: whether it is offline.
    unplugged: Vec<AtomicU64>,
}

impl Model {
    fn new(cpus: usize, paging: Paging, moves: bool) -> Self {
        let words = || (0..paging.pages).map(|_| AtomicU64::new(0)).collect();
        let memory = || Memory { words: words(), page: Page::free(), life: AtomicU64::new(0) };
        Model {
            paging,
            mmus: (0..cpus).map(|_| Mmu::new(cpus, paging)).collect(),
            memory: (0..FRAMES).map(|_| memory()).collect(),
            // Frame 0 is the kernel's root.
            used: Figure::new(1),
            places: Places::new(cpus, moves),
            unplugged: (0..cpus).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn is_unplugged(&self, cpu: usize) -> bool {
        self.unplugged[cpu].load(Relaxed) != 0
    }

    fn memory(&self, frame: Frame) -> &Memory {
        &self.memory[(frame.0 / PAGE_SIZE) as usize]
    }

    /// A point at which an interrupt may be taken, as at any other here.
    pub fn window(&self, _: CpuId) {}

    /// A point at which the TLB may be flushed from elsewhere, as at any other here.
    pub fn broadcast_window(&self, _: CpuId) {}

    /// An NMI comes to this CPU, at any time from now on.
    pub fn send_nmi(&self, own: CpuId) {
        tso::interrupt(own.0, Interrupt::Nmi);
    }

    /// Lets others get on, as at any time here.
    pub fn pause(&self) {}

    /// Something holds, or else a fault is found.
    pub fn require(&self, holds: bool, what: &str) {
        if !holds {
            tso::broken(what);
        }
    }

    /// A walker reads a table, or a CPU a page: it must not be reused before it is done.
    pub fn read(&self, frame: Frame) {
        let life = &self.memory(frame).life;
        let before = life.peek();
        if life.load(Relaxed) != before {
            tso::broken(format!("frame {:#x} was reused while a CPU was inside", frame.0));
        }
    }

    /// A table or a page is reused. A plain store, with no fence: it would hide what the protocol must order itself.
    pub fn reuse(&self, frame: Frame) {
        if tso::is_exploring() {
            let life = &self.memory(frame).life;
            life.store(life.peek() + 1, Relaxed);
        }
    }
}

impl Spin for Model {
    fn spin(&self, until: impl FnMut() -> bool) {
        tso::irqs_off(|| tso::wait(until));
    }
}

impl Machine for Model {
    fn cpus(&self) -> usize {
        self.mmus.len()
    }

    fn irqs_off<R>(&self, _: CpuId, body: impl FnOnce() -> R) -> R {
        tso::irqs_off(body)
    }

    fn wait(&self, _: CpuId, until: impl FnMut() -> bool) {
        tso::wait(until);
    }

    /// Each task keeps interrupts off until it is where it goes: a handler would be on the wrong CPU.
    fn preempt(&self, cpu: CpuId) -> CpuId {
        let Some(tasks) = self.places.tasks.filter(|_| tso::is_exploring()) else { return cpu };
        tso::irqs_off(|| match tso::own_task() {
            0 => {
                if self.places.ask(cpu, tasks).is_some() {
                    tso::wait(|| tso::own_cpu() != cpu.0);
                }
            }
            task => {
                if let Some(to) = self.places.yield_to(task, || ()) {
                    tso::wait(|| tso::exchange(to.0));
                }
            }
        });
        CpuId(tso::own_cpu())
    }

    fn unplug(&self, cpu: CpuId) {
        self.require(self.has_kernel_loaded(cpu), "a CPU goes offline with an mm's tables loaded");
        self.unplugged[cpu.0].swap(1, Relaxed);
        tso::lose_interrupts();
    }

    fn plug(&self, cpu: CpuId) {
        self.unplugged[cpu.0].swap(0, Relaxed);
    }

    fn send(&self, _: CpuId, to: CpuId, _: Cause, _: MmId) {
        self.require(!self.is_unplugged(to.0), "an interrupt is sent to a CPU that is offline");
        tso::interrupt(to.0, Interrupt::Maskable);
    }

    fn acked(&self, _: CpuId, cause: Cause, _: MmId) {
        tso::note(|| format!("has answered a {cause:?}"));
    }

    fn load_root(&self, cpu: CpuId, root: Frame, asid: Asid, cached: Cached) {
        self.load(cpu, root, asid, cached);
    }

    fn flush_local(&self, cpu: CpuId, range: Range) {
        self.forget_own(cpu, range);
    }

    fn flush_all(&self, cpu: CpuId) {
        self.forget_all(cpu);
    }

    fn flush_by_hypercall(&self, cpu: CpuId, to: &CpuSet) {
        self.invalidate(cpu, self.paging.emptied_by(Invlpgb::Everything), |other| to.contains(other));
        self.await_broadcasts(cpu);
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
        (index < FRAMES as u64).then_some(Frame(index * PAGE_SIZE))
    }

    /// What is freed may be reused at once.
    fn free(&self, frame: Frame, _: FrameSize) {
        self.reuse(frame);
    }

    fn copy(&self, from: Frame, to: Frame) {
        self.read(from);
        self.reuse(to);
    }

    fn note(&self, _: CpuId, mm: MmId, event: Event, _: u64) {
        if matches!(event, Event::WalkBegin | Event::WalkEnd | Event::SyncSkipped | Event::SyncSent) {
            tso::note(|| format!("{event:?} of {mm:?}"));
        }
    }

    fn caught(&self, violation: &Violation) {
        tso::broken(format!("{violation:?}"));
    }
}

/// So many states are looked at, if there are so many: more are no result.
const QUICK: usize = 500_000;
/// The same where deep bounds are asked for.
const DEEP: usize = 40_000_000;
/// The same where small ones are: the first of them, and what is left is for quick bounds.
const SMALL: usize = 20_000;

/// Explores all of `parts` at once, each on its CPU, and everything that x86 allows.
///
/// # Panics
///
/// If something is found.
pub fn explore<T: Send + Sync + 'static>(setting: Setting<T>, parts: &'static [Part<T>]) {
    explore_with_nmis(setting, parts, |_, _| ());
}

/// [`explore`], where an NMI handler does `nmi` besides.
///
/// # Panics
///
/// If something is found.
pub fn explore_with_nmis<T: Send + Sync + 'static>(
    setting: Setting<T>,
    parts: &'static [Part<T>],
    nmi: fn(&Stage<T>, CpuId),
) {
    explore_all(setting, parts, nmi, false);
}

/// [`explore`], where the task of the first CPU may change places with each of the others.
///
/// # Panics
///
/// If something is found.
pub fn explore_moving<T: Send + Sync + 'static>(setting: Setting<T>, parts: &'static [Part<T>]) {
    explore_all(setting, parts, |_, _| (), true);
}

fn explore_all<T: Send + Sync + 'static>(
    setting: Setting<T>,
    parts: &'static [Part<T>],
    nmi: fn(&Stage<T>, CpuId),
    moves: bool,
) {
    let most = match deep() {
        Some(_) => DEEP,
        None if is_small() => SMALL,
        None => QUICK,
    };
    let mut report = UnderWay::begin("tso", parts.len(), None);
    let outcome = tso::explore((most, patience()), || {
        let Setting { config, mms, paging, table } = setting;
        let mms = mms.iter().copied();
        let world = World::new(Model::new(parts.len(), paging, moves), config, mms).expect("enough frames");
        let stage = Arc::new(Stage { table: table(&world), world });
        for (index, (before, _)) in parts.iter().enumerate() {
            before(&stage, &mut stage.world.enter(CpuId(index)));
        }
        let role = |(index, (_, act)): (usize, &'static Part<T>)| {
            let stage = stage.clone();
            let role = move || act(&stage, &mut stage.world.enter(CpuId(index)));
            Arc::new(role) as Role
        };
        let roles = parts.iter().enumerate().map(role).collect();
        let handler = move |cpu: usize, interrupt| match interrupt {
            Interrupt::Maskable => stage.world.interrupt(CpuId(cpu)),
            Interrupt::Nmi => {
                stage.world.machine.take_broadcasts(cpu);
                nmi(&stage, CpuId(cpu));
            }
        };
        (roles, Rc::new(handler) as Rc<dyn Fn(usize, Interrupt)>)
    });
    report.counter().fetch_add(outcome.states, std::sync::atomic::Ordering::Relaxed);
    if let Some(trace) = outcome.fault {
        report.found(&trace.fault, &trace.steps);
        panic!("{}, after {} steps:\n{}", trace.fault, trace.length(), trace.text());
    }
    if outcome.exhausted {
        report.ends();
        report.held();
    } else if is_small() && outcome.states > most as u64 {
        report.bounded(format!("{most} states"));
        report.held();
    } else {
        report.cut_off();
    }
}
