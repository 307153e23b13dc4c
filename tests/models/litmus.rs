//! Property: the explorer of x86-TSO finds what x86 allows, and nothing else.
//!
//! The litmus tests of the x86-TSO papers, and one for each thing that a CPU may do of which they know nothing.

use std::rc::Rc;
use std::sync::Arc;

use gupsync_checker::report::UnderWay;
use gupsync_checker::tso::{self, AtomicU64, Interrupt, Ordering::Relaxed, Ordering::SeqCst, Role};

/// What CPUs share, and what they have seen.
struct Shared {
    x: AtomicU64,
    y: AtomicU64,
    seen: [AtomicU64; 2],
}

type Act = fn(&Shared);

/// Explores `acts`, each on its CPU; `handler` is run by interrupts, `wrong` tells what must not come out in the end. Says
/// what was found.
fn run(acts: &'static [Act], handler: fn(&Shared, usize), wrong: fn(&Shared) -> bool) -> Option<String> {
    let report = UnderWay::begin("tso", acts.len(), None);
    let outcome = tso::explore((1_000_000, None), || {
        let zero = || AtomicU64::new(0);
        let shared = Arc::new(Shared { x: zero(), y: zero(), seen: [zero(), zero()] });
        let over = Arc::new(zero());
        let role = |act: &'static Act| {
            let (shared, over) = (shared.clone(), over.clone());
            let role = move || {
                act(&shared);
                if over.fetch_add(1, Relaxed) + 1 == acts.len() as u64 && wrong(&shared) {
                    tso::broken("wrong");
                }
            };
            Arc::new(role) as Role
        };
        let roles = acts.iter().map(role).collect();
        let shared = shared.clone();
        let handler = move |cpu: usize, _: Interrupt| handler(&shared, cpu);
        (roles, Rc::new(handler) as Rc<dyn Fn(usize, Interrupt)>)
    });
    assert!(outcome.exhausted || outcome.fault.is_some());
    report.counter().fetch_add(outcome.states, std::sync::atomic::Ordering::Relaxed);
    report.held();
    outcome.fault.map(|trace| trace.fault)
}

fn nothing(_: &Shared, _: usize) {}

fn both_saw_nothing(shared: &Shared) -> bool {
    shared.seen.iter().all(|seen| seen.load(Relaxed) == 0)
}

fn store_x_look_at_y(shared: &Shared) {
    shared.x.store(1, Relaxed);
    shared.seen[0].swap(shared.y.load(Relaxed), Relaxed);
}

fn store_y_look_at_x(shared: &Shared) {
    shared.y.store(1, Relaxed);
    shared.seen[1].swap(shared.x.load(Relaxed), Relaxed);
}

fn store_x_fence_look_at_y(shared: &Shared) {
    shared.x.store(1, Relaxed);
    tso::fence(SeqCst);
    shared.seen[0].swap(shared.y.load(Relaxed), Relaxed);
}

fn store_y_fence_look_at_x(shared: &Shared) {
    shared.y.store(1, Relaxed);
    tso::fence(SeqCst);
    shared.seen[1].swap(shared.x.load(Relaxed), Relaxed);
}

#[test]
fn stores_are_buffered() {
    let found = run(&[store_x_look_at_y, store_y_look_at_x], nothing, both_saw_nothing);
    assert_eq!(found.as_deref(), Some("wrong"));
}

#[test]
fn one_fence_is_not_enough() {
    let found = run(&[store_x_fence_look_at_y, store_y_look_at_x], nothing, both_saw_nothing);
    assert_eq!(found.as_deref(), Some("wrong"));
}

#[test]
fn a_fence_on_either_side_is() {
    assert_eq!(run(&[store_x_fence_look_at_y, store_y_fence_look_at_x], nothing, both_saw_nothing), None);
}

#[test]
fn a_weaker_fence_is_none() {
    fn store_y_acq_rel_look_at_x(shared: &Shared) {
        shared.y.store(1, Relaxed);
        tso::fence(std::sync::atomic::Ordering::AcqRel);
        shared.seen[1].swap(shared.x.load(Relaxed), Relaxed);
    }
    let found = run(&[store_x_fence_look_at_y, store_y_acq_rel_look_at_x], nothing, both_saw_nothing);
    assert_eq!(found.as_deref(), Some("wrong"));
}

#[test]
fn a_locked_instruction_is_a_fence() {
    fn swap_y_look_at_x(shared: &Shared) {
        shared.y.swap(1, Relaxed);
        shared.seen[1].swap(shared.x.load(Relaxed), Relaxed);
    }
    assert_eq!(run(&[store_x_fence_look_at_y, swap_y_look_at_x], nothing, both_saw_nothing), None);
}

#[test]
fn stores_do_not_pass_stores_nor_loads_loads() {
    fn send(shared: &Shared) {
        shared.x.store(1, Relaxed);
        shared.y.store(1, Relaxed);
    }
    fn receive(shared: &Shared) {
        let flag = shared.y.load(Relaxed);
        shared.seen[0].swap(flag, Relaxed);
        shared.seen[1].swap(shared.x.load(Relaxed), Relaxed);
    }
    let wrong = |shared: &Shared| shared.seen[0].load(Relaxed) == 1 && shared.seen[1].load(Relaxed) == 0;
    assert_eq!(run(&[send, receive], nothing, wrong), None);
    let late = |shared: &Shared| shared.seen[0].load(Relaxed) == 0 && shared.seen[1].load(Relaxed) == 1;
    assert_eq!(run(&[send, receive], nothing, late).as_deref(), Some("wrong"), "in between");
}

