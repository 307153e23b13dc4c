//! The search: every state once, the nearest first.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use generator::{Generator, Gn};

use super::cpu;
use super::execution::{self, ACTIONS, Action, Beginning, Handler, Hash, with};
use super::trace::Trace;
use super::words::{Interrupt, MAX_CPUS};

/// What has come of a search.
pub struct Outcome {
    /// States.
    pub states: u64,
    /// Whether there is none that was not looked at.
    pub exhausted: bool,
    /// A fault that was found.
    pub fault: Option<Trace>,
}

/// What one CPU does.
pub type Role = Arc<dyn Fn() + Send + Sync>;

/// A state, by the way to it.
struct Node {
    before: u32,
    action: u8,
    state: Hash,
    /// What can be decided here: a bit each.
    possible: u64,
}

/// Hashes are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("states are known by numbers");
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = (hash >> 32) as u64;
    }
}

/// How many states are looked at, at most, and for how long.
pub type Bounds = (usize, Option<Duration>);

/// Looks at every execution of the CPUs that `make` gives roles to, within `bounds`. The handler that it gives as well
/// is run on the CPU that takes an interrupt.
pub fn explore(bounds: Bounds, make: impl FnOnce() -> (Vec<Role>, Rc<dyn Fn(usize, Interrupt)>)) -> Outcome {
    execution::open();
    let (roles, handler) = make();
    assert!(roles.len() <= MAX_CPUS, "no more than {MAX_CPUS} CPUs");
    let beginning = with(|e| e.beginning());
    let mut search = Search { cpus: cpus(&roles), roles, handler, beginning };
    let outcome = loop {
        if let Some(outcome) = search.all(bounds) {
            break outcome;
        }
    };
    search.end();
    with(execution::Execution::close);
    outcome
}

struct Search {
    roles: Vec<Role>,
    handler: Handler,
    beginning: Beginning,
    cpus: Vec<Generator<'static, (), ()>>,
}

/// An execution that is no longer explored comes to its end within so many decisions, or is torn down.
const PATIENCE: usize = 1_000;

impl Search {
    /// Every state; nothing if a word turned out to be shared.
    fn all(&mut self, (most, patience): Bounds) -> Option<Outcome> {
        let since = Instant::now();
        let is_over = |nodes: usize| nodes > most || patience.is_some_and(|most| since.elapsed() >= most);
        let mut known: HashSet<Hash, BuildHasherDefault<AsItIs>> = HashSet::default();
        let mut nodes: Vec<Node> = Vec::new();
        let mut way = Vec::new();
        let first = self.look(&way, 0)?;
        known.insert(first.node.state);
        nodes.push(first.node);
        let (mut next, mut fault, mut ended) = (0, first.fault, false);
        while next < nodes.len() && !is_over(nodes.len()) && fault.is_none() {
            way_to(&nodes, next, &mut way);
            let Node { state, possible, .. } = nodes[next];
            let mut moves = possible == 0;
            ended |= moves;
            for action in (0..u64::BITS as u8).filter(|action| possible >> action & 1 != 0) {
                way.push(action);
                let found = self.look(&way, next as u32)?;
                if let Some(found) = found.fault {
                    fault = Some(found);
                    break;
                }
                way.pop();
                moves |= found.node.state != state;
                if known.insert(found.node.state) {
                    nodes.push(found.node);
                }
            }
            if !moves && fault.is_none() {
                fault = Some("nothing can happen any more, and a CPU waits".to_owned());
            }
            next += 1;
        }
        let exhausted = next == nodes.len() && fault.is_none();
        if exhausted && !ended {
            fault = Some("no execution comes to an end".to_owned());
        }
        let fault = fault.map(|fault| self.trace(&way, fault));
        Some(Outcome { states: known.len() as u64, exhausted, fault })
    }

