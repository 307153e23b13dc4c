//! What differs between two documents.

use gupsync_bench::Row;
use gupsync_bench::counts::{COUNTERS, Counter};
use gupsync_bench::spec::Status;

use super::side::{Line, Side, name};
use crate::table::number;

/// A count that is not the same in both.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Which.
    pub counter: &'static Counter,
    /// Whether it was to be the same.
    pub is_exact: bool,
    /// In the first document.
    pub base: Option<u64>,
    /// In the second.
    pub new: Option<u64>,
}

/// A row of the second document, beside that of the first.
#[derive(Debug)]
pub struct Compared<'a> {
    /// The row in the second.
    pub new: &'a Row,
    /// What is wrong with how it ended, or what has become good.
    pub ended: Ended,
    /// The counts that differ: exact ones by anything, the others by more than the tolerance.
    pub changes: Vec<Change>,
    /// How many exact counts were compared.
    pub exact: usize,
    /// How many others.
    pub timing: usize,
}

/// How two rows ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Both as promised, and in the same way.
    Alike,
    /// The second as promised, the first otherwise: there is nothing to compare.
    Better(String),
    /// The second not as promised: there is nothing to compare.
    Badly(String),
}

/// All that differs.
#[derive(Debug)]
pub struct Diff<'a> {
    /// Rows that both have.
    pub rows: Vec<Compared<'a>>,
    /// What only one of them has: a line for each row.
    pub missing: Vec<String>,
}

impl<'a> Diff<'a> {
    /// Compares: the first row of a kind with the first, the second with the second.
    pub fn of(base: &'a Side, new: &'a Side, tolerance: u64) -> Self {
        let mut diff = Diff { rows: Vec::new(), missing: Vec::new() };
        let mut rest: Vec<_> = new.rows.iter().collect();
        for line in &base.rows {
            let is_its = |other: &&Line| base.accel == new.accel && other.row.asks_the_same(&line.row);
            match rest.iter().position(is_its) {
                Some(at) => diff.rows.push(Compared::of(line, rest.remove(at), tolerance)),
                None => diff.missing.push(format!("{}: is not in {}", name(&line.row), new.name)),
            }
        }
        diff.missing.extend(rest.iter().map(|line| format!("{}: is not in {}", name(&line.row), base.name)));
        diff
    }

    /// What makes the command fail: a line for each.
    pub fn faults(&self) -> Vec<String> {
        let of = |row: &Compared<'_>| {
            let badly = match &row.ended {
                Ended::Badly(how) => Some(format!("{}: {how}", name(row.new))),
                Ended::Alike | Ended::Better(_) => None,
            };
            badly.into_iter().chain(row.lines(true)).collect::<Vec<_>>()
        };
        self.rows.iter().flat_map(of).chain(self.missing.iter().cloned()).collect()
    }

    /// A line for each count that differs: of those that are exact, or of the others.
    pub fn changes(&self, is_exact: bool) -> Vec<String> {
        self.rows.iter().flat_map(|row| row.lines(is_exact)).collect()
    }
}

impl<'a> Compared<'a> {
    fn of(base: &Line, new: &'a Line, tolerance: u64) -> Self {
        let ended = Ended::of(&base.row, &new.row);
        let mut compared = Compared { new: &new.row, ended, changes: Vec::new(), exact: 0, timing: 0 };
        if compared.ended != Ended::Alike {
            return compared;
        }
        for counter in COUNTERS.iter().filter(|counter| base.knows(counter) && new.knows(counter)) {
            let is_exact = base.is_exact(counter) && new.is_exact(counter);
            let [base, new] = [base, new].map(|line| (counter.get)(&line.row.counts));
            *if is_exact { &mut compared.exact } else { &mut compared.timing } += 1;
            let is_same = if is_exact { base == new } else { is_within(base, new, tolerance) };
            if !is_same {
                compared.changes.push(Change { counter, is_exact, base, new });
            }
        }
        compared
    }

    /// A line for each exact change, or for each other.
    fn lines(&self, is_exact: bool) -> impl Iterator<Item = String> {
        let of_class = self.changes.iter().filter(move |change| change.is_exact == is_exact);
        of_class.map(|change| {
            let Change { counter, base, new, .. } = change;
            format!("{}: {} was {}, is {}", name(self.new), counter.key, number(*base), number(*new))
        })
    }
}

impl Ended {
    fn of(base: &Row, new: &Row) -> Self {
        // Where both came to their end the counts say what is wrong.
        if base.status == Status::Ok && new.status == Status::Ok {
            return Ended::Alike;
        }
        match (base.judge(), new.judge()) {
            (_, Err(fault)) if base.status == new.status => Ended::Badly(format!("{fault}, as before")),
            (_, Err(fault)) => Ended::Badly(format!("was {}, is {}: {fault}", base.status, new.status)),
            (Ok(()), Ok(())) if base.status == new.status => Ended::Alike,
            _ => Ended::Better(format!("was {}, is {}, as promised", base.status, new.status)),
        }
    }
}

/// Whether a count is the other one, give or take so many percent of the first.
fn is_within(base: Option<u64>, new: Option<u64>, tolerance: u64) -> bool {
    let (Some(base), Some(new)) = (base, new) else { return base == new };
    u128::from(base.abs_diff(new)) * 100 <= u128::from(base) * u128::from(tolerance)
}
