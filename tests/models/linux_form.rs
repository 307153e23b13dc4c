//! Property: the form that Linux would have holds under x86-TSO, with what it gives up, and each of its own mistakes breaks it.
//!
//! The rest of `tests/models` runs the shipped library. This is written down here, from Linux's parts: the ticket is the
//! generation of the unlinker's own flush (`tlb_gen`), whose increment is F1; `gup_synced_gen` is the one new word of an mm;
//! senders that know no mm have two counters of the machine, `begun` and `done`; a shared table has a bit in its descriptor,
//! under `i_mmap_rwsem`. A round between the clear and the increment covers nothing: that is what this form gives up.
//! `tests/litmus` has the same form for other memory models.

use std::rc::Rc;
use std::sync::Arc;

use gupsync_checker::report::UnderWay;
use gupsync_checker::tso::{self, AtomicU64, Interrupt, Ordering::Relaxed, Ordering::SeqCst, Role};

/// CPUs of a model: an unlinker, a sender, and one that walks.
const CPUS: usize = 3;
const UNLINKER: usize = 0;
const SENDER: usize = 1;
const WALKER: usize = 2;

const ELSEWHERE: u64 = 0;
const LOADED: u64 = 1;
const SWITCHING: u64 = 2;

/// What may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// As before CVE-2025-40174: no fence where the bit was set already.
    NoFenceIfTheBitWasSet,
    /// The bit is set by a plain store, behind the fence.
    BitAfterTheFence,
    /// A round leaves out a lazy CPU, though un-lazying an mm with a global ASID passes no fence.
    LazyLeftOut,
    /// A round leaves out CPUs found SWITCHING.
    SwitchingLeftOut,
    /// `tlb_gen` is read after the acks.
    GenerationReadAfterTheAcks,
    /// `tlb_gen` is incremented before the entry is cleared.
    IncrementBeforeTheClear,
    /// `gup_synced_gen` is raised before the acks.
    RaisedBeforeTheAcks,
    /// An INVLPGB raises `gup_synced_gen`.
    InvlpgbCovers,
    /// `begun` is read before the entry is cleared.
    BegunReadBeforeTheClear,
    /// `begun` is incremented after the interrupts are sent.
    BegunAfterTheInterrupts,
    /// `done` is incremented before the acks.
    DoneBeforeTheAcks,
    /// A flush of a shared table that did not reach all leaves no bit.
    NoBit,
    /// The bit is set after `i_mmap_rwsem` is given up.
    BitAfterTheLock,
    /// The count of sharers is dropped without `i_mmap_rwsem`.
    CountWithoutTheLock,
}

/// What CPUs share.
struct Kernel {
    mistake: Mistake,
    pmd: AtomicU64,
    /// Whether the table has been reused.
    reused: AtomicU64,
    tlb_gen: AtomicU64,
    gup_synced_gen: AtomicU64,
    begun: AtomicU64,
    done: AtomicU64,
    i_mmap_rwsem: AtomicU64,
    /// Of the table, if it is shared; two leave it.
    sharers: AtomicU64,
    /// Whether some flush of it did not reach all.
    missed: AtomicU64,
    /// Of each CPU.
    loaded_mm: [AtomicU64; CPUS],
    is_lazy: [AtomicU64; CPUS],
    in_cpumask: [AtomicU64; CPUS],
    /// A bit for each sender that wants an ack of this CPU.
    wanted: [AtomicU64; CPUS],
    /// Acks that each sender waits for.
    outstanding: [AtomicU64; CPUS],
}

