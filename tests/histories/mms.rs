//! Tickets, rounds and membership.

use gupsync::atomic::AtomicU64;
use gupsync::config::FreedTables;
use gupsync::event::Cause;
use gupsync::flush::{self, Reached};
use gupsync::pending_gup_sync::{Batch, Targets, Ticket};
use gupsync::smp_call::{Call, InFlight};
use gupsync::sync_round;
use gupsync::types::{CpuId, MmId, Range};
use gupsync::world::Cpu;
use proptest::prelude::*;

use crate::machine::{self, Sequential};
use crate::reference;

const CPUS: usize = 5;
const MMS: usize = 3;

/// What a CPU does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Switch(usize, Option<usize>),
    GoLazy(usize),
    Unlazy(usize, usize),
    Unlink(usize),
    /// A sync: the oldest ticket of the mm is redeemed, by a round if it must be.
    Sync(usize, usize),
    Flush(usize, usize, bool),
    Everyone(usize),
    /// A round begins, which leaves one CPU out if it is told to, and stays under way.
    Begin(usize, usize, bool),
    /// It is awaited.
    End(usize),
    /// A CPU takes its interrupts.
    Deliver(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (cpu, mm) = (0..CPUS, 0..MMS);
    prop_oneof![
        4 => (cpu.clone(), prop::option::of(mm.clone())).prop_map(|(cpu, mm)| Step::Switch(cpu, mm)),
        2 => cpu.clone().prop_map(Step::GoLazy),
        2 => (cpu.clone(), mm.clone()).prop_map(|(cpu, mm)| Step::Unlazy(cpu, mm)),
        4 => mm.clone().prop_map(Step::Unlink),
        2 => (cpu.clone(), mm.clone()).prop_map(|(cpu, mm)| Step::Sync(cpu, mm)),
        3 => (cpu.clone(), mm.clone(), any::<bool>()).prop_map(|(cpu, mm, freed)| Step::Flush(cpu, mm, freed)),
        1 => cpu.clone().prop_map(Step::Everyone),
        4 => (cpu.clone(), mm, prop::bool::weighted(0.3)).prop_map(|(cpu, mm, short)| Step::Begin(cpu, mm, short)),
        4 => cpu.clone().prop_map(Step::End),
        2 => cpu.prop_map(Step::Deliver),
    ]
}

/// A round under way, and what the reference says that it covers.
struct UnderWay<'w> {
    mm: usize,
    in_flight: InFlight<Targets<'w>>,
    covers: Option<u64>,
}

fn id(mm: usize) -> MmId {
    MmId::new(mm + 1)
}

fn begin<'w>(
    cpu: &mut Cpu<'w, Sequential>,
    mm: usize,
    needed: &[usize],
    called: &[usize],
) -> InFlight<Targets<'w>> {
    let snapshot = cpu.world().mm(id(mm)).pending.begin();
    let (need, mut to) = (cpu.sets().take(), cpu.sets().take());
    let targets = snapshot.targets(need, |need| needed.iter().for_each(|cpu| need.insert(CpuId(*cpu))));
    called.iter().for_each(|cpu| to.insert(CpuId(*cpu)));
    cpu.issue(Call::Sync(id(mm)), to, targets)
}

/// Goes through `steps`, and compares after each.
fn follow(steps: &[Step]) -> Result<(), TestCaseError> {
    let world = machine::world(CPUS, MMS);
    let mut expected = reference::World::new(CPUS, MMS);
    let mut rounds: [Option<UnderWay<'_>>; CPUS] = Default::default();
    let mut tickets: [Vec<Ticket<()>>; MMS] = Default::default();
    for step in steps {
        let mut sent = Vec::new();
        match *step {
            Step::Switch(cpu, mm) => {
                world.enter(CpuId(cpu)).switch_mm(mm.map(|mm| world.mm(id(mm))));
                expected.switch(cpu, mm);
            }
            Step::GoLazy(cpu) if expected.cpus[cpu].loaded.is_some() => {
                world.enter(CpuId(cpu)).enter_lazy_tlb();
                expected.enter_lazy_tlb(cpu);
            }
            Step::Unlazy(cpu, mm) => {
                world.enter(CpuId(cpu)).exit_lazy_tlb(world.mm(id(mm)));
                expected.exit_lazy_tlb(cpu, mm);
            }
            Step::Unlink(mm) => {
                let mut batch = Batch::new(());
                batch.clear(&AtomicU64::new(1));
                tickets[mm].push(world.mm(id(mm)).pending.unlink(batch));
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
            Step::Begin(cpu, mm, short) if rounds[cpu].is_none() => {
                let needed: Vec<_> = expected.walkers(cpu, mm).into_iter().collect();
                let left_out = usize::from(short && !needed.is_empty());
                let called = &needed[left_out..];
                let in_flight = begin(&mut world.enter(CpuId(cpu)), mm, &needed, called);
                sent = called.iter().map(|cpu| (Cause::Sync, *cpu)).collect();
                let covers = (left_out == 0).then_some(expected.mms[mm].modified);
                rounds[cpu] = Some(UnderWay { mm, in_flight, covers });
            }
            Step::End(cpu) => {
                if let Some(UnderWay { mm, in_flight, covers }) = rounds[cpu].take() {
                    let proof = in_flight.wait(&mut world.enter(CpuId(cpu)));
                    prop_assert_eq!(proof.is_some(), covers.is_some());
                    proof.into_iter().for_each(|proof| {
                        proof.cover();
                    });
                    covers.into_iter().for_each(|seen| expected.cover(mm, seen));
                }
            }
            Step::Deliver(cpu) => world.machine.deliver(CpuId(cpu)),
            Step::GoLazy(_) | Step::Sync(..) | Step::Flush(..) | Step::Everyone(_) | Step::Begin(..) => {}
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
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tickets_rounds_and_membership_are_those_of_the_reference(steps in prop::collection::vec(step(), 1..300)) {
        follow(&steps)?;
    }
}
