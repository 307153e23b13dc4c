//! Holding walkers inside their walks, so that a missing sync is caught whatever the timing.
//!
//! # Guarantee
//!
//! When [`Hold::await_one`] returns, a walker is inside its walk, at the table, and stays there until another CPU waits
//! for it (a request is in its inbox, or a grace period is due), until it is released, or until the operation is over.
//! So the unlink that follows at once happens while it is inside, whatever the timing. A walker that was called before
//! is to come back and be held again, until it [is released](Hold::is_released): from then on it may be sent on an
//! errand.
//!
//! A held walker that another CPU waits for does not go on at once: an unlinker that does not await its ack has time to
//! reuse the table, and is caught.
//!
//! [`Hold::let_pin`] is for a walker that is inside where none may be, because a sync is missing: when it returns, the
//! walker has pinned the page that it came for, and keeps it until the operation is over.

use gupsync::atomic::{AtomicU64, Figure, Ordering};
use gupsync::cpumask::CpuMask;
use gupsync::detect::{Caught, Violation};
use gupsync::mm::Mm;
use gupsync::types::{CpuId, Frame, VirtAddr};
use gupsync::world::{Cpu, IrqsOff};

use crate::machine::Spin;

/// Where a walker is held.
#[derive(Clone, Copy)]
pub struct At<'m> {
    /// The mm that it walks.
    pub mm: &'m Mm,
    /// The address that it walks to.
    pub va: VirtAddr,
    /// The table that it is in.
    pub table: Frame,
}

/// Where the walkers of one team are held.
pub struct Hold {
    /// How often a held walker that another CPU waits for looks whether the table is reused before it goes on.
    linger: usize,
    /// The walkers that are to be held.
    armed: CpuMask,
    /// How many are inside their walk.
    inside: AtomicU64,
    /// How many have been, since the walkers were named: another CPU's flush may let them go before all are there.
    entered: AtomicU64,
    /// The last turn in which held walkers may go on by themselves.
    released: AtomicU64,
    /// The last turn in which they go on to pin, and no further.
    pinning: Figure,
    /// How many have pinned their page.
    pinned: AtomicU64,
}

impl Hold {
    /// No walker is to be held, on `cpus` CPUs. One that is waited for looks `linger` times before it goes on.
    pub fn new(cpus: usize, linger: usize) -> Self {
        let zero = || AtomicU64::new(0);
        Hold {
            linger,
            armed: CpuMask::new(cpus),
            inside: zero(),
            entered: zero(),
            released: zero(),
            pinning: Figure::new(0),
            pinned: zero(),
        }
    }

    /// Mutator: names the walkers to be held from now on. Published by what tells them to walk.
    pub fn arm(&self, walkers: &[CpuId]) {
        // Relaxed, all: published by what tells them to walk.
        self.armed.drain(Ordering::Relaxed, |_| ());
        walkers.iter().for_each(|walker| self.armed.insert(*walker, Ordering::Relaxed));
        self.entered.store(0, Ordering::Relaxed);
    }

    /// Walker: whether it is to be held.
    pub fn is_armed_for(&self, walker: CpuId) -> bool {
        // Relaxed: published by what told it to walk.
        self.armed.contains(walker, Ordering::Relaxed)
    }

    /// Mutator: comes back when `count` walkers have been inside their walks.
    pub fn await_entered<M: Spin>(&self, cpu: &mut Cpu<'_, M>, count: usize) {
        // Acquire: pairs with the Release in `stay`.
        cpu.rest(|| self.entered.load(Ordering::Acquire) >= count as u64);
    }

    /// Mutator: comes back when some walker is inside its walk.
    pub fn await_one<M: Spin>(&self, cpu: &mut Cpu<'_, M>) {
        cpu.rest(|| self.is_any_inside());
    }

    /// Whether some walker is inside its walk.
    pub fn is_any_inside(&self) -> bool {
        // Acquire: pairs with the Release in `stay`; the walker that entered is at the table, the one that left is not.
        self.inside.load(Ordering::Acquire) != 0
    }

