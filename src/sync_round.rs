//! Rounds of interrupts: whom they interrupt, and what their acks prove.
//!
//! # Guarantee
//!
//! When [`InFlight::wait`] returns, every CPU asked has run the request in a context with no walk below it
//! ([`crate::flush::answer`]), after [`issue`] was called: it was outside every walk at one moment in between. Or it
//! was offline (`online.rs`). All it had done until then is visible to the task that has waited.
//!
//! An [`AckedByAll`] comes out only if the CPUs that may be walking the mm were looked for after the snapshot, by
//! [`possible_walkers`] or as every CPU of the machine, and all of them have acknowledged. One CPU is left out: the one
//! on which the task has looked.
//!
//! Three stages, and what each does *not* promise:
//!
//! - *look and issue*: it was looked who is online, the request is written and queued. No CPU has been interrupted for
//!   certain.
//! - *dispatch*: the interrupts are sent. None may have been taken.
//! - *wait*: all acknowledgements are in. Only now may a table be reused, and only if the [`Round`] says so.
//!
//! A [`Round`] is handed in at issue and comes back finished from wait. Nothing else ever sees the acks, and only this
//! file can make one: a snapshot taken after the acks cannot be expressed.
//!
//! # Mechanism
//!
//! A task may be preempted, and go on on another CPU, between its snapshot and its look, and before it waits: a
//! [`Begun`] is of no CPU, and neither is an [`InFlight`], of which a task may have several. It waits with interrupts
//! on: two senders serve each other. In between it stays. [`Targets`] keep the CPU on which they were found until all
//! is sent: it is the one that was left out, since the task that runs there is in no walk.
//!
//! ```compile_fail,E0499
//! # use gupsync::{cpumask::CpuSet, machine::Machine, mm::Mm, smp_call::Call, sync_round, world::Cpu};
//! fn looks_here_and_sends_there<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm, to: CpuSet) {
//!     let begun = sync_round::begin(cpu, mm);
//!     let targets = sync_round::possible_walkers(cpu, begun);
//!     cpu.may_migrate();
//!     let in_flight = targets.issue(Call::Sync(mm.id), to);
//! }
//! ```
//!
//! A snapshot comes first: nothing looks for targets without one. And a sender cannot be inside a walk:
//! [`Cpu::irqs_off`] borrows the CPU that issuing needs.
//!
//! ```compile_fail,E0061
//! # use gupsync::{machine::Machine, sync_round, world::Cpu};
//! fn looks_before_its_snapshot<M: Machine>(cpu: &mut Cpu<'_, M>) {
//!     let targets = sync_round::possible_walkers(cpu);
//! }
//! ```
//!
//! ```compile_fail,E0500
//! # use gupsync::{machine::Machine, mm::Mm, sync_round, world::Cpu};
//! fn sends_from_inside<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
//!     cpu.irqs_off(|_off| sync_round::round(cpu, mm));
//! }
//! ```
//!
//! Targets cannot be made from a set that a caller names, an empty one say, and no round of a caller's own can be
//! issued:
//!
//! ```compile_fail,E0451
//! # use gupsync::{cpumask::CpuSet, pending_gup_sync::Snapshot, sync_round::Seen};
//! fn forge(snapshot: Snapshot<'_>) -> Seen<'_> {
//!     Seen { snapshot, need: CpuSet::new(8) }
//! }
//! ```
//!
//! ```compile_fail,E0277
//! # use gupsync::{cpumask::{CpuSet, SetPool}, mm::Mm, smp_call::Acks, sync_round::Round};
//! struct Forger<'mm>(&'mm Mm);
//! impl Round for Forger<'_> {
//!     type Outcome = ();
//!     fn finish(self, _: &Acks, _: &mut SetPool) {}
//! }
//! ```

use arrayvec::ArrayVec;

use crate::atomic::Ordering;
use crate::cpumask::{CpuSet, SetPool};
use crate::event::Event;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::pending_gup_sync::{AckedByAll, Snapshot};
use crate::smp_call::{Acks, Call, SmpCalls, Written};
use crate::types::{CpuId, MAX_MMS, MmId, MmSet};
use crate::world::{Cpu, IrqsOff, World};

/// What a sender finds another CPU of an mm's cpumask doing, as far as that mm is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has the mm loaded.
    Running,
    /// It has another one loaded.
    Elsewhere,
    /// It is between two mms.
    Switching,
    /// It has the mm loaded, lazily.
    Lazy,
}