#[test]
fn a_cpu_sees_its_own_stores() {
    fn store_and_look(shared: &Shared) {
        shared.x.store(1, Relaxed);
        shared.seen[0].swap(shared.x.load(Relaxed), Relaxed);
    }
    fn look(shared: &Shared) {
        shared.seen[1].swap(shared.x.load(Relaxed), Relaxed);
    }
    let wrong = |shared: &Shared| shared.seen[0].load(Relaxed) == 0;
    assert_eq!(run(&[store_and_look, look], nothing, wrong), None);
}

fn two_halves(shared: &Shared) {
    shared.seen[0].store(shared.x.load(Relaxed), Relaxed);
    shared.seen[1].store(shared.x.load(Relaxed), Relaxed);
}

fn two_halves_with_interrupts_off(shared: &Shared) {
    tso::irqs_off(|| two_halves(shared));
}

fn send(_: &Shared) {
    tso::interrupt(0, Interrupt::Maskable);
}

fn send_nmi(_: &Shared) {
    tso::interrupt(0, Interrupt::Nmi);
}

fn bump(shared: &Shared, _: usize) {
    shared.x.store(shared.x.load(Relaxed) + 1, Relaxed);
}

fn halves_differ(shared: &Shared) -> bool {
    shared.seen[0].load(Relaxed) != shared.seen[1].load(Relaxed)
}

#[test]
fn an_interrupt_comes_between_two_instructions() {
    assert_eq!(run(&[two_halves, send], bump, halves_differ).as_deref(), Some("wrong"));
}

#[test]
fn an_interrupt_waits_until_interrupts_are_on() {
    assert_eq!(run(&[two_halves_with_interrupts_off, send], bump, halves_differ), None);
}

#[test]
fn an_nmi_does_not() {
    let found = run(&[two_halves_with_interrupts_off, send_nmi], bump, halves_differ);
    assert_eq!(found.as_deref(), Some("wrong"));
}

#[test]
fn an_interrupt_comes_between_two_stretches_with_interrupts_off() {
    fn two_stretches(shared: &Shared) {
        tso::irqs_off(|| shared.seen[0].store(shared.x.load(Relaxed), Relaxed));
        tso::irqs_off(|| shared.seen[1].store(shared.x.load(Relaxed), Relaxed));
    }
    assert_eq!(run(&[two_stretches, send], bump, halves_differ).as_deref(), Some("wrong"));
}

/// Nothing is read in them by which one could be told from the other.
#[test]
fn what_comes_after_two_empty_stretches_is_reached() {
    fn two_empty_stretches(shared: &Shared) {
        tso::irqs_off(|| ());
        tso::irqs_off(|| ());
        shared.seen[0].swap(1, Relaxed);
    }
    let found = run(&[two_empty_stretches, send], nothing, |shared| shared.seen[0].load(Relaxed) == 1);
    assert_eq!(found.as_deref(), Some("wrong"));
}

/// A CPU that waits for two may wait for ever.
#[test]
fn an_interrupt_that_is_pending_is_not_sent_twice() {
    fn wait_for_two(shared: &Shared) {
        tso::wait(|| shared.x.load(Relaxed) == 2);
    }
    let found = run(&[wait_for_two, send, send], bump, |_| false);
    assert_eq!(found.as_deref(), Some("nothing can happen any more, and a CPU waits"));
}

/// Each goes on until it is alone: a fair scheduler lets one of them.
#[test]
fn a_cpu_that_may_be_let_wait_comes_to_its_end() {
    fn once(own: &AtomicU64, other: &AtomicU64) {
        own.swap(1, Relaxed);
        tso::wait(|| other.load(Relaxed) != 2);
        own.swap(0, Relaxed);
    }
    let acts: &[Act] = &[|shared| once(&shared.x, &shared.y), |shared| once(&shared.y, &shared.x)];
    assert_eq!(run(acts, nothing, |_| false), None);
}

#[test]
fn what_is_waited_for_comes() {
    fn wait(shared: &Shared) {
        tso::wait(|| shared.x.load(Relaxed) == 1);
    }
    assert_eq!(run(&[wait, send], bump, |_| false), None);
}

/// A CPU asks another, which answers if the asker has been told something before. Told before it asks, it is answered; told
/// in its wait, it may have been passed over, and waits for ever. The two places differ in nothing that was read.
#[test]
fn a_cpu_interrupted_in_its_wait_is_not_one_interrupted_before_it_sends() {
    fn ask_and_wait(shared: &Shared) {
        tso::interrupt(1, Interrupt::Maskable);
        tso::wait(|| shared.x.load(Relaxed) == 1);
    }
    fn tell(_: &Shared) {
        tso::interrupt(0, Interrupt::Maskable);
    }
    fn answer_if_told(shared: &Shared, cpu: usize) {
        if cpu == 0 {
            shared.y.swap(1, Relaxed);
        } else if shared.y.load(Relaxed) == 1 {
            shared.x.store(1, Relaxed);
        }
    }
    let fault = run(&[ask_and_wait, tell], answer_if_told, |_| false).expect("an asker is left waiting");
    assert!(fault.contains("nothing can happen any more"), "{fault}");
}

#[test]
fn a_panic_is_a_fault() {
    let found = run(&[|_| panic!("as asked")], nothing, |_| false);
    assert_eq!(found.as_deref(), Some("CPU 0 panics: as asked"));
}