    /// Mutator: held walkers may go on by themselves in `turn`, as a vCPU does that its hypervisor resumes. Comes back
    /// when they have.
    pub fn release<M: Spin>(&self, cpu: &mut Cpu<'_, M>, turn: u64) {
        // Release: pairs with the Acquire in `is_released`.
        self.released.store(turn, Ordering::Release);
        cpu.rest(|| !self.is_any_inside());
    }

    /// Walker: whether it may go on by itself in `turn`. It comes back to be held no more then.
    pub fn is_released(&self, turn: u64) -> bool {
        // Acquire: pairs with the Release in `release` and in `let_pin`.
        self.released.load(Ordering::Acquire) >= turn
    }

    /// Mutator: the walkers that are inside go on in `turn`, and pin their pages. Comes back when each has, or has
    /// ended its walk.
    pub fn let_pin<M: Spin>(&self, cpu: &mut Cpu<'_, M>, turn: u64) {
        // Relaxed: published by `released`.
        self.pinning.store(turn, Ordering::Relaxed);
        // Release: pairs with the Acquire in `is_released`.
        self.released.store(turn, Ordering::Release);
        // Acquire, both: pair with the Release in `stay_pinned` and in `leave`; the pin is there.
        cpu.rest(|| self.pinned.load(Ordering::Acquire) == self.inside.load(Ordering::Acquire));
    }

    /// Walker, with its page pinned, which [`Hold::stay`] has let it go on to: stays until `is_over`, or until another
    /// CPU waits for it.
    #[inline(never)]
    pub fn stay_pinned<M: Spin>(&self, off: &IrqsOff<'_, M>, is_over: impl Fn() -> bool) {
        let world = off.world();
        // Release, both: pair with the Acquire in `let_pin`.
        self.pinned.fetch_add(1, Ordering::Release);
        world.machine.spin(|| is_over() || world.is_waited_for(off.id()));
        self.pinned.fetch_sub(1, Ordering::Release);
    }

    /// Walker, after its walk in such a turn.
    pub fn leave(&self) {
        // Release: pairs with the Acquire in `is_any_inside` and in `let_pin`.
        self.inside.fetch_sub(1, Ordering::Release);
    }

    /// Walker, inside a table of its walk, or kept from one: stays there, interrupts off. Is caught if the table was
    /// taken out meanwhile, and was another CPU's alone, though it is back. `is_over` says whether the operation of
    /// `turn` is over. With `preempted`, its vCPU is taken away meanwhile. Says whether it is to go on to pin its page:
    /// then it is inside until it [leaves](Hold::leave).
    ///
    /// Not inlined into the walk: a walker that is not held executes none of it.
    #[inline(never)]
    pub fn stay<M: Spin>(
        &self,
        off: &IrqsOff<'_, M>,
        walked: Option<At<'_>>,
        turn: u64,
        preempted: bool,
        is_over: impl Fn() -> bool,
    ) -> bool {
        let world = off.world();
        let isolations = |at: &At<'_>| world.machine.page(at.table).isolations();
        let before = walked.as_ref().map(isolations);
        walked.as_ref().inspect(|at| at.mm.held.enter());
        if preempted {
            off.preempt();
        }
        // Release, both: pair with the Acquire in `await_entered` and in `is_any_inside`.
        self.inside.fetch_add(1, Ordering::Release);
        self.entered.fetch_add(1, Ordering::Release);
        let may_go = || is_over() || self.is_released(turn);
        world.machine.spin(|| may_go() || world.is_waited_for(off.id()));
        let mut looks = 0..self.linger;
        world.machine.spin(|| may_go() || looks.next().is_none());
        if preempted {
            off.resume();
        }
        walked.as_ref().inspect(|at| at.mm.held.leave());
        if let Some(At { mm, va, table }) = walked.as_ref().filter(|at| Some(isolations(at)) != before) {
            let (kind, cpu, ticket) =
                (Caught::InsideReusedTable, off.id(), world.machine.page(*table).unlinked_with());
            world.caught(Violation { kind, cpu, mm: mm.id, va: *va, table: *table, ticket });
        }
        // Relaxed: published by `released`.
        let is_to_pin = self.pinning.load(Ordering::Relaxed) == turn;
        if !is_to_pin {
            self.leave();
        }
        is_to_pin
    }
}
