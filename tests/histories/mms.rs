//! Tickets, rounds and membership.

use std::collections::BTreeSet;

use gupsync::atomic::AtomicU64;
use gupsync::config::{FlushConfig, FreedTables, MmConfig};
use gupsync::event::{Cause, Event};
use gupsync::flush::{self, Reached};
use gupsync::machine::Machine;
use gupsync::pending_gup_sync::Ticket;
use gupsync::policy;
use gupsync::smp_call::Call;
use gupsync::sync_round::{self, InFlight, Targets};
use gupsync::types::{CpuId, LOCAL_ASIDS, MmId, Range};
use gupsync::world::{Cpu, World};
use proptest::prelude::*;

use crate::machine::{self, Sequential};
use crate::reference;

/// So many that a mask has three words.
const CPUS: usize = 130;
/// The CPUs that do something.
const ACTORS: &[usize] = &[1, 63, 64, 127, 129];
const MMS: usize = 3;

/// What a CPU does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Switch(usize, Option<usize>),
    EnterLazy(usize),
    ExitLazy(usize, usize),
    Unlink(usize, usize),
    /// A sync: the oldest ticket of the mm is redeemed, by a round if it must be.
    Sync(usize, usize),
    Flush(usize, usize, bool),
    Everyone(usize),
    /// A flush of the kernel's range.
    KernelRange(usize),
    /// A round begins, and stays under way. If so told, it leaves its first target out.
    Begin(usize, usize, bool),
    /// It is awaited.
    End(usize),
    /// A CPU takes its interrupts.
    Deliver(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (cpu, mm) = (prop::sample::select(ACTORS), 0..MMS);
    prop_oneof![
        4 => (cpu.clone(), prop::option::of(mm.clone())).prop_map(|(cpu, mm)| Step::Switch(cpu, mm)),
        2 => cpu.clone().prop_map(Step::EnterLazy),
        2 => (cpu.clone(), mm.clone()).prop_map(|(cpu, mm)| Step::ExitLazy(cpu, mm)),
        4 => (cpu.clone(), mm.clone()).prop_map(|(cpu, mm)| Step::Unlink(cpu, mm)),
        2 => (cpu.clone(), mm.clone()).prop_map(|(cpu, mm)| Step::Sync(cpu, mm)),
        3 => (cpu.clone(), mm.clone(), any::<bool>()).prop_map(|(cpu, mm, freed)| Step::Flush(cpu, mm, freed)),
        1 => cpu.clone().prop_map(Step::Everyone),
        1 => cpu.clone().prop_map(Step::KernelRange),
        4 => (cpu.clone(), mm, prop::bool::weighted(0.3)).prop_map(|(cpu, mm, short)| Step::Begin(cpu, mm, short)),
        4 => cpu.clone().prop_map(Step::End),
        2 => cpu.prop_map(Step::Deliver),
    ]
}

/// A round under way, and what the reference says that it covers. Its sender does nothing else meanwhile.
struct UnderWay<'w> {
    mm: usize,
    in_flight: InFlight<'w, Sequential, Cpu<'w, Sequential>, Targets<'w>>,
    covers: Option<u64>,
}

fn id(mm: usize) -> MmId {
    MmId::new(mm + 1)
}

/// Begins a round for `mm`, and calls all CPUs that are needed but the first `left_out`. Says which are needed.
fn begin(
    world: &World<Sequential>,
    cpu: usize,
    mm: usize,
    left_out: usize,
) -> (InFlight<'_, Sequential, Cpu<'_, Sequential>, Targets<'_>>, BTreeSet<usize>) {
    let mut cpu = world.enter(CpuId(cpu));
    let targets = sync_round::possible_walkers(&mut cpu, world.mm(id(mm)));
    let (mut needed, mut to) = (BTreeSet::new(), cpu.sets().take());
    targets.need().for_each(|cpu| {
        needed.insert(cpu.0);
    });
    needed.iter().skip(left_out).for_each(|cpu| to.insert(CpuId(*cpu)));
    (sync_round::issue(cpu, Call::Sync(id(mm)), to, targets), needed)
}

