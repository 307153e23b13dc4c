//! What a boot has said so far, line by line: which rows have come, and what they are worth.
//!
//! # Guarantee
//!
//! A line costs at most the row that it is about: one that cannot be read, or answers another question, is a row of status
//! `died` that says so, and the rows around it stay.
//!
//! What a detector has found is heard as it is found. From then on the row is a violation, whatever comes of it: a panic, a
//! hang, a row that cannot be read, or one that says nothing of it.

use std::ops::ControlFlow;

use gupsync_bench::Row;
use gupsync_bench::record::{Recorded, Recording};
use gupsync_bench::report::{self, ExitCode};
use gupsync_bench::row::Status;

use super::console::{self, Console};
use super::outcome::{Outcome, Traced, Word, status};
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
    /// What has happened in the current question, and in those before it.
    recorded: Vec<Recorded>,
    traces: Vec<Traced>,
    /// The first finding in the current question.
    caught: Option<String>,
    fatal: Option<String>,
    refusal: Option<String>,
    console: Console,
}

impl<'s> Heard<'s> {
    /// Nothing yet.
    pub fn new(questions: Vec<Question<'s>>) -> Self {
        Heard {
            questions,
            current: 0,
            came: 0,
            begun: 0,
            rows: Vec::new(),
            loader: None,
            recorded: Vec::new(),
            traces: Vec::new(),
            caught: None,
            fatal: None,
            refusal: None,
            console: Console::default(),
        }
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
        } else if let Some(recorded) = line.strip_prefix(report::TRACE) {
            self.recorded.extend(recorded.parse::<Recorded>());
        } else if let Some(traced) = line.strip_prefix(report::TRACED) {
            self.traced(traced);
        } else if let Some(caught) = line.strip_prefix(report::CAUGHT) {
            self.caught.get_or_insert_with(|| caught.to_owned());
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

    /// The current question's recording is complete: these are how many ticks are a millisecond, and how much is lost.
    fn traced(&mut self, words: &str) {
        let mut recorded = std::mem::take(&mut self.recorded);
        recorded.sort_by_key(|one| one.time);
        let numbers = words.split_once(' ').map(|(ticks, lost)| (ticks.parse(), lost.parse()));
        if let (Some(question), Some((Ok(ticks_per_ms), Ok(lost)))) =
            (self.questions.get(self.current), numbers)
        {
            let (spec, policy) = (question.spec.clone(), question.policy);
            let recording = Recording { recorded, ticks_per_ms, lost };
            self.traces.push(Traced { spec, policy, cpus: question.cpus(), recording });
        }
    }

    /// The current question gets no more rows.
    fn give_up(&mut self, reason: &str) {
        let question = &self.questions[self.current];
        if self.came < question.len() {
            self.rows.push(self.failed(question.len() - 1, Status::Died, reason));
        }
        self.go_on();
    }

    /// To the next question.
    fn go_on(&mut self) {
        (self.current, self.came, self.caught) = (self.current + 1, 0, None);
    }

    /// What the current question has in place of a row.
    fn failed(&self, place: usize, status: Status, reason: &str) -> Row {
        let question = &self.questions[self.current];
        match &self.caught {
            Some(caught) => {
                question.failed(place, Status::Violation, format!("{caught}; then {status}: {reason}"))
            }
            None => question.failed(place, status, reason.to_owned()),
        }
    }

    fn row(&mut self, json: &str) {
        let Some(question) = self.questions.get(self.current) else {
            return self.unasked(json);
        };
        let (place, row) = match serde_json::from_str::<Row>(json) {
            Ok(row) => {
                let place = question.place_of(&row, self.came);
                (place, self.answer(place, row))
            }
            Err(error) => {
                let shown: String = json.chars().take(SHOWN).collect();
                let reason = format!("a row that cannot be read: {error}: {shown}");
                (self.came, self.failed(self.came, Status::Died, &reason))
            }
        };
        // What ends early has a row of all mms only.
        let lost = if row.status == Status::Ok { self.came..place } else { place..place };
        self.rows.extend(lost.map(|lost| question.failed(lost, Status::Died, "no row came".to_owned())));
        self.rows.push(row);
        self.came = place + 1;
        if self.came == self.questions[self.current].len() {
            self.go_on();
        }
    }

    /// `row`, if it answers the current question in this place; else a failed one that says what it was.
    fn answer(&self, place: usize, row: Row) -> Row {
        let fault = self.questions[self.current].check(place, &row);
        let said = || row.detail.as_ref().map_or(String::new(), |detail| format!(", {detail}"));
        match (fault, row.status, &self.caught) {
            (Ok(()), Status::Violation, _) | (Ok(()), _, None) => row,
            (Ok(()), status, Some(_)) => self.failed(place, status, "the row does not say so"),
            (Err(fault), status, _) => {
                let reason = format!("a row that answers another question: {fault}; it was {status}{}", said());
                // One that was caught stays so, though what was caught is not known.
                let status = if status == Status::Violation { status } else { Status::Died };
                self.failed(place, status, &reason)
            }
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
        while self.current < self.questions.len() {
            let last = self.questions[self.current].len() - 1;
            self.rows.push(self.failed(last, status, reason));
            self.go_on();
        }
        let Heard { rows, traces, loader, .. } = self;
        Outcome { rows, traces, finished, has_begun: self.begun > 0, loader, end }
    }
}

#[cfg(test)]
mod tests {
    use gupsync_bench::Spec;
    use gupsync_bench::row::Counts;

    use super::*;

    const BEGIN: &str = "@begin pending";
    const CAUGHT: &str = "@caught InsideReusedTable";

    fn spec() -> Spec {
        "policy=pending,broadcast ops=40".parse().expect("a spec")
    }

    /// The rows of a boot that said this, and then ended.
    fn rows(spec: &Spec, lines: &[&str], end: End) -> Vec<Row> {
        let mut heard = Heard::new(Question::all(spec, 8));
        for line in lines {
            let _ = heard.line(line, &mut |_| ());
        }
        heard.outcome(end, "").rows
    }

    fn row(spec: &Spec, status: Status) -> String {
        let counts = Counts { ops: Some(40), ..Counts::default() };
        let row = Row { counts, ..Row::without_counts(spec, spec.policy[0], 8, status) };
        format!("{}{}", report::ROW, serde_json::to_string(&row).expect("plain data"))
    }

    #[test]
    fn item_10_a_violation_is_not_hidden_by_what_comes_of_it() {
        let spec = spec();
        let panic = End::Kernel(ExitCode::Panic);
        let ways: [(&str, End, &str); 6] = [
            ("@fatal panic on CPU 1: boom", panic, "then panic: panic on CPU 1: boom"),
            ("", End::Timeout, "then timeout: "),
            ("", End::Cut, "then died: "),
            ("@begin broadcast", End::Kernel(ExitCode::Done), "then died: no row came, and the next was begun"),
            ("@row {", End::Timeout, "then died: a row that cannot be read"),
            (&row(&spec, Status::Ok), End::Timeout, "then ok: the row does not say so"),
        ];
        for (line, end, said) in ways {
            let rows = rows(&spec, &[BEGIN, CAUGHT, "@caught another", line], end);
            let detail = rows[0].detail.as_deref().expect("a reason");
            assert!(detail.starts_with("InsideReusedTable; ") && detail.contains(said), "{detail}");
            assert_eq!((rows[0].status, rows.len()), (Status::Violation, 2), "{line}");
            assert!(rows[0].judge().is_err());
            // Of the next question nothing is known.
            assert_ne!(rows[1].status, Status::Violation, "{line}");
        }
    }

    #[test]
    fn item_10_a_violation_that_answers_another_question_is_one() {
        let other = Spec { seed: 2, ..spec() };
        let rows = rows(&spec(), &[BEGIN, &row(&other, Status::Violation)], End::Timeout);
        let detail = rows[0].detail.as_deref().expect("a reason");
        assert!(rows[0].status == Status::Violation && detail.contains("seed=2 where seed=1"), "{detail}");
    }

    #[test]
    fn item_10_what_a_row_was_caught_at_is_not_said_of_the_next() {
        let spec = spec();
        let lines = [BEGIN, CAUGHT, &row(&spec, Status::Violation), "@begin broadcast"];
        let rows = rows(&spec, &lines, End::Timeout);
        assert_eq!([rows[0].status, rows[1].status], [Status::Violation, Status::Timeout]);
    }
}