impl Standing {
    /// Whether a plain flush interrupts it. The others catch up by `tlb_gen` before they use the mm again.
    pub(crate) fn needs_plain_flush(self) -> bool {
        matches!(self, Standing::Running | Standing::Switching)
    }
}

impl<M: Machine> World<M> {
    /// Whether a CPU may be inside a walk of the mm that the unlinker has to wait for. The cases are those of
    /// [`crate::proof`]; there, 1 is the CPU that looks, and 3 a CPU that is not in the cpumask.
    fn may_walk(&self, standing: Standing) -> bool {
        match standing {
            // Case 2: only its ack proves anything.
            Standing::Running => true,
            // Case 4: its walks were over before it loaded another one. Coming back, it passes F3.
            Standing::Elsewhere => false,
            // Case 5: this mm may be the next.
            Standing::Switching => true,
            // Case 6: its walks were over before it went lazy. Coming back, it passes F4, or may not be left out.
            Standing::Lazy => !self.config.unlazy_fence,
        }
    }

    /// What `cpu` is doing, as seen from another CPU.
    pub(crate) fn standing(&self, cpu: CpuId, mm: MmId) -> Standing {
        let state = &self.cpus[cpu.0];
        // Acquire: pairs with F3 in `switch_mm` and with the Release in `drop_lazy`; a CPU seen elsewhere has ended its
        // walks of this mm before.
        match MmId::from_word(state.loaded_mm.load(Ordering::Acquire)) {
            MmId::SWITCHING => Standing::Switching,
            // Acquire: pairs with the Release in `enter_lazy_tlb`; walks before it are over.
            loaded if loaded == mm && state.is_lazy.load(Ordering::Acquire) != 0 => Standing::Lazy,
            loaded if loaded == mm => Standing::Running,
            _ => Standing::Elsewhere,
        }
    }

    /// Whether `cpu` is lazy, in whichever mm, as seen from another CPU: a flush that was counted before leaves it to catch up.
    pub(crate) fn is_lazy(&self, cpu: CpuId) -> bool {
        // Acquire: pairs with the Release in `enter_lazy_tlb`; what it did with old translations is over.
        self.cpus[cpu.0].is_lazy.load(Ordering::Acquire) != 0
    }
}

/// The CPUs that may be walking, found on the CPU that is left out, and that CPU: it is kept, so that the task sends
/// from where it has looked. Made by [`possible_walkers`].
#[must_use = "targets must be interrupted and their acks awaited"]
pub struct Targets<'c, 'w, 'mm, M: Machine> {
    cpu: &'c mut Cpu<'w, M>,
    seen: Seen<'mm>,
}

/// A snapshot, and the CPUs found after it: all of them must acknowledge.
pub struct Seen<'mm> {
    snapshot: Snapshot<'mm>,
    need: CpuSet,
}

impl<'c, 'w, 'mm, M: Machine> Targets<'c, 'w, 'mm, M> {
    /// The CPUs whose acks are needed.
    pub fn need(&self) -> &CpuSet {
        &self.seen.need
    }

    /// Issues and dispatches `call` to every CPU of `to`, then does `own`, interrupts off, what the sender itself has
    /// to do.
    pub(crate) fn issue_and(
        self,
        call: Call,
        to: CpuSet,
        own: impl FnOnce(&IrqsOff<'w, M>),
    ) -> InFlight<'w, Seen<'mm>> {
        let in_flight = issue(self.cpu, call, to, self.seen);
        self.cpu.irqs_off(own);
        in_flight
    }

    /// Issues and dispatches `call` to every CPU of `to`.
    pub fn issue(self, call: Call, to: CpuSet) -> InFlight<'w, Seen<'mm>> {
        issue(self.cpu, call, to, self.seen)
    }
}

/// A round that has its snapshot, and has not looked for its targets. It may do so on any CPU. Made by [`begin`].
#[must_use = "a snapshot covers nothing until every possible walker has acknowledged"]
pub struct Begun<'mm> {
    mm: &'mm Mm,
    snapshot: Snapshot<'mm>,
}

/// Begins a round for `mm`: takes its snapshot. Afterwards the task may be preempted.
pub fn begin<'mm, M: Machine>(cpu: &mut Cpu<'_, M>, mm: &'mm Mm) -> Begun<'mm> {
    let snapshot = mm.pending.begin();
    cpu.may_migrate();
    Begun { mm, snapshot }
}

/// Decides whom a round interrupts: the CPUs that may be inside a walk of the mm, but for `cpu`, which looks. The only
/// place that does.
pub fn possible_walkers<'c, 'w, 'mm, M: Machine>(
    cpu: &'c mut Cpu<'w, M>,
    begun: Begun<'mm>,
) -> Targets<'c, 'w, 'mm, M> {
    look(cpu, begun, |_, _| ())
}

