//! One execution: words, store buffers, interrupts, and CPUs that stop where somebody has to decide.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;

use super::trace::{Line, What};

/// An interrupt's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Taken where interrupts are on.
    Maskable,
    /// Taken anywhere but inside its like.
    Nmi,
}

/// What can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The CPU does what it stopped before.
    Step,
    /// Its oldest store reaches memory.
    Drain,
    /// It takes an interrupt first.
    Take(Interrupt),
    /// It has come to its end, and leaves.
    Stop,
}

/// What a CPU has stopped before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Load,
    Store,
    Update,
    Fence,
    Send,
    /// Interrupts have just come on.
    InterruptsOn,
    /// Another look at what it waits for.
    Look,
    /// Nothing more: it takes interrupts.
    Idle,
}

/// An operation on a word. An update that returns nothing changes nothing.
pub(super) enum Access<'a> {
    Load,
    Store(u64),
    Update(&'a mut dyn FnMut(u64) -> Option<u64>),
}

/// Where code of a CPU runs, from the bottom up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    InterruptsOn,
    InterruptsOff,
    Handler,
    NmiHandler,
}

/// A word, and who has used it in any execution so far: bits by CPU and level.
#[derive(Clone, Copy, Default)]
pub(super) struct Users {
    readers: u64,
    writers: u64,
    /// Whether CPUs stop before they use it.
    shared: bool,
    /// Whether they stop before a store too: a handler of the same CPU may see whether it has been made.
    interruptible: bool,
}

const LEVELS: u32 = 4;

/// The most CPUs.
pub(super) const MAX_CPUS: usize = 64 / LEVELS as usize;

impl Users {
    fn bit(cpu: usize, level: Level) -> u64 {
        1 << (cpu as u32 * LEVELS + level as u32)
    }

    /// Adds one; says whether the word turns out to be shared by more than was known.
    fn add(&mut self, cpu: usize, level: Level, writes: bool) -> bool {
        let bit = Users::bit(cpu, level);
        if writes {
            self.writers |= bit
        } else {
            self.readers |= bit
        }
        let known = (self.shared, self.interruptible);
        let all = self.readers | self.writers;
        let cpus = |bits: u64| (0..MAX_CPUS).filter(move |cpu| bits >> (*cpu as u32 * LEVELS) & 0xf != 0);
        if cpus(self.writers).any(|writer| cpus(all).any(|other| other != writer)) {
            self.shared = true;
        }
        for cpu in cpus(self.writers) {
            let used = |level| all & Users::bit(cpu, level) != 0;
            let below_handler = used(Level::InterruptsOn);
            let below_nmi = below_handler || used(Level::InterruptsOff) || used(Level::Handler);
            if used(Level::Handler) && below_handler || used(Level::NmiHandler) && below_nmi {
                self.shared = true;
                self.interruptible = true;
            }
        }
        known != (self.shared, self.interruptible)
    }
}

/// A hash that states are known by.
pub(super) type Hash = u128;

const MIX: u128 = 0x2d35_8dcc_aa6c_78a5_8bb8_4b93_962e_acc9;

pub(super) fn mix(hash: Hash, value: u64) -> Hash {
    (hash.rotate_left(59) ^ u128::from(value)).wrapping_mul(MIX) ^ hash >> 71
}

/// What a word contributes to the hash of the memory: the sum of all.
fn of_word(word: usize, value: u64) -> Hash {
    mix(mix(mix(MIX, word as u64), value), !value)
}

struct Store {
    word: usize,
    value: u64,
    site: &'static Location<'static>,
}

struct Context {
    level: Level,
    /// What it has read.
    history: Hash,
}

#[derive(Default)]
pub(super) struct CpuState {
    buffer: VecDeque<Store>,
    /// The main flow, and the handlers on top of it.
    contexts: Vec<Context>,
    interrupts_off: u32,
    pending: [bool; 2],
    pub(super) want: Option<Want>,
    pub(super) decided: Option<Action>,
    /// How often it has stopped.
    stops: u64,
}

impl CpuState {
    pub(super) fn is_idle(&self) -> bool {
        self.want == Some(Want::Idle) && self.contexts.len() == 1
    }

