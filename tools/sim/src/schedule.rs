//! The scheduler: which CPU goes on, where it is interrupted, and when.
//!
//! What runs on a CPU by itself is a *flow*, on a stack of its own. It runs until it pauses: where it waits, sleeps, moves to
//! another CPU, or is interrupted. On a CPU a flow may stand on others: a task that has come from elsewhere on the CPU's own
//! flow, which sleeps; the handler of an NMI on anything.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use gupsync::event::Event;
use gupsync::machine::Machine;
use gupsync::types::{CpuId, MmId};
use gupsync_bench::cast::{Cast, Role};
use gupsync_bench::record::What;
use gupsync_bench::{Row, Run, Spec};

use crate::core::Vector;
use crate::events::Interrupt;
use crate::fiber::Fiber;
use crate::machine::Sim;
use crate::pause::Pause;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is due.
    Due,
    Parked,
    /// It is on its way to its CPU, or something stands on it.
    Held,
    Ended,
}

struct Flow<'r> {
    /// Its stack goes when it is over: NMIs have one each.
    fiber: Option<Fiber<'r>>,
    cpu: CpuId,
    state: State,
    is_nmi: bool,
}

struct Scheduler<'r> {
    run: &'r Run<Sim>,
    flows: Vec<Flow<'r>>,
    /// The places of those that are over.
    over: Vec<usize>,
    /// By CPU: the flows on it, the one that runs last.
    on: Vec<Vec<usize>>,
    /// By CPU: the tasks that are to go on there.
    coming: Vec<VecDeque<usize>>,
    /// When a flow is due: the time, a number that tells two of the same time apart, and the flow.
    due: BinaryHeap<Reverse<(u64, u64, usize)>>,
    number: u64,
}

/// Plays the roles of all CPUs until each is over, and gives the rows.
///
/// # Errors
///
/// Why there are none: what a flow or handler has panicked with, or who waits for what does not come.
pub(crate) fn play(
    run: &Run<Sim>,
    spec: &Spec,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Vec<Row>, String> {
    let machine = &run.world.machine;
    let rows = Mutex::new(Vec::new());
    let lead = || {
        let led = run.lead(progress);
        *rows.lock().expect("it was not poisoned") = led;
    };
    let cast = Cast::new(spec, machine.cpus());
    let played = {
        let mut scheduler = Scheduler {
            run,
            flows: Vec::new(),
            over: Vec::new(),
            on: vec![Vec::new(); machine.cpus()],
            coming: vec![VecDeque::new(); machine.cpus()],
            due: BinaryHeap::new(),
            number: 0,
        };
        scheduler.add(CpuId(0), Fiber::new(lead), false);
        for cpu in (1..machine.cpus()).map(CpuId).filter(|cpu| cast.role(*cpu) != Role::Bystander) {
            scheduler.add(cpu, Fiber::new(move || run.follow(cpu)), false);
        }
        catch_unwind(AssertUnwindSafe(|| scheduler.run_all())).unwrap_or_else(|panic| Err(said(&*panic)))
    };
    played.map(|()| rows.into_inner().expect("it was not poisoned"))
}

/// What a panic has said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the simulated machine panicked: {}", text.unwrap_or("it did not say why"))
}

