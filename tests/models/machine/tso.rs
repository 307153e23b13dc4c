//! The machine of the models under x86-TSO: CPUs are coroutines of the explorer, interrupts come at any instruction.

use std::rc::Rc;
use std::sync::Arc;

use gupsync::atomic::Ordering::Relaxed;
use gupsync::atomic::{AtomicU64, Figure};
use gupsync::detect::Violation;
use gupsync::event::{Cause, Event};
use gupsync::machine::Machine;
use gupsync::mm::page_table::Entry;
use gupsync::page::Page;
use gupsync::types::{Asid, CpuId, Frame, FrameSize, Invlpgb, MmId, PAGE_SIZE, Range, VirtAddr};
use gupsync::world::World;
use gupsync_bench::machine::Spin;
use gupsync_checker::report::{UnderWay, deep};
use gupsync_checker::tso::{self, Interrupt, Role};

use super::{FRAMES, Part, Setting, Stage};

struct Memory {
    words: [AtomicU64; 1],
    page: Page,
    /// Counts how often it was reused.
    life: AtomicU64,
}

/// The machine.
pub struct Model {
    cpus: Vec<Core>,
    memory: Vec<Memory>,
    /// Frames handed out.
    used: Figure,
}

/// What a CPU translates by, and what others want to be invalidated there. The explorer orders all of it.
struct Core {
    root: AtomicU64,
    asid: AtomicU64,
    /// The TLB, by ASID: the entry that maps [`super::VA`], or nothing; and the life of its page when it was cached.
    cached: [AtomicU64; ASIDS],
    cached_life: [AtomicU64; ASIDS],
    /// Invalidations that came from elsewhere.
    broadcasts: AtomicU64,
    /// For each other CPU: the ASID that it wants to be gone here, plus 1.
    unwanted: Vec<AtomicU64>,
    /// CPUs that have not yet invalidated what this one asked for.
    invalidating: AtomicU64,
}

/// The local ASID and the global ones.
const ASIDS: usize = 4;

/// Stands for all ASIDs.
const EVERYTHING: u64 = u64::MAX - 1;

impl Model {
    fn new(cpus: usize) -> Self {
        let zero = || AtomicU64::new(0);
        let memory = || Memory { words: [zero()], page: Page::free(), life: zero() };
        let core = || Core {
            root: zero(),
            asid: zero(),
            cached: std::array::from_fn(|_| zero()),
            cached_life: std::array::from_fn(|_| zero()),
            broadcasts: zero(),
            unwanted: (0..cpus).map(|_| zero()).collect(),
            invalidating: zero(),
        };
        Model {
            cpus: (0..cpus).map(|_| core()).collect(),
            memory: (0..FRAMES).map(|_| memory()).collect(),
            // Frame 0 is the kernel's root.
            used: Figure::new(1),
        }
    }

    fn memory(&self, frame: Frame) -> &Memory {
        &self.memory[(frame.0 / PAGE_SIZE) as usize]
    }

    /// A point at which an interrupt may be taken, as at any other here.
    pub fn window(&self, _: CpuId) {}

    /// An NMI comes to this CPU, at any time from now on.
    pub fn send_nmi(&self, own: CpuId) {
        tso::interrupt(own.0, Interrupt::Nmi);
    }

    /// Lets others get on, as at any time here.
    pub fn pause(&self) {}

    /// A CPU reads the memory at [`super::VA`], if any is mapped there.
    pub fn access(&self, cpu: CpuId) {
        self.use_translation(cpu, |_| ());
    }

    /// A CPU writes the memory at [`super::VA`], if it may.
    pub fn write_access(&self, cpu: CpuId) {
        self.use_translation(cpu, |entry| {
            if entry.read_only() != entry {
                self.reuse(entry.frame());
                let core = &self.cpus[cpu.0];
                let life = self.memory(entry.frame()).life.peek();
                core.cached_life[core.asid.peek() as usize].store(life, Relaxed);
            }
        });
    }

    /// Looks it up if the TLB has none. An interrupt may come before it is used, but not while it is: that is one
    /// instruction.
    fn use_translation(&self, cpu: CpuId, then: impl FnOnce(Entry)) {
        let core = &self.cpus[cpu.0];
        tso::irqs_off(|| {
            let asid = core.asid.load(Relaxed) as usize;
            let broadcasts = core.broadcasts.load(Relaxed);
            if core.cached[asid].load(Relaxed) == 0
                && let Some(entry) = self.look_up(Frame(core.root.load(Relaxed)))
            {
                core.cached_life[asid].store(self.memory(entry.frame()).life.peek(), Relaxed);
                core.cached[asid].store(entry.0, Relaxed);
                // What is looked up while an invalidation comes in is not kept.
                if core.broadcasts.load(Relaxed) != broadcasts {
                    core.cached[asid].store(0, Relaxed);
                }
            }
        });
        tso::irqs_off(|| {
            let asid = core.asid.load(Relaxed) as usize;
            let entry = Entry(core.cached[asid].load(Relaxed));
            if entry.is_present() {
                let life = self.memory(entry.frame()).life.load(Relaxed);
                // An invalidation in between: the instruction has not used it.
                if core.cached[asid].peek() != entry.0 {
                    return;
                }
                if life != core.cached_life[asid].peek() {
                    tso::broken(format!("{cpu} uses a translation that was flushed"));
                }
                then(entry);
            }
        });
    }

