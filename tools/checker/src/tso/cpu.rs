//! What the code on a CPU does, and where it stops for a decision.

use std::panic::Location;

use super::execution::{Action, Context, Execution, MIX, Store, Want, with};
use super::trace::What;
use super::words::{Interrupt, Level, Users};

/// An operation on a word. An update that returns nothing changes nothing.
pub(super) enum Access<'a> {
    Load,
    Store(u64),
    Update(&'a mut dyn FnMut(u64) -> Option<u64>),
}

pub(super) fn new_word(value: u64) -> usize {
    with(|e| {
        assert!(
            e.running.is_none(),
            "no word is made while CPUs run: its number would depend on the execution"
        );
        e.words.push(value);
        e.users.push(Users::default());
        e.words.len() - 1
    })
}

pub(super) fn new_figure(value: u64) -> usize {
    with(|e| {
        e.figures.push(value);
        e.figures.len() - 1
    })
}

pub(super) fn figure(index: usize, update: impl FnOnce(u64) -> u64) -> u64 {
    with(|e| {
        let old = e.figures[index];
        e.figures[index] = update(old);
        old
    })
}

/// The CPU whose code runs, unless the world is being made, or a coroutine is being torn down.
fn running() -> Option<usize> {
    if std::thread::panicking() { None } else { with(|e| e.running) }
}

/// Uses a word; stops first if others do.
pub(super) fn access(word: usize, site: &'static Location<'static>, access: Access<'_>) -> u64 {
    let Some(cpu) = running() else { return with(|e| raw(e, word, access)) };
    let want = match access {
        Access::Load => Want::Load,
        Access::Store(_) => Want::Store,
        Access::Update(_) => Want::Update,
    };
    let stops = with(|e| {
        let level = e.cpus[cpu].level();
        e.learnt |= e.users[word].add(cpu, level, want != Want::Load);
        let Users { shared, interruptible, .. } = e.users[word];
        e.cpus[cpu].rested &= !shared;
        shared && (want != Want::Store || interruptible)
    });
    if stops {
        stop(cpu, Some(word), want);
    }
    with(|e| {
        let shared = e.users[word].shared;
        let (value, what) = match access {
            Access::Load => {
                let value = e.read(cpu, word);
                (value, What::Loaded(value))
            }
            Access::Store(value) if shared => {
                e.cpus[cpu].buffer.push_back(Store { word, value, site });
                (value, What::Stored(value))
            }
            Access::Store(value) => {
                e.write(word, value);
                (value, What::Stored(value))
            }
            Access::Update(update) => {
                if shared {
                    e.drain_all(cpu);
                }
                let old = e.words[word];
                let new = update(old);
                new.into_iter().for_each(|new| e.write(word, new));
                (old, What::Updated(old, new))
            }
        };
        e.has_read(cpu, word, value);
        if shared {
            e.say(cpu, what, Some(site));
        }
        value
    })
}

/// Reads a word without stopping.
pub(super) fn peek(word: usize) -> u64 {
    let Some(cpu) = running() else { return with(|e| e.words[word]) };
    with(|e| {
        let level = e.cpus[cpu].level();
        e.learnt |= e.users[word].add(cpu, level, false);
        let value = e.read(cpu, word);
        e.has_read(cpu, word, value);
        value
    })
}

fn raw(e: &mut Execution, word: usize, access: Access<'_>) -> u64 {
    let old = e.words[word];
    let new = match access {
        Access::Load => None,
        Access::Store(value) => Some(value),
        Access::Update(update) => update(old),
    };
    new.into_iter().for_each(|new| e.write(word, new));
    old
}

/// A full fence, or the moment before an interrupt is sent: the store buffer empties.
pub(super) fn point(want: Want, site: &'static Location<'static>) {
    let Some(cpu) = running() else { return };
    with(|e| {
        e.cpus[cpu].rested = false;
        e.has_passed(cpu, want);
    });
    if with(|e| e.cpus[cpu].buffer.is_empty()) && want == Want::Fence {
        return;
    }
    stop(cpu, None, want);
    with(|e| {
        e.drain_all(cpu);
        if want == Want::Fence {
            e.say(cpu, What::Fenced, Some(site));
        }
    });
}

/// Stops before `want`, and takes whatever interrupts are decided on.
fn stop(cpu: usize, word: Option<usize>, want: Want) {
    loop {
        with(|e| {
            let state = &mut e.cpus[cpu];
            state.want = Some(want);
            state.word = word;
            state.stops += 1;
        });
        switch_away();
        match with(|e| e.cpus[cpu].decided.take()) {
            Some(Action::Take(interrupt)) => take(cpu, interrupt),
            _ => return,
        }
    }
}

/// Whether this CPU is told to leave instead of beginning.
pub(super) fn is_over(cpu: usize) -> bool {
    with(|e| e.cpus[cpu].decided.take()) == Some(Action::Stop)
}