    /// Goes `way` and looks where it leads; nothing if a word turned out to be shared.
    fn look(&mut self, way: &[u8], before: u32) -> Option<Found> {
        self.go(way);
        let (node, learnt, fault) = with(|e| {
            let action = way.last().copied().unwrap_or_default();
            let node = Node { before, action, state: e.state(), possible: e.possible() };
            (node, std::mem::take(&mut e.learnt), e.broken.take())
        });
        self.leave();
        (!learnt).then_some(Found { node, fault })
    }

    fn trace(&mut self, way: &[u8], fault: String) -> Trace {
        with(|e| e.lines = Some(Vec::new()));
        self.go(way);
        let lines = with(|e| e.lines.take()).expect("they were asked for");
        self.leave();
        Trace::new(fault, &lines)
    }

    fn go(&mut self, way: &[u8]) {
        with(|e| e.reset(&self.beginning, self.cpus.len(), self.handler.clone()));
        (0..self.cpus.len()).for_each(|cpu| self.decide(cpu, Action::Step));
        for action in way {
            self.decide(*action as usize / ACTIONS.len(), ACTIONS[*action as usize % ACTIONS.len()]);
        }
    }

    fn decide(&mut self, cpu: usize, action: Action) {
        if action == Action::Drain {
            with(|e| e.drain(cpu));
        } else {
            with(|e| e.run(cpu, action));
            self.cpus[cpu].resume();
        }
    }

    /// Lets the execution come to an end, so that another one can begin.
    fn leave(&mut self) {
        for _ in 0..PATIENCE {
            let possible = with(|e| e.possible());
            if possible == 0 {
                break;
            }
            for cpu in 0..self.cpus.len() {
                let possible = with(|e| e.possible()) >> (cpu * ACTIONS.len());
                // Interrupts first: a CPU may wait for them.
                if let Some(index) = [2, 3, 1, 0].into_iter().find(|index| possible >> index & 1 != 0) {
                    self.decide(cpu, ACTIONS[index]);
                }
            }
        }
        if with(|e| e.cpus.iter().all(execution::CpuState::is_idle)) {
            (0..self.cpus.len()).for_each(|cpu| self.decide(cpu, Action::Stop));
        } else {
            // Some CPUs wait for something that will not come.
            self.cpus = cpus(&self.roles);
        }
        with(|e| {
            e.broken = None;
        });
    }

    /// Ends the coroutines.
    fn end(&mut self) {
        with(|e| e.reset(&self.beginning, self.cpus.len(), self.handler.clone()));
        (0..self.cpus.len()).for_each(|cpu| self.decide(cpu, Action::Stop));
    }
}

struct Found {
    node: Node,
    fault: Option<String>,
}

fn way_to(nodes: &[Node], mut node: usize, way: &mut Vec<u8>) {
    way.clear();
    while node != 0 {
        way.push(nodes[node].action);
        node = nodes[node].before as usize;
    }
    way.reverse();
}

/// Words of stack for a CPU.
const STACK: usize = 0x4000;

/// Coroutines that wait to be told to begin, and when their roles are over do so again.
fn cpus(roles: &[Role]) -> Vec<Generator<'static, (), ()>> {
    let cpus = roles.iter().enumerate().map(|(cpu, role)| {
        let role = role.clone();
        let mut coroutine = Gn::new_opt(STACK, move || {
            loop {
                cpu::switch_away();
                if cpu::is_over(cpu) {
                    return;
                }
                match catch_unwind(AssertUnwindSafe(|| role())) {
                    Ok(()) => {}
                    Err(panic) if panic.is::<generator::Error>() => resume_unwind(panic),
                    Err(panic) => {
                        let text = panic.downcast_ref::<String>().map(String::as_str);
                        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                        cpu::broken(format!("CPU {cpu} panics: {}", text.unwrap_or("?")));
                    }
                }
                cpu::idle(cpu);
            }
        });
        coroutine.resume();
        coroutine
    });
    cpus.collect()
}
