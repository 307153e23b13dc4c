//! A team works on one mm: a mutator, and workers on every other CPU of the mm.
//!
//! # Guarantee
//!
//! In every turn the mutator does one operation, and each worker has completed at least one walk of the range
//! before the turn ends. If workers are to be *held*, one at least is inside its walk, at the table, when the mutator
//! unlinks it, whatever the timing: it signals that it is inside, the mutator waits for that, and whoever is called
//! before comes back.
//!
//! A held worker goes on when somebody waits for it (a request is in its inbox, or a grace period is due), or when
//! the operation is over without anybody having asked; and in neither case at once: whoever does not await its answer
//! is given time to do harm. So a missing sync is caught by logic and not by luck.

use alloc::boxed::Box;
use crossbeam_utils::atomic::AtomicCell;

use gupsync::atomic::{AtomicU64, Figure, Ordering};
use gupsync::cpumask::{CpuId, CpuMask};
use gupsync::machine::Machine;
use gupsync::mm::{Mm, VirtAddr};
use gupsync::ops::{Job, Stepped};
use crate::choice::{Kind, Workload};
use gupsync::world::{Cpu, IrqsOff};

/// How often a held worker that was called looks whether the table is reused before it goes on.
const LINGER: usize = 24;

/// What workers will find in the range of a turn once its operation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Expect {
    /// Nothing is known.
    Anything,
    /// Every page holds its own address.
    Mapped,
    /// The same, and no page can be written.
    ReadOnly,
    /// Nothing is mapped.
    Nothing,
}

impl Expect {
    fn from_word(word: u64) -> Self {
        [Expect::Anything, Expect::Mapped, Expect::ReadOnly, Expect::Nothing][word as usize]
    }
}

/// What workers do in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Part {
    /// They walk the range.
    Walk,
    /// They leave the mm.
    Leave,
    /// They come back to it.
    Return,
}

/// Something that a worker is asked to do between two walks.
pub(crate) enum Errand {
    /// One step of an operation: the task has migrated there.
    Step(Job),
    /// What a sibling of the mutator might do, for a piggyback.
    Sibling(Workload),
}

/// The shared state of a team.
pub struct Team {
    workers: u64,
    /// Number of the turn, from 1 up; [`Team::OVER`] ends the work.
    turn: AtomicU64,
    /// Where the operation of this turn happens.
    va: AtomicU64,
    /// Which operation.
    kind: AtomicU64,
    /// What workers do in this turn.
    part: AtomicU64,
    /// What the range of a turn holds once its operation is over, for odd turns and for even ones.
    expect: [AtomicU64; 2],
    /// Who is to be held in this turn.
    to_hold: CpuMask,
    /// How many are inside their walk.
    held: AtomicU64,
    /// How many have been, in this turn: somebody else's flush may let them go before all are there.
    entered: AtomicU64,
    /// The last turn in which held workers may go on by themselves.
    released: AtomicU64,
    /// The last turn whose operation is over.
    operated: AtomicU64,
    /// How many workers are through with this turn.
    done: AtomicU64,
    /// The last turn that each CPU has seen.
    seen: Box<[Figure]>,
    /// The CPU that has an errand, plus one.
    sent_to: AtomicU64,
    errand: AtomicCell<Option<Box<Errand>>>,
    answer: AtomicCell<Option<Box<Stepped>>>,
}

/// A turn, as a worker sees it.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    /// Its number.
    pub(crate) number: u64,
    /// Where the operation happens.
    pub(crate) va: VirtAddr,
    /// Which.
    pub(crate) kind: Kind,
    /// Whether this worker is to be held.
    pub(crate) hold: bool,
    /// What workers do.
    pub(crate) part: Part,
}

/// What a worker does next.
pub(crate) enum Next {
    Turn(Turn),
    Errand(Box<Errand>),
    Over,
}

impl Team {
    const OVER: u64 = u64::MAX;

