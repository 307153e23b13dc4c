//! What a boot has said so far, line by line: which rows have come, and what they are worth.
//!
//! # Guarantee
//!
//! A line costs at most the row that it is about: one that cannot be read, or answers another question, is a row of status
//! `died` that says so, and the rows around it stay.

use std::ops::ControlFlow;

use gupsync_bench::Row;
use gupsync_bench::report::{self, ExitCode};
use gupsync_bench::row::Status;

use super::console::{self, Console};
use super::outcome::{Outcome, Word, status};
use super::question::Question;
use crate::qemu::End;

/// So much of an unreadable row is shown.
const SHOWN: usize = 60;

/// What was heard.
pub struct Heard<'s> {
    questions: Vec<Question<'s>>,
    /// The question whose rows are coming, and how many of them have.
    current: usize,
    came: usize,
    begun: usize,
    rows: Vec<Row>,
    loader: Option<String>,
    fatal: Option<String>,
    refusal: Option<String>,
    console: Console,
}

impl<'s> Heard<'s> {
    /// Nothing yet.
    pub fn new(questions: Vec<Question<'s>>) -> Self {
        let console = Console::default();
        let (rows, loader, fatal, refusal) = (Vec::new(), None, None, None);
        Heard { questions, current: 0, came: 0, begun: 0, rows, loader, fatal, refusal, console }
    }

    /// Hears a line. Breaks off after a bootloader's refusal.
    pub fn line(&mut self, line: &str, listen: &mut impl FnMut(Word<'_>)) -> ControlFlow<()> {
        listen(Word::Line(line));
        if line.starts_with(report::BEGIN) {
            self.begin(listen);
        } else if let Some(done) = line.strip_prefix(report::PROGRESS) {
            listen(Word::Progress(done.parse().unwrap_or(0)));
        } else if let Some(json) = line.strip_prefix(report::ROW) {
            self.row(json);
            listen(Word::Row(self.rows.last().expect("just pushed")));
        } else if let Some(loader) = line.strip_prefix(report::LOADER) {
            self.loader = Some(console::plain(loader));
        } else if let Some(reason) = line.strip_prefix(report::FATAL) {
            self.fatal = Some(reason.to_owned());
        } else {
            self.console.add(line);
            if self.loader.is_none() && self.refusal.is_none() {
                self.refusal = console::refusal(line);
            }
            if self.refusal.is_some() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn begin(&mut self, listen: &mut impl FnMut(Word<'_>)) {
        if let Some(question) = self.questions.get(self.begun) {
            listen(Word::Begin(question.spec, question.policy));
        }
        while self.current < self.begun.min(self.questions.len()) {
            self.give_up("no row came, and the next was begun");
        }
        self.begun += 1;
    }

    /// The current question gets no more rows.
    fn give_up(&mut self, reason: &str) {
        let question = &self.questions[self.current];
        if self.came < question.len() {
            self.rows.push(question.failed(question.len() - 1, Status::Died, reason.to_owned()));
        }
        (self.current, self.came) = (self.current + 1, 0);
    }

    fn row(&mut self, json: &str) {
        let Some(question) = self.questions.get(self.current) else {
            return self.unasked(json);
        };
        let (place, row) = match serde_json::from_str::<Row>(json) {
            Ok(row) => {
                let place = question.place_of(&row, self.came);
                (place, answer(question, place, row))
            }
            Err(error) => {
                let shown: String = json.chars().take(SHOWN).collect();
                let reason = format!("a row that cannot be read: {error}: {shown}");
                (self.came, question.failed(self.came, Status::Died, reason))
            }
        };
        // What ends early has a row of all mms only.
        let lost = if row.status == Status::Ok { self.came..place } else { place..place };
        self.rows.extend(lost.map(|lost| question.failed(lost, Status::Died, "no row came".to_owned())));
        self.rows.push(row);
        self.came = place + 1;
        if self.came == question.len() {
            (self.current, self.came) = (self.current + 1, 0);
        }
    }

    /// A row beyond the last question. It is not a row of this comparison, but it is no row to be silent about.
    fn unasked(&mut self, json: &str) {
        let last = self.questions.last().expect("a boot is for at least one policy");
        let shown: String = json.chars().take(SHOWN).collect();
        let reason = format!("a row more than was asked for: {shown}");
        self.rows.push(last.failed(last.len() - 1, Status::Died, reason));
    }

    /// What came of it all, after the machine has ended; `errors` is what QEMU said itself.
    pub fn outcome(self, end: End, errors: &str) -> Outcome {
        let mut reason = match (&self.fatal, &self.refusal, end) {
            (Some(fatal), ..) => fatal.clone(),
            (None, Some(refusal), _) => format!("the bootloader refuses: {refusal}"),
            (None, None, End::Kernel(ExitCode::Done)) => {
                "no row came, and the kernel says it is done".to_owned()
            }
            _ => end.to_string(),
        };
        for (speaker, said) in [("QEMU", console::last_lines(errors)), ("console", self.console.last())] {
            if !said.is_empty() && end != End::Kernel(ExitCode::Refused) {
                reason += &format!("; {speaker}: {said}");
            }
        }
        self.fill(status(end), &reason, end)
    }

    /// The same, of a machine that was not started.
    pub fn outcome_without_end(self, reason: &str) -> Outcome {
        self.fill(Status::Died, reason, End::Cut)
    }

    fn fill(mut self, status: Status, reason: &str, end: End) -> Outcome {
        let finished = self.rows.len();
        let missing = self.questions[self.current.min(self.questions.len())..].iter();
        self.rows
            .extend(missing.map(|question| question.failed(question.len() - 1, status, reason.to_owned())));
        Outcome { rows: self.rows, finished, has_begun: self.begun > 0, loader: self.loader, end }
    }
}

/// `row`, if it answers the question in this place; else a failed one that says what it was.
fn answer(question: &Question<'_>, place: usize, row: Row) -> Row {
    let Err(fault) = question.check(place, &row) else { return row };
    let said = row.detail.map_or(String::new(), |detail| format!(", {detail}"));
    let reason = format!("a row that answers another question: {fault}; it was {}{said}", row.status);
    question.failed(place, Status::Died, reason)
}
