//! One execution: words, store buffers, interrupts, and what can be decided.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;

use super::trace::{Line, What};
use super::words::{Interrupt, Level, Users};

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
    /// Interrupts are about to go off.
    InterruptsOff,
    /// Interrupts have just come on.
    InterruptsOn,
    /// Another look at what it waits for.
    Look,
    /// Nothing more: it takes interrupts.
    Idle,
}

/// A hash that states are known by.
pub(super) type Hash = u128;

pub(super) const MIX: u128 = 0x2d35_8dcc_aa6c_78a5_8bb8_4b93_962e_acc9;

pub(super) fn mix(hash: Hash, value: u64) -> Hash {
    (hash.rotate_left(59) ^ u128::from(value)).wrapping_mul(MIX) ^ hash >> 71
}

/// What a word contributes to the hash of the memory: the sum of all.
fn of_word(word: usize, value: u64) -> Hash {
    mix(mix(mix(MIX, word as u64), value), !value)
}

pub(super) struct Store {
    pub(super) word: usize,
    pub(super) value: u64,
    pub(super) site: &'static Location<'static>,
}

pub(super) struct Context {
    pub(super) level: Level,
    /// What it has read.
    pub(super) history: Hash,
    /// What it had stopped before when a handler came on top of it: two stops in a row, with nothing read in between,
    /// are told apart by that alone.
    pub(super) interrupted: Option<Want>,
}

#[derive(Default)]
pub(super) struct CpuState {
    pub(super) buffer: VecDeque<Store>,
    /// The main flow, and the handlers on top of it.
    pub(super) contexts: Vec<Context>,
    pub(super) interrupts_off: u32,
    pub(super) pending: [bool; 2],
    pub(super) want: Option<Want>,
    /// The word that it wants to use, if it is about one.
    pub(super) word: Option<usize>,
    pub(super) decided: Option<Action>,
    /// How often it has stopped.
    pub(super) stops: u64,
    /// Whether it has just passed a point where an interrupt could have been taken.
    pub(super) rested: bool,
}

impl CpuState {
    pub(super) fn is_idle(&self) -> bool {
        self.want == Some(Want::Idle) && self.contexts.len() == 1
    }

    pub(super) fn level(&self) -> Level {
        match self.contexts.last().map(|context| context.level) {
            Some(Level::InterruptsOn) if self.interrupts_off > 0 => Level::InterruptsOff,
            Some(level) => level,
            None => Level::InterruptsOn,
        }
    }

    fn is_possible(&self, action: Action, is_watched: bool) -> bool {
        match action {
            Action::Step => self.want != Some(Want::Idle),
            Action::Drain => !self.buffer.is_empty() && is_watched,
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
    pub(super) words: Vec<u64>,
    pub(super) figures: Vec<u64>,
    pub(super) users: Vec<Users>,
    sum: Hash,
    pub(super) cpus: Vec<CpuState>,
    /// Which CPU each of them is, as the library numbers them: tasks may have changed places.
    pub(super) places: Vec<usize>,
    /// Whose code runs; none while the world is made.
    pub(super) running: Option<usize>,
    pub(super) handler: Option<Handler>,
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
        places: Vec::new(),
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
            contexts: vec![Context { level: Level::InterruptsOn, history: MIX, interrupted: None }],
            ..CpuState::default()
        });
        self.places = (0..cpus).collect();
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
            let is_watched = state.buffer.iter().any(|store| self.is_watched(cpu, store.word));
            for (index, action) in ACTIONS.into_iter().enumerate() {
                bits |= u64::from(state.is_possible(action, is_watched)) << (cpu * ACTIONS.len() + index);
            }
        }
        bits
    }

    /// Whether it matters to another CPU that a store of `cpu` to `word` reaches memory now: because it is about to use
    /// that word, or has a store to it in its own buffer. If not, whatever comes next could come first: no CPU can
    /// tell.
    fn is_watched(&self, cpu: usize, word: usize) -> bool {
        self.cpus.iter().enumerate().any(|(other, state)| {
            other != cpu && (state.word == Some(word) || state.buffer.iter().any(|store| store.word == word))
        })
    }

    /// The state.
    pub(super) fn state(&self) -> Hash {
        let sum = self.places.iter().fold(self.sum, |hash, place| mix(hash, *place as u64));
        self.cpus.iter().fold(sum, |hash, cpu| {
            let mut hash = mix(hash, cpu.want.map_or(0, |want| want as u64 + 1));
            hash = mix(hash, u64::from(cpu.pending[0]) << 1 | u64::from(cpu.pending[1]));
            hash = mix(hash, (cpu.contexts.len() as u64) << 32 | cpu.buffer.len() as u64);
            for context in &cpu.contexts {
                hash = mix(hash, context.level as u64);
                hash = mix(hash, context.interrupted.map_or(0, |want| want as u64 + 1));
                hash = mix(mix(hash, context.history as u64), (context.history >> 64) as u64);
            }
            for store in &cpu.buffer {
                hash = mix(mix(hash, store.word as u64), store.value);
            }
            hash
        })
    }

    /// The task on the CPU that the library numbers so.
    pub(super) fn task_on(&self, cpu: usize) -> usize {
        self.places.iter().position(|place| *place == cpu).expect("every CPU has a task")
    }

    pub(super) fn run(&mut self, cpu: usize, action: Action) {
        self.cpus[cpu].decided = Some(action);
        self.running = Some(cpu);
    }

    pub(super) fn say(&mut self, cpu: usize, what: What, site: Option<&'static Location<'static>>) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { cpu: self.places[cpu], what, site });
        }
    }

    /// The oldest store of `cpu` reaches memory.
    pub(super) fn drain(&mut self, cpu: usize) {
        if let Some(Store { word, value, site }) = self.cpus[cpu].buffer.pop_front() {
            self.write(word, value);
            self.say(cpu, What::Drained(value), Some(site));
        }
    }

    pub(super) fn drain_all(&mut self, cpu: usize) {
        while !self.cpus[cpu].buffer.is_empty() {
            self.drain(cpu);
        }
    }

    pub(super) fn write(&mut self, word: usize, value: u64) {
        let old = std::mem::replace(&mut self.words[word], value);
        self.sum = self.sum.wrapping_sub(of_word(word, old)).wrapping_add(of_word(word, value));
    }

    pub(super) fn read(&self, cpu: usize, word: usize) -> u64 {
        let buffered = self.cpus[cpu].buffer.iter().rev().find(|store| store.word == word);
        buffered.map_or(self.words[word], |store| store.value)
    }

    pub(super) fn context(&mut self, cpu: usize) -> &mut Context {
        self.cpus[cpu].contexts.last_mut().expect("there is the main flow")
    }

    /// A place that is known by nothing that was read: two of a kind in a row are two states all the same.
    pub(super) fn has_passed(&mut self, cpu: usize, want: Want) {
        let context = self.context(cpu);
        context.history = mix(context.history, want as u64);
    }

    pub(super) fn has_read(&mut self, cpu: usize, word: usize, value: u64) {
        let context = self.context(cpu);
        context.history = mix(mix(context.history, word as u64), value);
    }
}