/// Goes through `steps`, and compares after each.
fn follow(steps: &[Step], invlpgb: bool, pcids: usize) -> Result<(), TestCaseError> {
    // With `invlpgb`, the kernel's range is flushed by that; no mm is.
    let config = FlushConfig {
        invlpgb,
        threshold: 1,
        pcids,
        asids: 0,
        methods_interrupt: true,
        unshare_flush: FreedTables::No,
        unlazy_fence: true,
    };
    let world = machine::world(CPUS, MMS, config, MmConfig::default(), 1);
    let mut expected = reference::World::new(CPUS, MMS);
    let mut rounds: [Option<UnderWay<'_>>; CPUS] = std::array::from_fn(|_| None);
    let mut tickets: [Vec<Ticket<()>>; MMS] = Default::default();
    let mut flushed = [0; MMS];
    for (now, step) in (1..).zip(steps) {
        let mut sent = Vec::new();
        world.machine.begin_step(now);
        match *step {
            Step::Switch(cpu, mm) if rounds[cpu].is_none() => {
                world.enter(CpuId(cpu)).switch_mm(mm.map(|mm| world.mm(id(mm))));
                expected.switch(cpu, mm);
            }
            Step::EnterLazy(cpu) if rounds[cpu].is_none() && expected.cpus[cpu].loaded.is_some() => {
                world.enter(CpuId(cpu)).enter_lazy_tlb();
                expected.enter_lazy_tlb(cpu);
            }
            Step::ExitLazy(cpu, mm) if rounds[cpu].is_none() => {
                world.enter(CpuId(cpu)).exit_lazy_tlb(world.mm(id(mm)));
                expected.exit_lazy_tlb(cpu, mm);
            }
            Step::Unlink(cpu, mm) if rounds[cpu].is_none() => {
                let entry = AtomicU64::new(1);
                let unlinked = policy::unlink(&mut world.enter(CpuId(cpu)), world.mm(id(mm)), (), |batch| {
                    batch.clear(&entry);
                });
                tickets[mm].push(unlinked.into_ticket());
                expected.mms[mm].modified += 1;
            }
            Step::Sync(cpu, mm) if rounds[cpu].is_none() && !tickets[mm].is_empty() => {
                let ticket = tickets[mm].remove(0);
                let number = ticket.number();
                let redeemed = world.mm(id(mm)).pending.redeem(ticket);
                prop_assert_eq!(redeemed.is_ok(), number <= expected.mms[mm].synced);
                if let Err(ticket) = redeemed {
                    sync_round::round(&mut world.enter(CpuId(cpu)), world.mm(id(mm)));
                    sent = expected.round(cpu, mm);
                    prop_assert!(world.mm(id(mm)).pending.redeem(ticket).is_ok());
                }
            }
            Step::Flush(cpu, mm, freed) if rounds[cpu].is_none() => {
                let tables = if freed { FreedTables::Yes } else { FreedTables::No };
                let mut cpu_handle = world.enter(CpuId(cpu));
                let reached = flush::flush(&mut cpu_handle, world.mm(id(mm)), Range::All, tables, None);
                let before = expected.mms[mm].synced;
                flushed[mm] = now;
                sent = if freed { expected.flush_freed(cpu, mm) } else { expected.flush_kept(cpu, mm) };
                let Reached::Mm(covered) = reached else {
                    return Err(TestCaseError::fail("a flush by interrupts did not reach the mm"));
                };
                prop_assert_eq!(covered.count(), expected.mms[mm].synced - before);
            }
            Step::Everyone(cpu) if rounds[cpu].is_none() => {
                sync_round::call_everyone(&mut world.enter(CpuId(cpu)));
                sent = expected.everyone(cpu);
            }
            Step::KernelRange(cpu) if rounds[cpu].is_none() => {
                flush::kernel_range(&mut world.enter(CpuId(cpu)));
                flushed = [now; MMS];
                if !invlpgb {
                    sent = expected.everyone(cpu);
                }
            }
            Step::Begin(cpu, mm, short) if rounds[cpu].is_none() => {
                let expected_walkers = expected.walkers(cpu, mm);
                let left_out = usize::from(short && !expected_walkers.is_empty());
                let (in_flight, needed) = begin(&world, cpu, mm, left_out);
                prop_assert_eq!(&needed, &expected_walkers);
                sent = needed.into_iter().skip(left_out).map(|cpu| (Cause::Sync, cpu)).collect();
                let covers = (left_out == 0).then_some(expected.mms[mm].modified);
                rounds[cpu] = Some(UnderWay { mm, in_flight, covers });
            }
            Step::End(cpu) => {
                if let Some(UnderWay { mm, in_flight, covers }) = rounds[cpu].take() {
                    let proof = in_flight.wait();
                    prop_assert_eq!(proof.is_some(), covers.is_some());
                    proof.into_iter().for_each(|proof| {
                        proof.cover();
                    });
                    covers.into_iter().for_each(|seen| expected.cover(mm, seen));
                }
            }
            Step::Deliver(cpu) => world.machine.deliver(CpuId(cpu)),
            _ => {}
        }
        let really_sent: Vec<_> = world.machine.take_sent().into_iter().map(|(why, to)| (why, to.0)).collect();
        prop_assert_eq!(really_sent, sent, "interrupts of {:?}", step);
        for (mm, expected) in expected.mms.iter().enumerate() {
            let pending = &world.mm(id(mm)).pending;
            prop_assert_eq!(pending.counts(), (expected.modified, expected.synced), "after {:?}", step);
            prop_assert_eq!(pending.is_pending(), expected.synced < expected.modified);
            for ticket in &tickets[mm] {
                prop_assert_eq!(pending.covers(ticket), ticket.number() <= expected.synced);
            }
            let counted = |event| world.machine.counted(id(mm), event);
            prop_assert_eq!(counted(Event::Set), expected.modified);
            let causes = [
                Event::ClearedByOwnFlush,
                Event::ClearedBySync,
                Event::ClearedByOtherFlush,
                Event::ClearedByOtherIpi,
            ];
            // A round that the history itself awaits is not counted for any cause.
            prop_assert!(causes.into_iter().map(counted).sum::<u64>() <= expected.synced);
        }
        for (cpu, expected) in expected.cpus.iter().enumerate() {
            let root = world.machine.root(CpuId(cpu));
            let expected_root = expected.loaded.map_or(world.machine.kernel_root(), |mm| world.mm(id(mm)).root);
            prop_assert_eq!(root, expected_root, "what CPU {} has loaded after {:?}", cpu, step);
            if let reference::Cpu { loaded: Some(mm), lazy: false } = expected {
                prop_assert!(
                    world.machine.fresh_since(CpuId(cpu)) >= flushed[*mm],
                    "CPU {} after {:?}",
                    cpu,
                    step
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tickets_rounds_and_membership_are_those_of_the_reference(
        steps in prop::collection::vec(step(), 1..300),
        invlpgb: bool,
        pcids in 0..=LOCAL_ASIDS,
    ) {
        follow(&steps, invlpgb, pcids)?;
    }
}