impl Kernel {
    /// The walker has `walker` loaded, and the mm is on its CPU or was, unless it `is_new` there.
    fn new(mistake: Mistake, Walker { loaded, is_lazy, is_new }: Walker) -> Self {
        let zeros = || [0; CPUS].map(AtomicU64::new);
        Kernel {
            mistake,
            pmd: AtomicU64::new(1),
            reused: AtomicU64::new(0),
            tlb_gen: AtomicU64::new(0),
            gup_synced_gen: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            i_mmap_rwsem: AtomicU64::new(0),
            sharers: AtomicU64::new(3),
            missed: AtomicU64::new(0),
            loaded_mm: [ELSEWHERE, ELSEWHERE, loaded].map(AtomicU64::new),
            is_lazy: [0, 0, u64::from(is_lazy)].map(AtomicU64::new),
            in_cpumask: [0, 0, u64::from(!is_new)].map(AtomicU64::new),
            wanted: zeros(),
            outstanding: zeros(),
        }
    }

    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }

    /// Sends to `targets`, and waits for their acks.
    fn call(&self, me: usize, targets: &[usize], sent: impl FnOnce()) {
        self.outstanding[me].store(targets.len() as u64, Relaxed);
        for target in targets {
            self.wanted[*target].fetch_or(1 << me, Relaxed);
            tso::interrupt(*target, Interrupt::Maskable);
        }
        sent();
        tso::wait(|| self.outstanding[me].load(Relaxed) == 0);
    }

    fn interrupt(&self, cpu: usize) {
        let senders = self.wanted[cpu].swap(0, Relaxed);
        for sender in (0..CPUS).filter(|sender| senders >> sender & 1 == 1) {
            self.outstanding[sender].fetch_sub(1, Relaxed);
        }
    }

    /// `tlb_remove_table_sync_one`, for the CPUs of the mm.
    fn round(&self, me: usize) {
        let before = self.tlb_gen.load(Relaxed);
        let may_walk = |cpu: &usize| {
            let loaded = self.loaded_mm[*cpu].load(Relaxed);
            let is_left_out = self.has(Mistake::LazyLeftOut) && self.is_lazy[*cpu].load(Relaxed) == 1;
            loaded == LOADED && !is_left_out || loaded == SWITCHING && !self.has(Mistake::SwitchingLeftOut)
        };
        let others = (0..CPUS).filter(|cpu| *cpu != me && self.in_cpumask[*cpu].load(Relaxed) == 1);
        let targets: Vec<_> = others.filter(may_walk).collect();
        if self.has(Mistake::RaisedBeforeTheAcks) {
            self.gup_synced_gen.fetch_max(before, Relaxed);
        }
        self.call(me, &targets, || ());
        let after = self.has(Mistake::GenerationReadAfterTheAcks);
        self.gup_synced_gen.fetch_max(if after { self.tlb_gen.load(Relaxed) } else { before }, Relaxed);
    }

    /// `on_each_cpu`.
    fn call_everyone(&self, me: usize) {
        let late = self.has(Mistake::BegunAfterTheInterrupts);
        let early = self.has(Mistake::DoneBeforeTheAcks);
        if !late {
            self.begun.fetch_add(1, Relaxed);
        }
        let targets: Vec<_> = (0..CPUS).filter(|cpu| *cpu != me).collect();
        self.call(me, &targets, || {
            if late {
                self.begun.fetch_add(1, Relaxed);
            }
            if early {
                self.done.fetch_add(1, Relaxed);
            }
        });
        if !early {
            self.done.fetch_add(1, Relaxed);
        }
    }

    /// Unlinks the table, flushes by INVLPGB, and reuses the table if it is covered.
    fn unlink(&self) {
        let mut begun = self.has(Mistake::BegunReadBeforeTheClear).then(|| self.begun.load(Relaxed));
        let early = self.has(Mistake::IncrementBeforeTheClear).then(|| self.tlb_gen.fetch_add(1, Relaxed) + 1);
        self.pmd.swap(0, Relaxed);
        let ticket = early.unwrap_or_else(|| self.tlb_gen.fetch_add(1, Relaxed) + 1);
        if self.has(Mistake::InvlpgbCovers) {
            self.gup_synced_gen.fetch_max(ticket, Relaxed);
        }
        let begun = *begun.get_or_insert_with(|| self.begun.load(Relaxed));
        if self.gup_synced_gen.load(Relaxed) >= ticket || self.done.load(Relaxed) > begun {
            self.reused.store(1, Relaxed);
        }
    }

    /// `huge_pmd_unshare`, and what is due if one sharer is left, who reuses the table. The flush of the unlinker's mm, by
    /// INVLPGB, reaches no walker; that of the sender's mm has none to reach.
    fn unshare(&self, me: usize) {
        let dropped = self.has(Mistake::CountWithoutTheLock).then(|| self.sharers.fetch_sub(1, Relaxed));
        tso::wait(|| self.i_mmap_rwsem.compare_exchange(0, 1, Relaxed, Relaxed).is_ok());
        if me == UNLINKER {
            self.pmd.swap(0, Relaxed);
        }
        let before = dropped.unwrap_or_else(|| self.sharers.fetch_sub(1, Relaxed));
        let late = self.has(Mistake::BitAfterTheLock);
        if me == UNLINKER && !late && !self.has(Mistake::NoBit) {
            self.missed.store(1, Relaxed);
        }
        if before == 2 {
            if self.missed.load(Relaxed) == 1 {
                self.call(me, &[WALKER], || ());
            }
            self.reused.store(1, Relaxed);
        }
        self.i_mmap_rwsem.store(0, Relaxed);
        if me == UNLINKER && late {
            self.missed.store(1, Relaxed);
        }
    }

    /// `gup_fast`, interrupts off.
    fn walk(&self) {
        if self.pmd.load(Relaxed) == 1 && self.reused.load(Relaxed) == 1 {
            tso::broken("a walker in a table that was reused");
        }
    }

    /// `switch_mm_irqs_off`, and a walk.
    fn come_back(&self) {
        tso::irqs_off(|| {
            self.loaded_mm[WALKER].store(SWITCHING, Relaxed);
            let is_late = self.has(Mistake::BitAfterTheFence);
            if !is_late && self.in_cpumask[WALKER].load(Relaxed) == 0 {
                self.in_cpumask[WALKER].fetch_or(1, Relaxed);
            }
            if !self.has(Mistake::NoFenceIfTheBitWasSet) {
                tso::fence(SeqCst);
            }
            if is_late {
                self.in_cpumask[WALKER].store(1, Relaxed);
            }
            self.loaded_mm[WALKER].store(LOADED, Relaxed);
            self.walk();
        });
    }

    /// `switch_mm_irqs_off` of a lazy CPU to an mm with a global ASID, which passes no fence; and a walk.
    fn stop_being_lazy(&self) {
        tso::irqs_off(|| {
            self.is_lazy[WALKER].store(0, Relaxed);
            self.walk();
        });
    }
}

