//! What has happened, for people.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::panic::Location;
use std::path::{Path, PathBuf};

use super::words::Interrupt;
use crate::report::{Buffer, SOURCES, Step};

/// Something that has happened on a CPU.
pub(super) enum What {
    Loaded(u64),
    Stored(u64),
    Drained(u64),
    Updated(u64, Option<u64>),
    Fenced,
    Sent(Interrupt, usize),
    Took(Interrupt),
    Returned(Interrupt),
    Remarked(String),
}

pub(super) struct Line {
    pub(super) cpu: usize,
    pub(super) what: What,
    pub(super) site: Option<&'static Location<'static>>,
}

impl What {
    /// Whether it is a step, and not a remark on one.
    fn is_step(&self) -> bool {
        !matches!(self, What::Returned(_) | What::Remarked(_))
    }
}

/// A fault, and a shortest way to it.
pub struct Trace {
    /// What is wrong in the end.
    pub fault: String,
    /// That way.
    pub steps: Vec<Step>,
}

impl Trace {
    pub(super) fn new(fault: String, lines: &[Line]) -> Self {
        let mut sources = Sources(HashMap::new());
        let mut steps = 0;
        let step = |line: &Line| {
            steps += usize::from(line.what.is_step());
            let (word, place) = line.site.map_or_else(Default::default, |site| {
                (sources.receiver(site), format!("{}:{}", site.file(), site.line()))
            });
            Step {
                number: line.what.is_step().then_some(steps),
                cpu: line.cpu,
                what: line.what.in_words(&word),
                place,
                buffer: line.what.buffer(&word),
            }
        };
        Trace { fault, steps: lines.iter().map(step).collect() }
    }

    /// The number of the last step.
    #[must_use]
    pub fn length(&self) -> usize {
        self.steps.iter().rev().find_map(|step| step.number).unwrap_or_default()
    }

    /// All steps, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Step { number, cpu, what, place, .. } in &self.steps {
            let number = number.map_or(String::new(), |number| format!("{number}."));
            let row = format!("{number:>4}  CPU {cpu}  {what:<74}  {place}");
            writeln!(text, "{}", row.trim_end()).expect("a string takes all");
        }
        text
    }
}

impl What {
    /// What it does to the store buffer of its CPU.
    fn buffer(&self, word: &str) -> Option<Buffer> {
        match self {
            What::Stored(value) => Some(Buffer::Takes(format!("{word} = {}", Value(*value)))),
            What::Drained(_) => Some(Buffer::Drains),
            _ => None,
        }
    }

    fn in_words(&self, word: &str) -> String {
        let name = |interrupt: &Interrupt| match interrupt {
            Interrupt::Maskable => "an interrupt",
            Interrupt::Nmi => "an NMI",
        };
        match self {
            What::Loaded(value) => format!("reads {word}: {}", Value(*value)),
            What::Stored(value) => format!("writes {word} = {}, into its store buffer", Value(*value)),
            What::Drained(value) => format!("its write of {word} = {} reaches memory", Value(*value)),
            What::Updated(old, Some(new)) => format!("changes {word} from {} to {}", Value(*old), Value(*new)),
            What::Updated(old, None) => format!("finds {word}: {}, and leaves it", Value(*old)),
            What::Fenced => "a full fence".to_owned(),
            What::Sent(interrupt, to) => format!("sends {} to CPU {to}", name(interrupt)),
            What::Took(interrupt) => format!("takes {}", name(interrupt)),
            What::Returned(interrupt) => format!("  (returns from {})", name(interrupt)),
            What::Remarked(remark) => format!("  ({remark})"),
        }
    }
}

struct Value(u64);

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            small @ 0..1000 => write!(f, "{small}"),
            u64::MAX => f.write_str("~0"),
            large => write!(f, "{large:#x}"),
        }
    }
}

/// The files that the code was built from.
struct Sources(HashMap<&'static str, String>);

impl Sources {
    /// What a method is called on, as the code has it.
    fn receiver(&mut self, site: &'static Location<'static>) -> String {
        // Trees of one target folder share what is built, this crate too: where it lay then says nothing.
        let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = std::env::var_os(SOURCES).map_or_else(own, PathBuf::from);
        let text = self
            .0
            .entry(site.file())
            .or_insert_with(|| fs::read_to_string(root.join(site.file())).unwrap_or_default());
        let lines: Vec<_> = text.lines().take(site.line() as usize).collect();
        let Some((last, earlier)) = lines.split_last() else { return String::new() };
        let mut before = last.get(..site.column() as usize - 1).unwrap_or_default().trim_start().to_owned();
        // A chain of calls, a line each.
        for line in earlier.iter().rev() {
            if !before.is_empty() && !before.starts_with('.') {
                break;
            }
            before.insert_str(0, line.trim());
        }
        let mut depth = 0;
        let start = before.rfind(|c: char| {
            depth += i32::from(")]".contains(c)) - i32::from("([".contains(c));
            depth < 0 || depth == 0 && !(c.is_alphanumeric() || "_.)]([".contains(c))
        });
        let receiver = before[start.map_or(0, |at| at + 1)..].trim_end_matches('.');
        receiver.strip_prefix("self.").unwrap_or(receiver).to_owned()
    }
}