    fn look_up(&self, root: Frame) -> Option<Entry> {
        (1..=4).try_fold(Entry::to(root, super::VA), |entry, _| {
            let entry = Entry(self.memory(entry.frame()).words[0].load(Relaxed));
            entry.is_present().then_some(entry)
        })
    }

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

    fn invalidate(&self, cpu: usize, asid: u64) {
        let cached = &self.cpus[cpu].cached;
        let asids = if asid == EVERYTHING { 0..ASIDS } else { asid as usize..asid as usize + 1 };
        cached[asids].iter().for_each(|cached| cached.store(0, Relaxed));
    }

    /// The TLB of `cpu` does what other CPUs have broadcast.
    fn take_broadcasts(&self, cpu: usize) {
        for (from, unwanted) in self.cpus[cpu].unwanted.iter().enumerate() {
            let asid = unwanted.swap(0, Relaxed);
            if asid != 0 {
                self.cpus[cpu].broadcasts.fetch_add(1, Relaxed);
                self.invalidate(cpu, asid - 1);
                self.cpus[from].invalidating.fetch_sub(1, Relaxed);
            }
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
        self.cpus.len()
    }

    fn irqs_off<R>(&self, _: CpuId, body: impl FnOnce() -> R) -> R {
        tso::irqs_off(body)
    }

    fn wait(&self, _: CpuId, until: impl FnMut() -> bool) {
        tso::wait(until);
    }

    fn send(&self, _: CpuId, to: CpuId, _: Cause, _: MmId) {
        tso::interrupt(to.0, Interrupt::Maskable);
    }

    fn acked(&self, _: CpuId, sender: CpuId, cause: Cause, _: MmId) {
        tso::note(|| format!("has answered the {cause:?} of {sender}"));
    }

    fn load_root(&self, cpu: CpuId, root: Frame, asid: Asid) {
        let core = &self.cpus[cpu.0];
        core.root.store(root.0, Relaxed);
        core.asid.store(asid.word(), Relaxed);
        core.cached[0].store(0, Relaxed);
    }

    fn flush_local(&self, cpu: CpuId, _: Range) {
        let core = &self.cpus[cpu.0];
        core.cached[core.asid.load(Relaxed) as usize].store(0, Relaxed);
    }

    /// As an NMI to each CPU, which may be taken anywhere, inside a walk too: hardware is no more predictable.
    fn invlpgb(&self, cpu: CpuId, what: Invlpgb) {
        let asid = match what {
            Invlpgb::Of { asid, .. } => asid.word(),
            Invlpgb::Everything => EVERYTHING,
        };
        self.invalidate(cpu.0, asid);
        for to in (0..self.cpus.len()).filter(|to| *to != cpu.0) {
            if !tso::is_exploring() {
                self.invalidate(to, asid);
                continue;
            }
            self.cpus[cpu.0].invalidating.fetch_add(1, Relaxed);
            self.cpus[to].unwanted[cpu.0].store(asid + 1, Relaxed);
            tso::interrupt(to, Interrupt::Nmi);
        }
    }

    fn tlbsync(&self, cpu: CpuId) {
        tso::wait(|| self.cpus[cpu.0].invalidating.load(Relaxed) == 0);
    }

    fn invlpgb_max(&self) -> u64 {
        1
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

/// So many states are looked at, unless deep bounds are asked for.
const QUICK: usize = 500_000;
const DEEP: usize = 40_000_000;

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
    let bounds = deep().map_or((QUICK, None), |most| (DEEP, Some(most)));
    let mut report = UnderWay::begin("tso", parts.len(), None);
    let outcome = tso::explore(bounds, || {
        let Setting { config, mms, table } = setting;
        let mms = mms.iter().copied();
        let world = World::new(Model::new(parts.len()), config, mms).expect("enough frames");
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
        report.found_in(trace.steps);
        panic!("{}, after {} steps:\n{}", trace.fault, trace.steps, trace.text);
    }
    if !outcome.exhausted {
        report.cut_off("cut off".to_owned());
    }
    report.held();
}