    fn level(&self) -> Level {
        match self.contexts.last().map(|context| context.level) {
            Some(Level::InterruptsOn) if self.interrupts_off > 0 => Level::InterruptsOff,
            Some(level) => level,
            None => Level::InterruptsOn,
        }
    }

    fn is_possible(&self, action: Action) -> bool {
        match action {
            Action::Step => self.want != Some(Want::Idle),
            Action::Drain => !self.buffer.is_empty(),
            Action::Take(Interrupt::Maskable) => self.pending[0] && self.level() == Level::InterruptsOn,
            Action::Take(Interrupt::Nmi) => self.pending[1] && self.level() != Level::NmiHandler,
            Action::Stop => false,
        }
    }
}

/// What can be decided of a CPU.
pub(super) const ACTIONS: [Action; 4] =
    [Action::Step, Action::Drain, Action::Take(Interrupt::Maskable), Action::Take(Interrupt::Nmi)];

/// What runs when an interrupt is taken.
pub(super) type Handler = Rc<dyn Fn(usize, Interrupt)>;

/// Everything that an execution changes, and what is known of the words.
pub(super) struct Execution {
    words: Vec<u64>,
    figures: Vec<u64>,
    users: Vec<Users>,
    sum: Hash,
    pub(super) cpus: Vec<CpuState>,
    /// Whose code runs; none while the world is made.
    running: Option<usize>,
    handler: Option<Handler>,
    /// A word was found to be shared.
    pub(super) learnt: bool,
    pub(super) broken: Option<String>,
    /// What has happened, if that is asked for.
    pub(super) lines: Option<Vec<Line>>,
}

thread_local! {
    static EXECUTION: RefCell<Option<Execution>> = const { RefCell::new(None) };
}

pub(super) fn with<R>(body: impl FnOnce(&mut Execution) -> R) -> R {
    EXECUTION.with_borrow_mut(|execution| body(execution.as_mut().expect("an exploration is under way")))
}

/// Begins: words may be made.
pub(super) fn open() {
    let execution = Execution {
        words: Vec::new(),
        figures: Vec::new(),
        users: Vec::new(),
        sum: 0,
        cpus: Vec::new(),
        running: None,
        handler: None,
        learnt: false,
        broken: None,
        lines: None,
    };
    EXECUTION.set(Some(execution));
}

/// What every execution begins with.
pub(super) struct Beginning {
    words: Vec<u64>,
    figures: Vec<u64>,
    sum: Hash,
}

impl Execution {
    /// What is there now is what every execution begins with.
    pub(super) fn beginning(&self) -> Beginning {
        let sum =
            (0..).zip(&self.words).fold(0, |sum: Hash, (word, value)| sum.wrapping_add(of_word(word, *value)));
        Beginning { words: self.words.clone(), figures: self.figures.clone(), sum }
    }

    /// Begins anew.
    pub(super) fn reset(&mut self, beginning: &Beginning, cpus: usize, handler: Handler) {
        self.words.clone_from(&beginning.words);
        self.figures.clone_from(&beginning.figures);
        self.sum = beginning.sum;
        self.handler = Some(handler);
        self.cpus.clear();
        self.cpus.resize_with(cpus, || CpuState {
            contexts: vec![Context { level: Level::InterruptsOn, history: MIX }],
            ..CpuState::default()
        });
    }

    pub(super) fn close(&mut self) {
        self.running = None;
        self.cpus.clear();
        self.handler = None;
    }

    /// What can be decided: a bit each.
    pub(super) fn possible(&self) -> u64 {
        let mut bits = 0;
        for (cpu, state) in self.cpus.iter().enumerate() {
            for (index, action) in ACTIONS.into_iter().enumerate() {
                bits |= u64::from(state.is_possible(action)) << (cpu * ACTIONS.len() + index);
            }
        }
        bits
    }

    /// The state.
    pub(super) fn state(&self) -> Hash {
        self.cpus.iter().fold(self.sum, |hash, cpu| {
            let mut hash = mix(hash, cpu.want.map_or(0, |want| want as u64 + 1));
            hash = mix(hash, u64::from(cpu.pending[0]) << 1 | u64::from(cpu.pending[1]));
            hash = mix(hash, (cpu.contexts.len() as u64) << 32 | cpu.buffer.len() as u64);
            for context in &cpu.contexts {
                hash = mix(hash, context.level as u64);
                hash = mix(mix(hash, context.history as u64), (context.history >> 64) as u64);
            }
            for store in &cpu.buffer {
                hash = mix(mix(hash, store.word as u64), store.value);
            }
            hash
        })
    }

