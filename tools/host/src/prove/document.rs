//! What was proved as JSON: a line for each thing and checker, and what it was proved of.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::table::Line;
use crate::document::{SCHEMA, command, date};

/// Everything that was explored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    /// The number of this schema, which is that of rows: fields may be added under it; none changes its meaning.
    pub schema: u32,
    /// The commit of the checkout.
    pub revision: String,
    /// Whether the checkout differs from it.
    pub dirty: bool,
    /// The command that produced it.
    pub command: String,
    /// When it had done so, in UTC.
    pub date: String,
    /// How long that took.
    pub seconds: f64,
    /// What was explored.
    pub lines: Vec<Line>,
}

impl Document {
    /// That of `lines`, of this revision, by this process, now.
    pub fn new((revision, dirty): (String, bool), took: Duration, lines: Vec<Line>) -> Self {
        let seconds = took.as_secs_f64();
        Document { schema: SCHEMA, revision, dirty, command: command(), date: date(), seconds, lines }
    }
}