/// Ends a role: nothing is left to do but to take interrupts.
pub(super) fn idle(cpu: usize) {
    stop(cpu, None, Want::Idle);
}

#[expect(deprecated, reason = "a scope cannot be handed to code that knows nothing of this crate")]
pub(super) fn switch_away() {
    generator::yield_with(());
}

fn take(cpu: usize, interrupt: Interrupt) {
    let (place, handler) = with(|e| {
        let level = match interrupt {
            Interrupt::Maskable => Level::Handler,
            Interrupt::Nmi => Level::NmiHandler,
        };
        e.cpus[cpu].pending[interrupt as usize] = false;
        let want = e.cpus[cpu].want;
        e.context(cpu).interrupted = want;
        e.cpus[cpu].contexts.push(Context { level, history: MIX, interrupted: None });
        e.say(cpu, What::Took(interrupt), None);
        (e.places[cpu], e.handler.clone().expect("every execution has one"))
    });
    handler(place, interrupt);
    with(|e| {
        e.cpus[cpu].contexts.pop();
        e.context(cpu).interrupted = None;
        e.say(cpu, What::Returned(interrupt), None);
    });
}

/// Runs `body` with maskable interrupts off. Nests.
pub fn irqs_off<R>(body: impl FnOnce() -> R) -> R {
    let Some(cpu) = running() else { return body() };
    with(|e| e.has_passed(cpu, Want::InterruptsOff));
    if with(|e| e.cpus[cpu].level() == Level::InterruptsOn && !e.cpus[cpu].rested) {
        stop(cpu, None, Want::InterruptsOff);
    }
    with(|e| e.cpus[cpu].interrupts_off += 1);
    let result = body();
    let on = with(|e| {
        e.cpus[cpu].interrupts_off -= 1;
        e.cpus[cpu].level() == Level::InterruptsOn
    });
    with(|e| e.has_passed(cpu, Want::InterruptsOn));
    if on {
        stop(cpu, None, Want::InterruptsOn);
        with(|e| e.cpus[cpu].rested = true);
    }
    result
}

/// Sends an interrupt to a CPU. Several that have not been taken are one.
#[track_caller]
pub fn interrupt(to: usize, interrupt: Interrupt) {
    point(Want::Send, Location::caller());
    with(|e| {
        let from = e.running.expect("a CPU sends it");
        let task = e.task_on(to);
        e.cpus[task].pending[interrupt as usize] = true;
        e.say(from, What::Sent(interrupt, to), None);
    });
}

/// Maskable interrupts that were sent to this CPU and not taken are lost, as at an INIT.
pub fn lose_interrupts() {
    let Some(cpu) = running() else { return };
    with(|e| e.cpus[cpu].pending[Interrupt::Maskable as usize] = false);
}

/// The CPU that the task which runs is on.
#[must_use]
pub fn own_cpu() -> usize {
    with(|e| e.places[e.running.expect("a CPU asks")])
}

/// The task whose role began on that CPU; none but the world's maker runs before.
#[must_use]
pub fn own_task() -> usize {
    running().expect("a CPU asks")
}

/// The task that runs and the one on CPU `to` change places, if there is no handler on top of that: a context switch on
/// both CPUs. What was stored there has reached memory, and interrupts that were sent to a CPU are taken there.
pub fn exchange(to: usize) -> bool {
    let task = own_task();
    with(|e| {
        let other = e.task_on(to);
        if e.cpus[other].contexts.len() > 1 {
            return false;
        }
        for task in [task, other] {
            e.drain_all(task);
            e.cpus[task].rested = false;
        }
        e.places.swap(task, other);
        let pending = e.cpus[task].pending;
        e.cpus[task].pending = std::mem::replace(&mut e.cpus[other].pending, pending);
        for task in [task, other] {
            e.say(task, What::Remarked("is where the other task was".to_owned()), None);
        }
        true
    })
}

/// Waits until `until` holds. A look that is in vain must leave nothing behind.
pub fn wait(mut until: impl FnMut() -> bool) {
    let Some(cpu) = running() else { return };
    loop {
        let (before, stops) = with(|e| (e.context(cpu).history, e.cpus[cpu].stops));
        if until() {
            return;
        }
        let looked_at_others = with(|e| {
            e.context(cpu).history = before;
            e.cpus[cpu].stops != stops
        });
        if !looked_at_others {
            stop(cpu, None, Want::Look);
        }
    }
}

/// The execution has shown a fault.
pub fn broken(how: impl Into<String>) {
    with(|e| {
        if e.broken.is_none() {
            e.broken = Some(how.into());
        }
    });
}

/// Whether CPUs run: not while the world is made or dropped.
#[must_use]
pub fn is_exploring() -> bool {
    running().is_some()
}

/// A remark for the trace.
pub fn note(what: impl FnOnce() -> String) {
    let Some(cpu) = running() else { return };
    with(|e| {
        if e.lines.is_some() {
            e.say(cpu, What::Remarked(what()), None);
        }
    });
}