impl<'r> Scheduler<'r> {
    fn machine(&self) -> &'r Sim {
        &self.run.world.machine
    }

    /// A flow begins on `cpu`, on what is there.
    fn add(&mut self, cpu: CpuId, fiber: Fiber<'r>, is_nmi: bool) {
        let new = Flow { fiber: Some(fiber), cpu, state: State::Held, is_nmi };
        let flow = match self.over.pop() {
            Some(place) => {
                self.flows[place] = new;
                place
            }
            None => {
                self.flows.push(new);
                self.flows.len() - 1
            }
        };
        self.on[cpu.0].push(flow);
        self.make_due(flow, 0);
    }

    /// It goes on after so long.
    fn make_due(&mut self, flow: usize, after: u64) {
        let time = self.machine().core(self.flows[flow].cpu).now.get() + after;
        self.flows[flow].state = State::Due;
        self.number += 1;
        self.due.push(Reverse((time, self.number, flow)));
    }

    fn run_all(&mut self) -> Result<(), String> {
        let events = &self.machine().events;
        loop {
            let due = self.due.peek().map(|Reverse((time, ..))| *time);
            match (events.first(), due) {
                (Some(coming), due) if due.is_none_or(|due| coming <= due) => self.arrive(events.pop()),
                (_, Some(_)) => {
                    let Reverse((time, _, flow)) = self.due.pop().expect("it was looked at");
                    self.go_on(time, flow);
                }
                (_, None) => break,
            }
        }
        let stands = |flow: &&Flow<'_>| flow.state != State::Ended;
        match self.flows.iter().find(stands) {
            None => Ok(()),
            Some(flow) => {
                Err(format!("the simulated machine stands still: {} waits for an interrupt", flow.cpu))
            }
        }
    }

    /// An interrupt has come to a CPU, which takes it unless its interrupts are off.
    fn arrive(&mut self, Interrupt { time, to, vector }: Interrupt) {
        let core = self.machine().core(to);
        core.coming.set(core.coming.get() & !vector.bit());
        core.pending.set(core.pending.get() | vector.bit());
        core.now.set(core.now.get().max(time));
        if core.masks.get() == 0 {
            self.take(to);
        }
    }

    /// A CPU takes what has come.
    fn take(&mut self, cpu: CpuId) {
        let machine = self.machine();
        let core = machine.core(cpu);
        let pending = core.pending.replace(0);
        let before = machine.current.replace(cpu.0 as u64);
        for vector in Vector::ALL.into_iter().filter(|vector| pending & vector.bit() != 0) {
            let began = core.now.get();
            core.pass(machine.costs.handle);
            if let Some(cause) = vector.cause() {
                machine.recorder.add(began, cpu, What::Began(cause));
                core.masks.add(1);
                self.run.world.interrupt(cpu);
                core.masks.set(core.masks.get() - 1);
                core.was_away(began);
                machine.recorder.add(core.now.get(), cpu, What::Ended(cause));
            } else {
                machine.note(cpu, MmId::KERNEL, Event::KickTaken, 1);
            }
        }
        machine.current.set(before);
        self.wake(cpu);
    }

    /// What sleeps on a CPU looks again; but a task that is to go on there goes first.
    fn wake(&mut self, cpu: CpuId) {
        let top = self.on[cpu.0].last().copied();
        if top.is_some_and(|top| self.flows[top].state != State::Parked) {
            return;
        }
        if let Some(task) = self.coming[cpu.0].pop_front() {
            top.into_iter().for_each(|top| self.flows[top].state = State::Held);
            self.on[cpu.0].push(task);
            self.make_due(task, 0);
        } else if let Some(top) = top {
            self.make_due(top, 0);
        }
    }

    /// The flow that stood on others on a CPU is gone: the next one goes on.
    fn leave(&mut self, cpu: CpuId) {
        self.on[cpu.0].pop();
        match self.on[cpu.0].last() {
            Some(below) => self.make_due(*below, 0),
            None => self.wake(cpu),
        }
    }

    /// Runs a flow until it pauses.
    fn go_on(&mut self, time: u64, flow: usize) {
        let machine = self.machine();
        let cpu = self.flows[flow].cpu;
        let core = machine.core(cpu);
        core.now.set(core.now.get().max(time));
        loop {
            machine.current.set(cpu.0 as u64);
            let fiber = self.flows[flow].fiber.as_mut().expect("a flow that is over is not due");
            match fiber.resume() {
                Pause::Interrupts => self.take(cpu),
                Pause::Look(after) => return self.make_due(flow, after),
                Pause::Park => {
                    self.flows[flow].state = State::Parked;
                    if !self.coming[cpu.0].is_empty() {
                        self.wake(cpu);
                    }
                    return;
                }
                Pause::Move(to) => {
                    self.flows[flow].state = State::Held;
                    self.flows[flow].cpu = to;
                    self.coming[to.0].push_back(flow);
                    machine.post(cpu, to, Vector::Kick);
                    return self.leave(cpu);
                }
                Pause::Nmi => {
                    machine.note(cpu, MmId::KERNEL, Event::NmiTaken, 1);
                    core.masks.add(1);
                    self.flows[flow].state = State::Held;
                    let run = self.run;
                    return self.add(cpu, Fiber::new(move || run.on_nmi(cpu)), true);
                }
                Pause::Ended => {
                    self.flows[flow].state = State::Ended;
                    self.flows[flow].fiber = None;
                    self.over.push(flow);
                    if self.flows[flow].is_nmi {
                        core.masks.set(core.masks.get() - 1);
                    }
                    return self.leave(cpu);
                }
            }
        }
    }
}