    pub(crate) fn new(cpus: usize, workers: usize) -> Self {
        let zero = || AtomicU64::new(0);
        Team {
            workers: workers as u64,
            turn: zero(),
            va: zero(),
            kind: zero(),
            part: zero(),
            expect: [zero(), zero()],
            to_hold: CpuMask::new(cpus),
            held: zero(),
            entered: zero(),
            released: zero(),
            operated: zero(),
            done: zero(),
            seen: (0..cpus).map(|_| Figure::new(0)).collect(),
            sent_to: zero(),
            errand: AtomicCell::new(None),
            answer: AtomicCell::new(None),
        }
    }

    /// Mutator: opens a turn, and comes back when `hold` are inside their walks. `kick` wakes the workers.
    pub(crate) fn open<M: Machine>(
        &self,
        cpu: &mut Cpu<'_, M>,
        turn: Turn,
        hold: &[CpuId],
        kick: impl FnOnce(&mut Cpu<'_, M>),
    ) {
        // Relaxed, down to `turn`: its Release publishes them.
        self.to_hold.drain(Ordering::Relaxed, |_| ());
        hold.iter().for_each(|worker| self.to_hold.insert(*worker, Ordering::Relaxed));
        self.va.store(turn.va.0, Ordering::Relaxed);
        self.kind.store(turn.kind as u64, Ordering::Relaxed);
        self.part.store(turn.part as u64, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.entered.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `next`.
        self.turn.store(turn.number, Ordering::Release);
        kick(cpu);
        // Acquire: pairs with the Release in `hold`.
        cpu.rest(|| self.entered.load(Ordering::Acquire) >= hold.len() as u64);
    }

    /// Mutator: comes back when some worker is held inside its walk.
    pub(crate) fn await_held<M: Machine>(&self, cpu: &mut Cpu<'_, M>) {
        // Acquire: pairs with the Release in `hold`.
        cpu.rest(|| self.held.load(Ordering::Acquire) != 0);
    }

    /// Mutator: held workers may go on by themselves, as a vCPU does that its hypervisor resumes. Comes back when
    /// they have.
    pub(crate) fn release<M: Machine>(&self, cpu: &mut Cpu<'_, M>, number: u64) {
        // Release: pairs with the Acquire in `hold`.
        self.released.store(number, Ordering::Release);
        // Acquire: pairs with the Release in `hold`.
        cpu.rest(|| self.held.load(Ordering::Acquire) == 0);
    }

    /// Mutator: the operation of turn `number` is over. Comes back when every worker is through with it. `kick` wakes
    /// the one that it is given, who has slept through the operation.
    pub(crate) fn close<M: Machine>(
        &self,
        cpu: &mut Cpu<'_, M>,
        number: u64,
        expect: Expect,
        workers: impl Iterator<Item = CpuId>,
        kick: impl Fn(&mut Cpu<'_, M>, CpuId),
    ) {
        // Relaxed: read after the next turn was opened, and before that is closed.
        self.expect[number as usize % 2].store(expect as u64, Ordering::Relaxed);
        // Release: pairs with the Acquire in `hold`.
        self.operated.store(number, Ordering::Release);
        // Relaxed: whoever sees the turn only now is woken for nothing.
        let sleeps = |worker: &CpuId| self.seen[worker.0].load(Ordering::Relaxed) != number;
        workers.filter(sleeps).for_each(|worker| kick(cpu, worker));
        // Acquire: pairs with the Release in `through`.
        cpu.rest(|| self.done.load(Ordering::Acquire) == self.workers);
    }

    /// Mutator: no more turns.
    pub(crate) fn end(&self) {
        // Release: pairs with the Acquire in `next`.
        self.turn.store(Self::OVER, Ordering::Release);
    }

    /// Mutator: sends `errand` to `worker`, who is not held, and waits for the answer.
    pub(crate) fn send<M: Machine>(
        &self,
        cpu: &mut Cpu<'_, M>,
        worker: CpuId,
        errand: Errand,
        kick: impl FnOnce(&mut Cpu<'_, M>),
    ) -> Option<Box<Stepped>> {
        self.errand.store(Some(Box::new(errand)));
        // Release: pairs with the Acquire in `next`; the errand is there, and what came before it is visible.
        self.sent_to.store(worker.0 as u64 + 1, Ordering::Release);
        kick(cpu);
        // Acquire: pairs with the Release in `answer`.
        cpu.rest(|| self.sent_to.load(Ordering::Acquire) == 0);
        self.answer.take()
    }

    /// Worker: the errand is done.
    pub(crate) fn answer(&self, answer: Option<Box<Stepped>>) {
        self.answer.store(answer);
        // Release: pairs with the Acquire in `send`.
        self.sent_to.store(0, Ordering::Release);
    }

    /// Worker: sleeps until there is an errand, or a turn after number `last`. With `nap`, lazily.
    pub(crate) fn next<M: Machine>(&self, cpu: &mut Cpu<'_, M>, last: u64, nap: Option<&Mm>) -> Next {
        let (me, mut number, mut sent) = (cpu.id(), last, false);
        let mut look = || {
            // Acquire: pairs with the Release in `send`.
            sent = self.sent_to.load(Ordering::Acquire) == me.0 as u64 + 1;
            // Acquire: pairs with the Release in `open` and `end`.
            number = self.turn.load(Ordering::Acquire);
            number != last || sent
        };
        if nap.is_some() {
            cpu.go_lazy();
        }
        cpu.park(&mut look);
        if let Some(mm) = nap {
            cpu.unlazy(mm);
        }
        if sent {
            return Next::Errand(self.errand.take().expect("an errand was sent"));
        }
        if number == Self::OVER {
            return Next::Over;
        }
        // Relaxed, both: a hint; published by `turn`.
        self.seen[me.0].store(number, Ordering::Relaxed);
        let hold = self.to_hold.contains(me, Ordering::Relaxed);
        Next::Turn(Turn { hold, ..self.now(number) })
    }

    /// The turn under way, for who is not of the team.
    pub(crate) fn glance(&self) -> Option<Turn> {
        // Acquire: pairs with the Release in `open`. Out of date when it returns, which does no harm.
        let number = self.turn.load(Ordering::Acquire);
        (number != 0 && number != Self::OVER).then(|| self.now(number)).filter(|turn| turn.part == Part::Walk)
    }

    fn now(&self, number: u64) -> Turn {
        // Relaxed: published by `turn`.
        let word = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let kind = Kind::ALL[word(&self.kind) as usize];
        let part = [Part::Walk, Part::Leave, Part::Return][word(&self.part) as usize];
        Turn { number, va: VirtAddr(word(&self.va)), kind, hold: false, part }
    }

    /// Worker: what the range of turn `number`, the last one, holds.
    pub(crate) fn expected(&self, number: u64) -> Expect {
        // Relaxed: published by `turn`.
        Expect::from_word(self.expect[number as usize % 2].load(Ordering::Relaxed))
    }

    /// Worker, inside its walk: stays there until somebody waits for it or the table has been reused.
    pub(crate) fn hold<M: Machine>(&self, off: &IrqsOff<'_, M>, mm: &Mm, turn: Turn, preempted: bool) {
        let world = off.world();
        // Relaxed: a figure.
        mm.held.fetch_add(1, Ordering::Relaxed);
        if preempted {
            off.preempt();
        }
        // Release, both: pair with the Acquire in `open` and in `await_held`.
        self.held.fetch_add(1, Ordering::Release);
        self.entered.fetch_add(1, Ordering::Release);
        let operated = || self.has_operated(turn);
        // Acquire: pairs with the Release in `release`.
        let released = || self.released.load(Ordering::Acquire) >= turn.number;
        while !operated() && !released() && !world.is_waited_for(off.id()) {
            world.machine.pause();
        }
        for _ in 0..LINGER {
            if operated() || released() {
                break;
            }
            world.machine.pause();
        }
        if preempted {
            off.resume();
        }
        // Relaxed: a figure.
        mm.held.fetch_sub(1, Ordering::Relaxed);
        // Release: pairs with the Acquire in `release`.
        self.held.fetch_sub(1, Ordering::Release);
    }

    /// Whether the operation of `turn` is over.
    pub(crate) fn has_operated(&self, turn: Turn) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.operated.load(Ordering::Acquire) >= turn.number
    }

    /// Worker: through with its turn.
    pub(crate) fn through(&self) {
        // Release: pairs with the Acquire in `close`.
        self.done.fetch_add(1, Ordering::Release);
    }
}
