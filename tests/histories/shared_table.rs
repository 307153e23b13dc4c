//! The life of a shared table: how many share it, in what state it is, and which CPUs are owed.

use std::collections::BTreeSet;

use gupsync::cpumask::CpuSet;
use gupsync::mm::page_table::Entry;
use gupsync::mm::shared_table::{Attempt, Dropped, SharedTable};
use gupsync::ops::unshare::TABLE_SIZE;
use gupsync::types::{CpuId, ENTRIES, Frame, HUGE_SIZE, MmId, VirtAddr};
use proptest::prelude::*;

const CPUS: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Step {
    Join(usize),
    Owe(usize),
    Drop,
    /// The unsharer that left one sharer behind has paid.
    Own,
    Claim,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..30usize).prop_map(Step::Join),
        2 => (0..CPUS).prop_map(Step::Owe),
        3 => Just(Step::Drop),
        3 => Just(Step::Own),
        1 => Just(Step::Claim),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Shared,
    Settling,
    Owned,
    Private,
}

fn follow(steps: &[Step]) -> Result<(), TestCaseError> {
    let table = SharedTable::new(Frame(0), VirtAddr(0), CPUS, MmId::new(1));
    let (mut sharers, mut state, mut owed) = (1u32, State::Owned, BTreeSet::new());
    for step in steps {
        match *step {
            Step::Join(mm) => {
                let expected = match (state, sharers) {
                    (State::Shared, 2..) | (State::Owned, 1) => Attempt::Done,
                    (State::Settling, 1) => Attempt::NotYet,
                    _ => Attempt::Never,
                };
                prop_assert_eq!(table.join(MmId::new(mm)), expected);
                if expected == Attempt::Done {
                    (sharers, state) = (sharers + 1, State::Shared);
                    prop_assert!(table.sharers().contains(MmId::new(mm)));
                }
            }
            Step::Owe(cpu) if state == State::Shared => {
                table.add_debt(CpuId(cpu));
                owed.insert(cpu);
            }
            Step::Drop if sharers > 0 => {
                let expected = match sharers {
                    1 => Dropped::Last,
                    2 => Dropped::MustSettle,
                    _ => Dropped::Shared,
                };
                prop_assert_eq!(table.drop_share(), expected);
                sharers -= 1;
                if expected == Dropped::MustSettle {
                    state = State::Settling;
                }
            }
            Step::Own if state == State::Settling => {
                let (mut taken, mut debts) = (CpuSet::new(CPUS), BTreeSet::new());
                table.take_debts(&mut taken);
                taken.for_each(|cpu| {
                    debts.insert(cpu.0);
                });
                prop_assert_eq!(debts, std::mem::take(&mut owed));
                table.own();
                state = State::Owned;
            }
            Step::Claim => {
                let expected = match (state, sharers) {
                    (State::Owned, 1) => Attempt::Done,
                    (State::Private, _) => Attempt::Never,
                    _ => Attempt::NotYet,
                };
                prop_assert_eq!(table.claim(), expected);
                if expected == Attempt::Done {
                    state = State::Private;
                }
            }
            Step::Owe(_) | Step::Drop | Step::Own => {}
        }
        prop_assert_eq!(table.is_settled(), state != State::Settling);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shared_table_is_that_of_the_reference(steps in prop::collection::vec(step(), 1..200)) {
        follow(&steps)?;
    }
}

/// A walker in a table that has become another shared table sees it, at whatever place it reads; so does one in a PTE table
/// that maps another range.
#[test]
fn item_11_neighbouring_tables_have_different_tags() {
    let is_of = |tagged, walked| Entry::to(Frame(0), VirtAddr(tagged)).is_of(VirtAddr(walked), MmId::new(1));
    for place in (0..ENTRIES as u64).map(|index| index * HUGE_SIZE) {
        for other in 1..64 {
            let first = 3 * TABLE_SIZE + place;
            assert!(is_of(first, first));
            assert!(!is_of(first + other * TABLE_SIZE, first), "{other} shared tables on, at {place:#x}");
            assert!(
                other == 63 || !is_of(first + other * HUGE_SIZE, first),
                "{other} ranges on, at {place:#x}"
            );
        }
    }
}
