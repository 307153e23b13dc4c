//! One round: a walker is held inside GUP-fast while its page table is unlinked, and what the operation does then is judged.
//!
//! # Guarantee
//!
//! - *Missing*: the operation has come back to user space while the walker, which had read the entry before it was cleared, was
//!   still inside with interrupts off. A fact, which needs no measure of time.
//! - *Waits*: the table was unlinked; at two stops the operation was in the same flush or sync, where it turned in a loop that
//!   nothing but another CPU's answer ends (or slept in one whose function waits for every CPU); then the walker went on, and
//!   only then did the operation come back.
//! - All else is *inconclusive*, with its reason. No limit of time decides.
//!
//! # Mechanism
//!
//! A machine of states: [`Round::on`] takes what was seen and says what is to be done. It knows no debugger.

use std::fmt;

use super::calls::{Kind, Wait};

/// So many stops at which an operation is not seen to wait are enough to give up.
const STOPS: usize = 100;

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// `MADV_COLLAPSE`: a PTE table is unlinked.
    Collapse,
    /// A process leaves a shared PMD table of hugetlbfs; the walker is its own.
    Unshare,
    /// Two processes leave one after the other; the walker is of the first, the last must wait for it.
    Three,
    /// The same, and the process that remains puts another page in the place of one that the walker looks for.
    Leak,
}

/// Levels of page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Entries that map pages of 4 KiB.
    Pte,
    /// Entries of a PMD table.
    Pmd,
    /// Entries of a PUD table.
    Pud,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Pte => "PTE",
            Level::Pmd => "PMD",
            Level::Pud => "PUD",
        })
    }
}

impl Test {
    /// All, with their names.
    pub const ALL: [(&'static str, Test); 4] = [
        ("collapse", Test::Collapse),
        ("unshare", Test::Unshare),
        ("three", Test::Three),
        ("leak", Test::Leak),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, test)| *test == self).map_or("", |(name, _)| name)
    }

    /// The level of the entry that is cleared.
    pub fn unlinked(self) -> Level {
        if self == Test::Collapse { Level::Pmd } else { Level::Pud }
    }

    /// The levels of the entries that walkers are held at, in turn: that of the entry that is cleared, when the walker has the
    /// table's address in hand, and the one in the table. A page can take another's place only while the second is still to be
    /// read.
    pub fn held_at(self) -> &'static [Level] {
        match self {
            Test::Collapse => &[Level::Pte, Level::Pmd],
            Test::Unshare | Test::Three => &[Level::Pmd, Level::Pud],
            Test::Leak => &[Level::Pud],
        }
    }

    /// Whether the first of two processes may leave while the walker is inside.
    fn has_two_operations(self) -> bool {
        matches!(self, Test::Three | Test::Leak)
    }
}

/// Where a table was unlinked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The instruction that cleared the entry.
    pub at: String,
    /// What had called it.
    pub stack: Vec<String>,
}

/// What the mutator does at a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It goes on.
    Busy,
    /// It turns in a loop that another CPU has to end, in this call.
    Spins(Option<Wait>),
    /// It sleeps, in this call.
    Sleeps(Option<Wait>),
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum Event {
    /// The walker's CPU has read the entry.
    Read {
        /// Whether with interrupts on: then this was no walker.
        irqs_on: bool,
        /// Where it stands, in words.
        walker: String,
    },
    /// The mutator's CPU has cleared the entry.
    Unlinked(Site),
    /// The first of two operations is over.
    Left,
    /// The second one begins.
    Next,
    /// The operation is over, with this result.
    Done(u64),
    /// Another page has taken the place.
    Reused,
    /// The walker has come through.
    Escaped,
    /// The machine was stopped, and the mutator looked at.
    Looked(Look),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// All that run go on.
    GoOn,
    /// The walker's CPU stays, the others go on.
    Hold,
    /// The walker's CPU goes on too.
    Release,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The operation waited for the walker.
    Waits(Wait),
    /// It did not.
    Missing(Box<Missing>),
    /// It cannot be told.
    Inconclusive(String),
}

/// A sync that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Where the walker stands, with what in hand.
    pub walker: String,
    /// Where the table was unlinked.
    pub site: Site,
    /// The result of the operation.
    pub result: u64,
    /// What the walker read in the end, if it read what another process has written.
    pub leaked: Option<char>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Armed,
    Held,
    Released,
}

