//! Tickets, rounds and membership.

use std::collections::{BTreeMap, BTreeSet};

use gupsync::atomic::AtomicU64;
use gupsync::config::{FlushConfig, FreedTables, MmConfig};
use gupsync::event::{Cause, Event};
use gupsync::flush::{self, Reached};
use gupsync::hotplug::{self, Offline};
use gupsync::machine::Machine;
use gupsync::pending_gup_sync::Ticket;
use gupsync::policy;
use gupsync::smp_call::Call;
use gupsync::sync_round::{self, InFlight, Seen};
use gupsync::types::{CpuId, LOCAL_ASIDS, MmId, Range};
use gupsync::world::{Cpu, World};
use proptest::prelude::*;

use crate::machine::{self, Sequential};
use crate::reference;

/// So many that a mask has three words.
const CPUS: usize = 130;
/// The CPUs that do something.
const ACTORS: &[usize] = &[1, 63, 64, 127, 129];
/// A CPU that does nothing.
const NO_ACTOR: usize = 0;
const MMS: usize = 3;

/// Where a task is, and where it looks and sends.
type Moves = (usize, usize);

/// What a task on a CPU does next. One that sends has a second CPU: it looks and sends there, and is back when it waits.
#[derive(Clone, Copy, Debug)]
enum Step {
    Switch(usize, Option<usize>),
    EnterLazy(usize),
    ExitLazy(usize, usize),
    Unlink(usize, usize),
    /// A sync: the oldest ticket of the mm is redeemed, by a round if it must be.
    Sync(Moves, usize),
    Flush(Moves, usize, bool),
    Everyone(Moves),
    /// A flush of the kernel's range.
    KernelRange(Moves),
    /// A round begins, and stays under way. If so told, it leaves its first target out.
    Begin(Moves, usize, bool),
    /// One of those under way is awaited, there.
    End(usize, usize),
    /// A CPU takes its interrupts.
    Deliver(usize),
    /// A CPU goes offline, or comes back if it is. What is told to one that is offline, or to a task that would go to one, is
    /// left out.
    Plug(usize),
}

