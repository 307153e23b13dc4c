//! Sync rounds: real interrupts that prove walkers gone, to the CPUs of one mm or to every other CPU.

use arrayvec::ArrayVec;

use crate::atomic::Ordering;
use crate::call::{Acks, Call, Round, SetPool};
use crate::cpumask::{CpuId, CpuSet};
use crate::machine::{Event, Machine};
use crate::mm::shared::Kin;
use crate::mm::{Mm, MmId};
use crate::pending_gup_sync::{AckedByAll, Snapshot};
use crate::world::Cpu;

/// The most mms a world has: an all-CPU round snapshots every one of them.
pub const MAX_MMS: usize = 32;

/// Interrupts the CPUs that may be walking `mm`. Every ticket of `mm` taken before is covered when it returns.
pub fn round<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    let snapshot = mm.pending.begin();
    let need = cpu.sets().take();
    let (world, me) = (cpu.world(), cpu.id());
    let mut to = cpu.sets().take();
    let targets = snapshot.targets(need, |need| {
        // Acquire: pairs with the Release in `leave`.
        mm.cpumask.for_each(Ordering::Acquire, |other| {
            if other != me && world.found(other, mm.id).must_ack() {
                need.insert(other);
                to.insert(other);
            }
        });
    });
    let proof = cpu.issue(Call::Sync(mm.id), to, targets).wait(cpu);
    let covered = proof.expect("everybody who was needed was called").cover();
    cpu.note(mm.id, Event::ClearedBySync, covered.count());
}

/// Interrupts every other CPU on behalf of `mm`. Every ticket taken before, of any mm, is covered when it returns.
pub fn round_of_everyone<M: Machine>(cpu: &mut Cpu<'_, M>, mm: &Mm) {
    everyone(cpu, Call::Sync(mm.id), mm.id);
}

/// Interrupts every other CPU for no mm's sake. Every ticket taken before, of any mm, is covered when it returns.
pub fn call_everyone<M: Machine>(cpu: &mut Cpu<'_, M>) {
    everyone(cpu, Call::Everyone, MmId::KERNEL);
}

/// Calls every other CPU; what that covers of `mm` is put down to a sync.
pub(crate) fn everyone<M: Machine>(cpu: &mut Cpu<'_, M>, call: Call, mm: MmId) {
    let world = cpu.world();
    let everyone = EveryMm(world.mms().iter().map(|mm| (mm, mm.pending.begin())).collect());
    let mut to = cpu.sets().take();
    (0..world.machine.cpus()).map(CpuId).filter(|other| *other != cpu.id()).for_each(|other| to.insert(other));
    for (other, proof) in cpu.issue(call, to, everyone).wait(cpu) {
        let event = if other.id == mm { Event::ClearedBySync } else { Event::ClearedByOtherIpi };
        cpu.note(other.id, event, proof.cover().count());
    }
}

/// Interrupts `to`, on behalf of `mm`, for the walkers of any of `kin`. Proves nothing about a whole mm; whoever
/// was in `to` has ended the walk it was in.
pub(crate) fn some<M: Machine>(cpu: &mut Cpu<'_, M>, mm: MmId, kin: Kin, to: CpuSet) {
    cpu.issue(Call::Debt { mm, kin }, to, ()).wait(cpu);
}

/// A snapshot of every mm.
struct EveryMm<'w>(ArrayVec<(&'w Mm, Snapshot<'w>), MAX_MMS>);

impl<'w> Round for EveryMm<'w> {
    type Outcome = ArrayVec<(&'w Mm, AckedByAll<'w>), MAX_MMS>;

    fn finish(self, acks: &Acks, _: &mut SetPool) -> Self::Outcome {
        self.0.into_iter().filter_map(|(mm, snapshot)| Some((mm, snapshot.acked_by_everyone(acks)?))).collect()
    }
}