/// A round.
#[derive(Debug)]
pub struct Round {
    test: Test,
    state: State,
    walker: String,
    /// Whether an operation is under way.
    is_under_way: bool,
    unlinked: Option<Site>,
    /// What was seen at the last stop.
    look: Option<Look>,
    /// At how many stops it was looked at.
    stops: usize,
    waited: Option<Wait>,
    verdict: Option<Verdict>,
}

impl Round {
    /// One whose walker is about to walk.
    pub fn new(test: Test) -> Self {
        Round {
            test,
            state: State::Armed,
            walker: String::new(),
            is_under_way: false,
            unlinked: None,
            look: None,
            stops: 0,
            waited: None,
            verdict: None,
        }
    }

    /// Whether the walker is held.
    pub fn is_held(&self) -> bool {
        self.state == State::Held
    }

    /// Whether the walker is held while an operation is under way: then it is worth a look.
    pub fn is_to_be_looked_at(&self) -> bool {
        self.is_held() && self.is_under_way
    }

    /// What came out of it.
    pub fn verdict(self) -> Verdict {
        self.verdict.unwrap_or_else(|| Verdict::Inconclusive("the round came to no end".into()))
    }

    /// Takes what was seen.
    pub fn on(&mut self, event: Event) -> Then {
        match (self.state, event) {
            (State::Armed, Event::Read { irqs_on: false, walker }) => {
                (self.state, self.walker, self.is_under_way) = (State::Held, walker, true);
                return Then::Hold;
            }
            (State::Armed, Event::Escaped) => {
                let reason = "the walker was not stopped inside GUP-fast: it read the entry with interrupts on, or never";
                self.verdict = Some(Verdict::Inconclusive(reason.into()));
            }
            (State::Held, Event::Unlinked(site)) => {
                self.unlinked.get_or_insert(site);
                self.look = None;
            }
            (State::Held, Event::Left) if self.test.has_two_operations() => {
                self.is_under_way = false;
                if self.unlinked.take().is_none() {
                    return self.give_up("the first process has left and unlinked nothing".into());
                }
            }
            (State::Held, Event::Next) => (self.is_under_way, self.look) = (true, None),
            (State::Held, Event::Done(result)) => return self.done(result),
            (State::Held, Event::Reused) => return self.release(),
            (State::Held, Event::Looked(look)) if self.is_under_way => return self.looked(look),
            (State::Released, Event::Done(_)) => {
                if let (None, Some(wait)) = (&self.verdict, self.waited.take()) {
                    self.verdict = Some(Verdict::Waits(wait));
                }
            }
            _ => {}
        }
        Then::GoOn
    }

    fn release(&mut self) -> Then {
        self.state = State::Released;
        Then::Release
    }

    fn give_up(&mut self, reason: String) -> Then {
        self.verdict = Some(Verdict::Inconclusive(reason));
        self.release()
    }

    fn done(&mut self, result: u64) -> Then {
        self.is_under_way = false;
        let Some(site) = self.unlinked.take() else {
            return self.give_up(format!("the operation came back with {result} and had unlinked nothing"));
        };
        let walker = std::mem::take(&mut self.walker);
        self.verdict = Some(Verdict::Missing(Box::new(Missing { walker, site, result, leaked: None })));
        // Another page is still to take the place before a walker can read it.
        if self.test == Test::Leak { Then::GoOn } else { self.release() }
    }

    fn looked(&mut self, look: Look) -> Then {
        let again = self.look.as_ref() == Some(&look);
        self.look = Some(look.clone());
        self.stops += 1;
        let (wait, does) = match look {
            Look::Busy if self.stops < STOPS => return Then::GoOn,
            Look::Busy => {
                return self
                    .give_up(format!("at {STOPS} stops the operation neither came back nor was seen to wait"));
            }
            Look::Spins(wait) => (wait, "spins"),
            Look::Sleeps(wait) => (wait, "sleeps"),
        };
        if !again {
            return Then::GoOn;
        }
        let place = wait.as_ref().map_or("no call that is known".to_owned(), Wait::to_string);
        match wait.filter(|wait| wait.kind != Kind::Other) {
            _ if self.unlinked.is_none() => {
                self.give_up(format!("the operation {does} in {place} before it has unlinked anything"))
            }
            Some(wait) => {
                self.waited = Some(wait);
                self.release()
            }
            None => self.give_up(format!("the operation {does} in {place}, which is neither flush nor sync")),
        }
    }
}

#[cfg(test)]
mod tests;