impl Step {
    /// The CPUs on which something is done.
    fn on(self) -> [usize; 2] {
        match self {
            Step::Sync(moves, _) | Step::Flush(moves, ..) | Step::Begin(moves, ..) => moves.into(),
            Step::Everyone(moves) | Step::KernelRange(moves) => moves.into(),
            Step::Switch(cpu, _) | Step::EnterLazy(cpu) | Step::ExitLazy(cpu, _) => [cpu; 2],
            Step::Unlink(cpu, _) | Step::End(cpu, _) | Step::Deliver(cpu) => [cpu; 2],
            Step::Plug(_) => [NO_ACTOR; 2],
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let (cpu, mm) = (prop::sample::select(ACTORS), 0..MMS);
    let moves = (cpu.clone(), cpu.clone());
    prop_oneof![
        4 => (cpu.clone(), prop::option::of(mm.clone())).prop_map(|(cpu, mm)| Step::Switch(cpu, mm)),
        2 => cpu.clone().prop_map(Step::EnterLazy),
        2 => (cpu.clone(), mm.clone()).prop_map(|(cpu, mm)| Step::ExitLazy(cpu, mm)),
        4 => (cpu.clone(), mm.clone()).prop_map(|(cpu, mm)| Step::Unlink(cpu, mm)),
        2 => (moves.clone(), mm.clone()).prop_map(|(moves, mm)| Step::Sync(moves, mm)),
        3 => (moves.clone(), mm.clone(), any::<bool>()).prop_map(|(moves, mm, freed)| Step::Flush(moves, mm, freed)),
        1 => moves.clone().prop_map(Step::Everyone),
        1 => moves.clone().prop_map(Step::KernelRange),
        4 => (moves, mm, prop::bool::weighted(0.3)).prop_map(|(moves, mm, short)| Step::Begin(moves, mm, short)),
        4 => (cpu.clone(), any::<usize>()).prop_map(|(cpu, which)| Step::End(cpu, which)),
        2 => cpu.clone().prop_map(Step::Deliver),
        2 => cpu.prop_map(Step::Plug),
    ]
}

/// A round under way, and what the reference says that it covers.
struct UnderWay<'w> {
    mm: usize,
    in_flight: InFlight<'w, Seen<'w>>,
    covers: Option<u64>,
}

fn id(mm: usize) -> MmId {
    MmId::new(mm + 1)
}

/// A task on `moves`' first CPU begins a round for `mm`, and on the second calls all CPUs that are needed but the first
/// `left_out`. Says which are needed.
fn begin(
    world: &World<Sequential>,
    moves: Moves,
    mm: usize,
    left_out: usize,
) -> (InFlight<'_, Seen<'_>>, BTreeSet<usize>) {
    let mut cpu = enter(world, moves);
    let begun = sync_round::begin(&mut cpu, world.mm(id(mm)));
    let (mut needed, mut to) = (BTreeSet::new(), cpu.sets().take());
    let targets = sync_round::possible_walkers(&mut cpu, begun);
    targets.need().for_each(|cpu| {
        needed.insert(cpu.0);
    });
    needed.iter().skip(left_out).for_each(|cpu| to.insert(CpuId(*cpu)));
    let in_flight = targets.issue(Call::Sync(id(mm)), to);
    cpu.may_migrate();
    (in_flight, needed)
}

/// A task that goes to the second CPU when it may be preempted, and comes back when it may again.
fn enter(world: &World<Sequential>, (home, there): Moves) -> Cpu<'_, Sequential> {
    world.machine.let_migrate([there, home].map(CpuId));
    world.enter(CpuId(home))
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
    let mut rounds: Vec<UnderWay<'_>> = Vec::new();
    let mut tickets: [Vec<Ticket<()>>; MMS] = Default::default();
    let mut flushed = [0; MMS];
    let mut offline: BTreeMap<usize, Offline<Box<Cpu<'_, Sequential>>>> = BTreeMap::new();
    for (now, step) in (1..).zip(steps) {
        let mut sent = Vec::new();
        world.machine.begin_step(now);
        world.machine.let_migrate([]);
        match *step {
            _ if step.on().iter().any(|cpu| offline.contains_key(cpu)) => {}
            Step::Plug(cpu) => match offline.remove(&cpu) {
                Some(there) => {
                    there.come_online();
                    expected.come_online(cpu);
                }
                None => {
                    offline.insert(cpu, hotplug::go_offline(Box::new(world.enter(CpuId(cpu)))));
                    sent = expected.go_offline(cpu);
                }
            },
            Step::Switch(cpu, mm) => {
                world.enter(CpuId(cpu)).switch_mm(mm.map(|mm| world.mm(id(mm))));
                expected.switch(cpu, mm);
            }
            Step::EnterLazy(cpu) if expected.cpus[cpu].loaded.is_some() => {
                world.enter(CpuId(cpu)).enter_lazy_tlb();
                expected.enter_lazy_tlb(cpu);
            }
            Step::ExitLazy(cpu, mm) => {
                world.enter(CpuId(cpu)).exit_lazy_tlb(world.mm(id(mm)));
                expected.exit_lazy_tlb(cpu, mm);
            }
            Step::Unlink(cpu, mm) => {
                let entry = AtomicU64::new(1);
                let unlinked = policy::unlink(&mut world.enter(CpuId(cpu)), world.mm(id(mm)), (), |batch| {
                    batch.clear(&entry);
                });
                tickets[mm].push(unlinked.into_ticket());
                expected.mms[mm].modified += 1;
            }
            Step::Sync(moves, mm) if !tickets[mm].is_empty() => {
                let ticket = tickets[mm].remove(0);
                let number = ticket.number();
                let redeemed = world.mm(id(mm)).pending.redeem(ticket);
                prop_assert_eq!(redeemed.is_ok(), number <= expected.mms[mm].synced);
                if let Err(ticket) = redeemed {
                    sync_round::round(&mut enter(&world, moves), world.mm(id(mm)));
                    sent = expected.round(moves.1, mm);
                    prop_assert!(world.mm(id(mm)).pending.redeem(ticket).is_ok());
                }
            }
            Step::Flush(moves, mm, freed) => {
                let tables = if freed { FreedTables::Yes } else { FreedTables::No };
                let reached =
                    flush::flush(&mut enter(&world, moves), world.mm(id(mm)), Range::All, tables, None);
                let before = expected.mms[mm].synced;
                flushed[mm] = now;
                let there = moves.1;
                sent = if freed { expected.flush_freed(there, mm) } else { expected.flush_kept(there, mm) };
                let Reached::Mm(covered) = reached else {
                    return Err(TestCaseError::fail("a flush by interrupts did not reach the mm"));
                };
                prop_assert_eq!(covered.count(), expected.mms[mm].synced - before);
            }
            Step::Everyone(moves) => {
                sync_round::call_everyone(&mut enter(&world, moves));
                sent = expected.everyone(moves.1);
            }
            Step::KernelRange(moves) => {
                flush::kernel_range(&mut enter(&world, moves));
                flushed = [now; MMS];
                if !invlpgb {
                    sent = expected.everyone(moves.1);
                }
            }
            Step::Begin(moves, mm, short) => {
                let expected_walkers = expected.walkers(moves.1, mm);
                let left_out = usize::from(short && !expected_walkers.is_empty());
                let (in_flight, needed) = begin(&world, moves, mm, left_out);
                prop_assert_eq!(&needed, &expected_walkers);
                sent = needed.into_iter().skip(left_out).map(|cpu| (Cause::Sync, cpu)).collect();
                let covers = (left_out == 0).then_some(expected.mms[mm].modified);
                rounds.push(UnderWay { mm, in_flight, covers });
            }
            Step::End(cpu, which) if !rounds.is_empty() => {
                let UnderWay { mm, in_flight, covers } = rounds.swap_remove(which % rounds.len());
                let proof = in_flight.wait(&mut world.enter(CpuId(cpu)));
                prop_assert_eq!(proof.is_some(), covers.is_some());
                proof.into_iter().for_each(|proof| {
                    proof.cover();
                });
                covers.into_iter().for_each(|seen| expected.cover(mm, seen));
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
            if let reference::Cpu { loaded: Some(mm), lazy: false, .. } = expected {
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
