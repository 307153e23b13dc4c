//! One of the two documents, as it was written: by this program, or by an earlier one, which knew fewer fields.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use gupsync_bench::counts::{COUNTERS, Class, Counter};
use gupsync_bench::spec::{MmName, Status};
use gupsync_bench::{Row, Spec};
use serde_json::Value;

use crate::document::{Document, SCHEMA};
use crate::ending::Usage;
use crate::qemu::Accel;

/// What every row says of itself. Other settings may have been added later: a row that lacks one is of its default.
const ALWAYS: [&str; 5] = ["workload", "policy", "mm", "cpus", "status"];

/// A document.
#[derive(Debug)]
pub struct Side {
    /// The file's name.
    pub name: String,
    /// What its rows come from, in a line.
    pub footer: String,
    /// What executed their CPUs.
    pub accel: String,
    /// Its rows.
    pub rows: Vec<Line>,
}

/// A row of it.
#[derive(Debug)]
pub struct Line {
    /// The row.
    pub row: Row,
    /// Of which counts it can be relied on to the last unit.
    relied: Relied,
    /// The counters that it names.
    known: BTreeSet<&'static str>,
}

impl Line {
    fn of(row: Row, accel: &str, known: impl Fn(&str) -> bool) -> Self {
        let relied = match accel {
            // Nothing depends on anything else there: it repeats itself.
            _ if accel == Accel::Sim.to_string() => Relied::OfTheClass,
            _ if accel == Accel::TcgSingle.to_string() => Relied::OfTheRow,
            _ => Relied::None,
        };
        let known = COUNTERS.iter().map(|counter| counter.key).filter(|key| known(key)).collect();
        Line { row, relied, known }
    }

    /// Whether this count, done again, comes out the same.
    pub fn is_exact(&self, counter: &Counter) -> bool {
        match self.relied {
            Relied::None => false,
            Relied::OfTheRow => self.row.is_exact(counter),
            Relied::OfTheClass => counter.class == Class::Exact,
        }
    }

    /// Whether it says whether this was counted.
    pub fn knows(&self, counter: &Counter) -> bool {
        self.known.contains(counter.key)
    }
}

/// Which counts of a row can be relied on.
#[derive(Clone, Copy, Debug)]
enum Relied {
    /// None: CPUs ran side by side.
    None,
    /// Those that are exact in the row.
    OfTheRow,
    /// All that are exact in some row.
    OfTheClass,
}

/// A document that has been read, of whatever schema.
pub struct Written {
    name: String,
    value: Value,
    /// The number of its schema.
    pub schema: u64,
}

impl Written {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`Usage`] if there is no document.
    pub fn read(path: &Path) -> Result<Self, Usage> {
        let name = path.display().to_string();
        let text = fs::read(path).map_err(|error| refused(&name, format_args!("cannot be read: {error}")))?;
        let value = serde_json::from_slice(&text);
        Self::of(value.map_err(|error| refused(&name, format_args!("is no JSON: {error}")))?, name)
    }

    /// The same, of what a file holds.
    ///
    /// # Errors
    ///
    /// As [`Written::read`].
    pub fn of(value: Value, name: String) -> Result<Self, Usage> {
        let schema = value["schema"].as_u64().ok_or_else(|| refused(&name, "names no schema"))?;
        Ok(Written { name, value, schema })
    }

    /// What it says.
    ///
    /// # Errors
    ///
    /// [`Usage`] if this program cannot tell.
    pub fn side(self) -> Result<Side, Usage> {
        let Written { name, mut value, schema } = self;
        let refused = |what: String| refused(&name, what);
        if schema != u64::from(SCHEMA) {
            return Err(refused(format!("is of schema {schema}, not {SCHEMA}")));
        }
        let rows = match value["rows"].take() {
            Value::Array(rows) if !rows.is_empty() => rows,
            _ => return Err(refused("has no rows".to_owned())),
        };
        value["rows"] = Value::Array(Vec::new());
        let document: Document =
            serde_json::from_value(value).map_err(|error| refused(format!("is no document: {error}")))?;
        let line = |(index, row)| {
            line(row, &document.accel).map_err(|error| Usage(format!("{name}: row {}: {error:#}", index + 1)))
        };
        let rows = rows.into_iter().enumerate().map(line).collect::<Result<_, _>>()?;
        Ok(Side { name, footer: document.footer(), accel: document.accel, rows })
    }
}

fn refused(name: &str, what: impl Display) -> Usage {
    Usage(format!("{name}: {what}; name a file that `compare --json` has written"))
}

impl Side {
    /// Rows that were not written down.
    pub fn of(name: &str, rows: &[Row], accel: Accel) -> Self {
        let accel = accel.to_string();
        let rows = rows.iter().map(|row| Line::of(row.clone(), &accel, |_| true)).collect();
        Side { name: name.to_owned(), footer: String::new(), accel, rows }
    }
}

/// Reads a row. What it lacks is as it was before there was a setting or a counter of this name.
fn line(row: Value, accel: &str) -> Result<Line> {
    let Value::Object(written) = row else { anyhow::bail!("is no row") };
    let spec = Spec::default();
    let usual = Row::without_counts(&spec, spec.policy[0], 1, Status::Ok);
    let Value::Object(mut fields) = serde_json::to_value(usual)? else { anyhow::bail!("is no row") };
    if let Some(missing) = ALWAYS.iter().find(|key| !written.contains_key(**key)) {
        anyhow::bail!("says nothing of `{missing}`; name a file that `compare --json` has written");
    }
    if let Some(unknown) = written.keys().find(|key| !fields.contains_key(*key)) {
        anyhow::bail!("`{unknown}` is no field; use the tools/gupsync that has written it");
    }
    let known: BTreeSet<_> = written.keys().cloned().collect();
    fields.extend(written);
    let row = serde_json::from_value(Value::Object(fields)).context("cannot be read")?;
    Ok(Line::of(row, accel, |key| known.contains(key)))
}

/// What a row is called in one line: what of it differs from row to row, in most documents.
pub fn name(row: &Row) -> String {
    let mm = if row.mm == MmName::Total { String::new() } else { format!(" mm={}", row.mm) };
    format!("{} {} invlpgb={}{mm}", row.workload, row.policy, row.invlpgb)
}
