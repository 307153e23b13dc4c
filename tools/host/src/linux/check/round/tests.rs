//! What is judged how.

use super::*;

fn site() -> Site {
    Site { at: "pmdp_collapse_flush+0x10".into(), stack: vec!["collapse_huge_page+0x20".into()] }
}

fn wait(kind: Kind) -> Option<Wait> {
    let function = match kind {
        Kind::Flush => "flush_tlb_mm_range",
        Kind::Sync => "tlb_remove_table_sync_one",
        Kind::Other => "smp_call_function_many_cond(do_sync_core)",
    };
    Some(Wait { kind, function: function.into() })
}

fn read() -> Event {
    Event::Read { irqs_on: false, walker: "CPU 1".into() }
}

fn spins(kind: Kind) -> Event {
    Event::Looked(Look::Spins(wait(kind)))
}

/// What is done after each event, and what comes out.
fn play(test: Test, events: Vec<Event>) -> (Vec<Then>, Verdict) {
    let mut round = Round::new(test);
    let then = events.into_iter().map(|event| round.on(event)).collect();
    (then, round.verdict())
}

fn verdict(test: Test, events: Vec<Event>) -> Verdict {
    play(test, events).1
}

/// The reason why it cannot be told.
fn reason(test: Test, events: Vec<Event>) -> String {
    match verdict(test, events) {
        Verdict::Inconclusive(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_operation_that_ends_after_the_walker_has_gone_on_has_waited() {
    for kind in [Kind::Flush, Kind::Sync] {
        let events = vec![read(), Event::Unlinked(site()), spins(kind), spins(kind), Event::Done(0)];
        let (then, verdict) = play(Test::Collapse, events);
        assert_eq!(then, [Then::Hold, Then::GoOn, Then::GoOn, Then::Release, Then::GoOn]);
        assert_eq!(Some(verdict), wait(kind).map(Verdict::Waits));
    }
}

#[test]
fn an_operation_that_ends_while_the_walker_is_inside_lacks_a_sync() {
    let (then, verdict) = play(Test::Unshare, vec![read(), Event::Unlinked(site()), Event::Done(0)]);
    assert_eq!(then, [Then::Hold, Then::GoOn, Then::Release]);
    let missing = Missing { walker: "CPU 1".into(), site: site(), result: 0, leaked: None };
    assert_eq!(verdict, Verdict::Missing(Box::new(missing)));
    // Whatever it was in at one stop: it came back.
    let events = vec![read(), Event::Unlinked(site()), spins(Kind::Sync), Event::Done(0)];
    assert!(matches!(self::verdict(Test::Unshare, events), Verdict::Missing(_)));
}

#[test]
fn the_first_of_two_may_leave_and_the_second_may_not() {
    let first = || vec![read(), Event::Unlinked(site()), Event::Left];
    let second = |rest: Vec<Event>| [first(), vec![Event::Next, Event::Unlinked(site())], rest].concat();
    let missing = second(vec![Event::Done(0)]);
    assert!(matches!(verdict(Test::Three, missing), Verdict::Missing(_)));
    let waits = second(vec![spins(Kind::Sync), spins(Kind::Sync), Event::Done(0)]);
    assert_eq!(Some(verdict(Test::Three, waits)), wait(Kind::Sync).map(Verdict::Waits));
    // Between the two nothing is under way.
    let (then, _) = play(Test::Three, [first(), vec![spins(Kind::Other), spins(Kind::Other)]].concat());
    assert!(!then.contains(&Then::Release));
    // The second has to unlink its own.
    let events = [first(), vec![Event::Next, Event::Done(0)]].concat();
    assert!(reason(Test::Three, events).contains("had unlinked nothing"));
    assert!(reason(Test::Three, vec![read(), Event::Left]).contains("unlinked nothing"));
    // The flush of the first has waited.
    let flush = vec![read(), Event::Unlinked(site()), spins(Kind::Flush), spins(Kind::Flush)];
    let events = [flush, vec![Event::Left, Event::Next, Event::Unlinked(site()), Event::Done(0)]].concat();
    assert_eq!(Some(verdict(Test::Three, events)), wait(Kind::Flush).map(Verdict::Waits));
}

#[test]
fn a_walker_that_reads_another_page_is_held_until_that_is_in_its_place() {
    let events = vec![
        read(),
        Event::Unlinked(site()),
        Event::Left,
        Event::Next,
        Event::Unlinked(site()),
        Event::Done(0),
        Event::Reused,
    ];
    let (then, verdict) = play(Test::Leak, events);
    assert_eq!(then[5..], [Then::GoOn, Then::Release]);
    assert!(matches!(verdict, Verdict::Missing(_)));
}

#[test]
fn what_cannot_be_told_says_why() {
    let begin = || vec![read(), Event::Unlinked(site())];
    let other = [begin(), vec![spins(Kind::Other), spins(Kind::Other), Event::Done(0)]].concat();
    assert!(reason(Test::Collapse, other).contains("do_sync_core), which is neither flush nor sync"));
    let sleeps = || Event::Looked(Look::Sleeps(None));
    let asleep = [begin(), vec![sleeps(), sleeps(), Event::Done(0)]].concat();
    assert!(reason(Test::Collapse, asleep).contains("sleeps in no call that is known"));
    let early = vec![read(), spins(Kind::Flush), spins(Kind::Flush), Event::Unlinked(site()), Event::Done(0)];
    assert!(reason(Test::Collapse, early).contains("flush_tlb_mm_range before it has unlinked anything"));
    assert!(reason(Test::Collapse, vec![read(), Event::Done(22)]).contains("came back with 22"));
    assert!(reason(Test::Collapse, vec![Event::Escaped]).contains("not stopped inside GUP-fast"));
    assert!(reason(Test::Collapse, begin()).contains("came to no end"));
    let busy = [begin(), vec![Event::Looked(Look::Busy); STOPS - 1]].concat();
    assert!(!play(Test::Collapse, busy.clone()).0.contains(&Then::Release));
    let busy = [busy, vec![Event::Looked(Look::Busy), Event::Done(0)]].concat();
    assert!(reason(Test::Collapse, busy).contains("at 100 stops the operation neither came back"));
    // It has not come back: that it waited is not shown.
    let no_end = [begin(), vec![spins(Kind::Sync), spins(Kind::Sync)]].concat();
    assert!(reason(Test::Collapse, no_end).contains("came to no end"));
}

#[test]
fn one_stop_is_not_enough_and_going_on_begins_anew() {
    let begin = || vec![read(), Event::Unlinked(site())];
    for between in
        [Event::Looked(Look::Busy), spins(Kind::Flush), Event::Looked(Look::Sleeps(wait(Kind::Sync)))]
    {
        let (then, _) =
            play(Test::Collapse, [begin(), vec![spins(Kind::Sync), between, spins(Kind::Sync)]].concat());
        assert!(!then.contains(&Then::Release), "{then:?}");
    }
}

#[test]
fn a_read_with_interrupts_on_is_no_walker() {
    let (then, _) = play(Test::Collapse, vec![Event::Read { irqs_on: true, walker: String::new() }, read()]);
    assert_eq!(then, [Then::GoOn, Then::Hold]);
}