    pub(super) fn run(&mut self, cpu: usize, action: Action) {
        self.cpus[cpu].decided = Some(action);
        self.running = Some(cpu);
    }

    fn say(&mut self, cpu: usize, what: What, site: Option<&'static Location<'static>>) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { cpu, what, site });
        }
    }

    /// The oldest store of `cpu` reaches memory.
    pub(super) fn drain(&mut self, cpu: usize) {
        if let Some(Store { word, value, site }) = self.cpus[cpu].buffer.pop_front() {
            self.write(word, value);
            self.say(cpu, What::Drained(value), Some(site));
        }
    }

    fn drain_all(&mut self, cpu: usize) {
        while !self.cpus[cpu].buffer.is_empty() {
            self.drain(cpu);
        }
    }

    fn write(&mut self, word: usize, value: u64) {
        let old = std::mem::replace(&mut self.words[word], value);
        self.sum = self.sum.wrapping_sub(of_word(word, old)).wrapping_add(of_word(word, value));
    }

    fn read(&self, cpu: usize, word: usize) -> u64 {
        let buffered = self.cpus[cpu].buffer.iter().rev().find(|store| store.word == word);
        buffered.map_or(self.words[word], |store| store.value)
    }

    fn context(&mut self, cpu: usize) -> &mut Context {
        self.cpus[cpu].contexts.last_mut().expect("there is the main flow")
    }

    fn has_read(&mut self, cpu: usize, word: usize, value: u64) {
        let context = self.context(cpu);
        context.history = mix(mix(context.history, word as u64), value);
    }
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
        shared && (want != Want::Store || interruptible)
    });
    if stops {
        stop(cpu, want);
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
    if with(|e| e.cpus[cpu].buffer.is_empty()) && want == Want::Fence {
        return;
    }
    stop(cpu, want);
    with(|e| {
        e.drain_all(cpu);
        if want == Want::Fence {
            e.say(cpu, What::Fenced, Some(site));
        }
    });
}

/// Stops before `want`, and takes whatever interrupts are decided on.
fn stop(cpu: usize, want: Want) {
    loop {
        with(|e| {
            let state = &mut e.cpus[cpu];
            state.want = Some(want);
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
    stop(cpu, Want::Idle);
}

#[expect(deprecated, reason = "a scope cannot be handed to code that knows nothing of this crate")]
pub(super) fn switch_away() {
    generator::yield_with(());
}

fn take(cpu: usize, interrupt: Interrupt) {
    let handler = with(|e| {
        let level = match interrupt {
            Interrupt::Maskable => Level::Handler,
            Interrupt::Nmi => Level::NmiHandler,
        };
        e.cpus[cpu].pending[interrupt as usize] = false;
        e.cpus[cpu].contexts.push(Context { level, history: MIX });
        e.say(cpu, What::Took(interrupt), None);
        e.handler.clone().expect("every execution has one")
    });
    handler(cpu, interrupt);
    with(|e| {
        e.cpus[cpu].contexts.pop();
        e.say(cpu, What::Returned(interrupt), None);
    });
}

/// Runs `body` with maskable interrupts off. Nests.
pub fn irqs_off<R>(body: impl FnOnce() -> R) -> R {
    let Some(cpu) = running() else { return body() };
    with(|e| e.cpus[cpu].interrupts_off += 1);
    let result = body();
    let on = with(|e| {
        e.cpus[cpu].interrupts_off -= 1;
        e.cpus[cpu].level() == Level::InterruptsOn
    });
    if on {
        stop(cpu, Want::InterruptsOn);
    }
    result
}

/// Sends an interrupt to a CPU. Several that have not been taken are one.
#[track_caller]
pub fn interrupt(to: usize, interrupt: Interrupt) {
    point(Want::Send, Location::caller());
    with(|e| {
        let from = e.running.expect("a CPU sends it");
        e.cpus[to].pending[interrupt as usize] = true;
        e.say(from, What::Sent(interrupt, to), None);
    });
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
            stop(cpu, Want::Look);
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
