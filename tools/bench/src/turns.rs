//! Turns: a mutator and its workers keep step.
//!
//! # Guarantee
//!
//! In every turn the mutator does one operation. Before it, each worker has completed a walk of the range, which comes
//! to a page if the team's mm maps one there; or left the mm, or come back to it. Before the turn ends each is through
//! with it.

use gupsync::atomic::{AtomicU64, Ordering};
use gupsync::machine::Machine;
use gupsync::types::{CpuId, VirtAddr};
use gupsync::world::Cpu;

use crate::spec::Kind;

/// What workers will find in the range of a turn once its operation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Expect {
    /// Nothing is known.
    Anything,
    /// Every page holds its own address.
    Mapped,
    /// The same, each page where it was before: the operation was taken back.
    AsBefore,
    /// Every page holds its own address, and none can be written.
    ReadOnly,
    /// Nothing is mapped.
    Nothing,
}

impl Expect {
    /// Whether the range of an operation of `kind` that ended so has been flushed.
    pub(crate) fn is_flushed(self, kind: Kind) -> bool {
        match self {
            Expect::Anything => false,
            // Some of the mms that share a table keep it as it is.
            Expect::Mapped | Expect::AsBefore => kind == Kind::Collapse,
            Expect::ReadOnly | Expect::Nothing => true,
        }
    }

    fn from_word(word: u64) -> Self {
        [Expect::Anything, Expect::Mapped, Expect::AsBefore, Expect::ReadOnly, Expect::Nothing][word as usize]
    }
}

/// What workers do in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Activity {
    /// They walk the range.
    Walk,
    /// They leave the mm.
    Leave,
    /// They come back to it.
    Return,
}

/// A turn, as a worker sees it.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    /// Its number.
    pub(crate) number: u64,
    /// Where the operation happens.
    pub(crate) va: VirtAddr,
    /// Which operation.
    pub(crate) kind: Kind,
    /// What workers do.
    pub(crate) activity: Activity,
    /// The worker that goes on using translations while the operation is done.
    pub(crate) toucher: Option<CpuId>,
    /// The worker that holds a pin on a page of the range until the operation is over.
    pub(crate) pinner: Option<CpuId>,
}

/// The turns of one team.
pub(crate) struct Turns {
    workers: u64,
    /// Number of the turn, from 1 up; [`Turns::OVER`] ends the work.
    number: AtomicU64,
    /// The other fields of the [`Turn`].
    va: AtomicU64,
    kind: AtomicU64,
    activity: AtomicU64,
    /// Their numbers plus one; 0 if there is none.
    toucher: AtomicU64,
    pinner: AtomicU64,
    /// What the range of a turn holds once its operation is over, for odd turns and for even ones.
    expect: [AtomicU64; 2],
    /// The last turn whose operation is over.
    operated: AtomicU64,
    /// How many workers have done what they do before the operation.
    ready: AtomicU64,
    /// How many workers are through with this turn.
    done: AtomicU64,
}

impl Turns {
    /// The number that ends the work.
    pub(crate) const OVER: u64 = u64::MAX;

    /// No turn yet, for so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        let zero = || AtomicU64::new(0);
        Turns {
            workers: workers as u64,
            number: zero(),
            va: zero(),
            kind: zero(),
            activity: zero(),
            toucher: zero(),
            pinner: zero(),
            expect: [zero(), zero()],
            operated: zero(),
            ready: zero(),
            done: zero(),
        }
    }

    /// Mutator: opens a turn.
    pub(crate) fn open(&self, turn: Turn) {
        // Relaxed, down to `number`: its Release publishes them.
        self.va.store(turn.va.0, Ordering::Relaxed);
        self.kind.store(turn.kind as u64, Ordering::Relaxed);
        self.activity.store(turn.activity as u64, Ordering::Relaxed);
        for (word, cpu) in [(&self.toucher, turn.toucher), (&self.pinner, turn.pinner)] {
            word.store(cpu.map_or(0, |cpu| cpu.0 as u64 + 1), Ordering::Relaxed);
        }
        self.ready.store(0, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `latest`.
        self.number.store(turn.number, Ordering::Release);
    }

    /// Mutator: comes back when every worker is ready.
    pub(crate) fn await_ready<M: Machine>(&self, cpu: &mut Cpu<'_, M>) {
        // Acquire: pairs with the Release in `ready`.
        cpu.rest(|| self.ready.load(Ordering::Acquire) == self.workers);
    }

    /// Mutator: comes back when all workers but so many are through with the turn.
    pub(crate) fn await_through<M: Machine>(&self, cpu: &mut Cpu<'_, M>, but: usize) {
        // Acquire: pairs with the Release in `through`.
        cpu.rest(|| self.done.load(Ordering::Acquire) + but as u64 >= self.workers);
    }

    /// Mutator: the operation of turn `number` is over. Comes back when every worker is through with it.
    pub(crate) fn close<M: Machine>(&self, cpu: &mut Cpu<'_, M>, number: u64, expect: Expect) {
        // Relaxed: read after the next turn was opened, and before that is closed.
        self.expect[number as usize % 2].store(expect as u64, Ordering::Relaxed);
        // Release: pairs with the Acquire in `has_operated`.
        self.operated.store(number, Ordering::Release);
        self.await_through(cpu, 0);
    }

    /// Mutator: no more turns.
    pub(crate) fn end(&self) {
        // Release: pairs with the Acquire in `latest`.
        self.number.store(Self::OVER, Ordering::Release);
    }

    /// The number of the turn under way: 0 before the first.
    pub(crate) fn latest(&self) -> u64 {
        // Acquire: pairs with the Release in `open` and `end`.
        self.number.load(Ordering::Acquire)
    }

    /// The turn under way, for a CPU that keeps no step with it.
    pub(crate) fn glance(&self) -> Option<Turn> {
        let number = self.latest();
        (number != 0 && number != Self::OVER)
            .then(|| self.read(number))
            .filter(|turn| turn.activity == Activity::Walk)
    }

    /// What turn `number`, the latest, is.
    pub(crate) fn read(&self, number: u64) -> Turn {
        // Relaxed: published by `number`.
        let word = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let kind = Kind::ALL[word(&self.kind) as usize];
        let activity = [Activity::Walk, Activity::Leave, Activity::Return][word(&self.activity) as usize];
        let cpu = |of: &AtomicU64| word(of).checked_sub(1).map(|cpu| CpuId(cpu as usize));
        let (toucher, pinner) = (cpu(&self.toucher), cpu(&self.pinner));
        Turn { number, va: VirtAddr(word(&self.va)), kind, activity, toucher, pinner }
    }

    /// Worker: what the range of turn `number`, the last one, holds.
    pub(crate) fn expected(&self, number: u64) -> Expect {
        // Relaxed: published by `number`.
        Expect::from_word(self.expect[number as usize % 2].load(Ordering::Relaxed))
    }

    /// Whether the operation of turn `number` is over.
    pub(crate) fn has_operated(&self, number: u64) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.operated.load(Ordering::Acquire) >= number
    }

    /// Worker: has done what it does before the operation.
    pub(crate) fn ready(&self) {
        // Release: pairs with the Acquire in `await_ready`.
        self.ready.fetch_add(1, Ordering::Release);
    }

    /// Worker: through with its turn.
    pub(crate) fn through(&self) {
        // Release: pairs with the Acquire in `await_through`.
        self.done.fetch_add(1, Ordering::Release);
    }
}