/// [`possible_walkers`], for a sender that has to interrupt some other CPUs of the cpumask too: it visits them all.
pub(crate) fn look<'c, 'w, 'mm, M: Machine>(
    cpu: &'c mut Cpu<'w, M>,
    begun: Begun<'mm>,
    mut visit: impl FnMut(CpuId, Standing),
) -> Targets<'c, 'w, 'mm, M> {
    let Begun { mm, snapshot } = begun;
    let mut need = cpu.sets().take();
    let world = cpu.world();
    scan(cpu, mm, |other, standing| {
        if world.may_walk(standing) {
            need.insert(other);
        }
        visit(other, standing);
    });
    Targets { cpu, seen: Seen { snapshot, need } }
}

/// [`possible_walkers`], for an unlinker that has cleared its entries (F1) and leaves the round to another: it visits
/// them.
pub(crate) fn for_each_possible_walker<M: Machine>(cpu: &Cpu<'_, M>, mm: &Mm, mut visit: impl FnMut(CpuId)) {
    scan(cpu, mm, |other, standing| {
        if cpu.world().may_walk(standing) {
            visit(other);
        }
    });
}

/// Looks at each CPU of the cpumask but `cpu` itself, whose task looks and so is in no walk.
fn scan<M: Machine>(cpu: &Cpu<'_, M>, mm: &Mm, mut visit: impl FnMut(CpuId, Standing)) {
    // Acquire: pairs with the Release in `leave`; walks before leaving are over.
    mm.cpumask.for_each(Ordering::Acquire, |other| {
        if other != cpu.id() {
            visit(other, cpu.world().standing(other, mm.id));
        }
    });
}

mod sealed {
    pub trait Sealed {}
}

/// Something begun before the interrupts are sent that learns who acknowledged.
pub trait Round: sealed::Sealed {
    /// What the acks prove.
    type Outcome;

    /// Called once, when all acks are in. Sets no longer needed go back to `sets`.
    fn finish(self, acks: &Acks, sets: &mut SetPool) -> Self::Outcome;
}

/// A request whose acks prove nothing beyond that it was carried out.
impl Round for () {
    type Outcome = ();

    fn finish(self, _: &Acks, _: &mut SetPool) {}
}

impl<'mm> Round for Seen<'mm> {
    type Outcome = Option<AckedByAll<'mm>>;

    fn finish(self, acks: &Acks, sets: &mut SetPool) -> Self::Outcome {
        let proof = self.snapshot.acked_by(&self.need, acks);
        sets.give(self.need);
        proof
    }
}

/// A snapshot of every mm, for a round to every other CPU.
struct EveryMm<'w>(ArrayVec<(&'w Mm, Snapshot<'w>), MAX_MMS>);

impl<'w> Round for EveryMm<'w> {
    type Outcome = ArrayVec<(&'w Mm, AckedByAll<'w>), MAX_MMS>;

    fn finish(self, acks: &Acks, _: &mut SetPool) -> Self::Outcome {
        self.0.into_iter().filter_map(|(mm, snapshot)| Some((mm, snapshot.acked_by_everyone(acks)?))).collect()
    }
}

impl sealed::Sealed for () {}
impl sealed::Sealed for Seen<'_> {}
impl sealed::Sealed for EveryMm<'_> {}

/// A request that has been sent and not been awaited. It holds no CPU: the sender may do anything else before it waits.
#[must_use = "until `wait`, no CPU may have taken the interrupt"]
pub struct InFlight<'w, R> {
    calls: &'w SmpCalls,
    /// Nothing, if there was no CPU to send it to.
    written: Option<Written>,
    to: CpuSet,
    round: R,
}

/// Issues and dispatches `call` from `cpu` to every CPU of `to` that is online, on behalf of `round`. If too many
/// requests are under way, it waits for a slot first, interrupts on, but stays where it is.
///
/// # Panics
///
/// If `cpu` is one of them: its answer would say nothing of what it does now.
pub fn issue<'w, M: Machine, R: Round>(
    cpu: &mut Cpu<'w, M>,
    call: Call,
    to: CpuSet,
    round: R,
) -> InFlight<'w, R> {
    let (world, state, me) = (cpu.world(), cpu.state(), cpu.id());
    assert!(!to.contains(me), "{me} calls itself");
    let mut called = cpu.sets().take();
    world.online.begin_sends(&state.sends, |online| {
        if to.contains(online) {
            called.insert(online);
        }
    });
    let targets = called.len();
    let write = |home| world.calls.write(home, call, targets);
    let mut written = if targets > 0 { world.calls.homes(me).find_map(write) } else { None };
    if targets > 0 && written.is_none() {
        cpu.wait(|| {
            written = world.calls.homes(me).take(1).find_map(write);
            written.is_some()
        });
    }
    if let Some(Written { home, .. }) = written {
        called.for_each(|target| {
            world.calls.mailbox(target).post(home);
            world.machine.send(me, target, call.cause(), call.mm());
        });
    }
    world.online.end_sends(&state.sends);
    cpu.sets().give(called);
    InFlight { calls: &world.calls, written, to, round }
}