/// Where the walker is at first.
#[derive(Clone, Copy)]
struct Walker {
    loaded: u64,
    is_lazy: bool,
    is_new: bool,
}

const RUNNING: Walker = Walker { loaded: LOADED, is_lazy: false, is_new: false };
const GONE: Walker = Walker { loaded: ELSEWHERE, ..RUNNING };
const NEW: Walker = Walker { is_new: true, ..GONE };
const LAZY: Walker = Walker { is_lazy: true, ..RUNNING };

/// What an unlinker, a sender and a walker do.
type Acts = [fn(&Kernel); CPUS];

/// Explores `acts`. What was found.
fn run(report: &UnderWay, mistake: Mistake, walker: Walker, acts: Acts) -> Option<String> {
    let outcome = tso::explore((1_000_000, None), || {
        let kernel = Arc::new(Kernel::new(mistake, walker));
        let role = |act: fn(&Kernel)| {
            let kernel = kernel.clone();
            Arc::new(move || act(&kernel)) as Role
        };
        let roles = acts.map(role).into();
        let handler = move |cpu: usize, _: Interrupt| kernel.interrupt(cpu);
        (roles, Rc::new(handler) as Rc<dyn Fn(usize, Interrupt)>)
    });
    assert!(outcome.exhausted || outcome.fault.is_some());
    report.counter().fetch_add(outcome.states, std::sync::atomic::Ordering::Relaxed);
    outcome.fault.map(|trace| trace.fault)
}

fn round(kernel: &Kernel) {
    kernel.round(SENDER);
}

fn call_everyone(kernel: &Kernel) {
    kernel.call_everyone(SENDER);
}

fn walk(kernel: &Kernel) {
    tso::irqs_off(|| kernel.walk());
}

/// Holds without a mistake, and is broken by each of `mistakes`.
fn check(walker: Walker, acts: Acts, mistakes: &[Mistake]) {
    let mut report = UnderWay::begin("tso", CPUS, None);
    assert_eq!(run(&report, Mistake::None, walker, acts), None);
    for mistake in mistakes {
        let found = run(&report, *mistake, walker, acts);
        assert_eq!(found.as_deref(), Some("a walker in a table that was reused"), "{mistake:?}");
    }
    report.ends();
    report.held();
}

#[test]
fn a_round_and_a_walker() {
    let mistakes = [
        Mistake::GenerationReadAfterTheAcks,
        Mistake::IncrementBeforeTheClear,
        Mistake::RaisedBeforeTheAcks,
        Mistake::InvlpgbCovers,
    ];
    check(RUNNING, [Kernel::unlink, round, walk], &mistakes);
}

#[test]
fn a_round_and_a_cpu_that_comes_back() {
    let mistakes = [Mistake::NoFenceIfTheBitWasSet, Mistake::SwitchingLeftOut];
    check(GONE, [Kernel::unlink, round, Kernel::come_back], &mistakes);
}

#[test]
fn a_round_and_a_cpu_that_joins() {
    check(NEW, [Kernel::unlink, round, Kernel::come_back], &[Mistake::BitAfterTheFence]);
}

/// What it gives up: as long as Linux has no fence there, a lazy CPU is interrupted.
#[test]
fn a_round_and_a_cpu_that_was_lazy() {
    check(LAZY, [Kernel::unlink, round, Kernel::stop_being_lazy], &[Mistake::LazyLeftOut]);
}

#[test]
fn a_sender_that_knows_no_mm() {
    let mistakes =
        [Mistake::BegunReadBeforeTheClear, Mistake::BegunAfterTheInterrupts, Mistake::DoneBeforeTheAcks];
    check(RUNNING, [Kernel::unlink, call_everyone, walk], &mistakes);
}

#[test]
fn two_that_leave_a_shared_table() {
    let acts: Acts = [|kernel| kernel.unshare(UNLINKER), |kernel| kernel.unshare(SENDER), walk];
    check(RUNNING, acts, &[Mistake::NoBit, Mistake::BitAfterTheLock, Mistake::CountWithoutTheLock]);
}