impl<R: Round> InFlight<'_, R> {
    /// Waits on `cpu`, or wherever the task goes on, for all acks, interrupts on, and finishes the round.
    pub fn wait<M: Machine>(self, cpu: &mut Cpu<'_, M>) -> R::Outcome {
        let InFlight { calls, written, to, round } = self;
        cpu.may_migrate();
        if let Some(Written { home, number }) = written {
            cpu.wait(|| calls.mailbox(home).is_answered(number));
        }
        let acks = calls.acks(to);
        let outcome = round.finish(&acks, cpu.sets());
        cpu.sets().give(acks.into_set());
        outcome
    }
}

/// Begins a round for `mm`, looks, and interrupts the CPUs that may be walking.
pub fn start<'w, 'mm, M: Machine>(cpu: &mut Cpu<'w, M>, mm: &'mm Mm) -> InFlight<'w, Seen<'mm>> {
    let begun = begin(cpu, mm);
    let mut to = cpu.sets().take();
    let targets = possible_walkers(cpu, begun);
    to.copy_from(targets.need());
    targets.issue(Call::Sync(mm.id), to)
}

/// Interrupts the CPUs that may be walking `mm`. Every ticket of `mm` taken before is covered when it returns.
pub fn round<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    let in_flight = start(cpu, mm);
    let proof = in_flight.wait(cpu);
    let covered = proof.expect("every CPU that was needed was called").cover();
    cpu.note(mm.id, Event::ClearedBySync, covered.count());
}

/// Interrupts every other CPU on behalf of `mm`. Every ticket taken before, of any mm, is covered when it returns.
pub fn broadcast<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    everyone(cpu, Call::Sync(mm.id), mm.id);
}

/// Interrupts every other CPU on behalf of no mm. Every ticket taken before, of any mm, is covered when it returns.
pub fn call_everyone<M: Machine>(cpu: &mut Cpu<'_, M>) {
    everyone(cpu, Call::Everyone, MmId::KERNEL);
}

/// Calls every other CPU; what that covers of `mm` is put down to a sync.
fn everyone<M: Machine>(cpu: &mut Cpu<'_, M>, call: Call, mm: MmId) {
    everyone_and(cpu, call, mm, |_| ());
}

/// Every CPU of the machine but `cpu`.
pub(crate) fn every_other<M: Machine>(cpu: &mut Cpu<'_, M>) -> CpuSet {
    let (me, cpus) = (cpu.id(), cpu.world().machine.cpus());
    let mut others = cpu.sets().take();
    (0..cpus).map(CpuId).filter(|other| *other != me).for_each(|other| others.insert(other));
    others
}

/// Calls every other CPU, and does `own` where it calls from, which no call goes to.
pub(crate) fn everyone_and<'w, M: Machine>(
    cpu: &mut Cpu<'w, M>,
    call: Call,
    mm: MmId,
    own: impl FnOnce(&Cpu<'w, M>),
) {
    let world = cpu.world();
    let everyone = EveryMm(world.mms().iter().map(|mm| (mm, mm.pending.begin())).collect());
    cpu.may_migrate();
    let to = every_other(cpu);
    let in_flight = issue(cpu, call, to, everyone);
    own(cpu);
    for (other, proof) in in_flight.wait(cpu) {
        let event = if other.id == mm { Event::ClearedBySync } else { Event::ClearedByOtherIpi };
        cpu.note(other.id, event, proof.cover().count());
    }
}

/// Interrupts `to`, on behalf of `mm`, for the walkers of any of `sharers`. Proves nothing about a whole mm; each CPU
/// of `to` has ended the walk it was in.
pub(crate) fn interrupt_some<M: Machine>(cpu: &mut Cpu<'_, M>, mm: MmId, sharers: MmSet, to: CpuSet) {
    issue(cpu, Call::Debt { mm, sharers }, to, ()).wait(cpu);
}
