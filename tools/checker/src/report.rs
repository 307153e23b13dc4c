//! What has been explored, a line of JSON each, in the file that `GUPSYNC_REPORT` names.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The variable.
pub const VARIABLE: &str = "GUPSYNC_REPORT";

/// The variable that asks for deep bounds: so many seconds for each model.
pub const DEEP: &str = "GUPSYNC_DEEP";

/// The variable that says how many seconds a model may take with other bounds.
pub const PATIENCE: &str = "GUPSYNC_PATIENCE";

/// How long a model may take with deep bounds, if they are asked for.
///
/// # Panics
///
/// If the variable holds no number.
#[must_use]
pub fn deep() -> Option<Duration> {
    seconds(DEEP)
}

/// How long a model may take, if that is bounded.
///
/// # Panics
///
/// As [`deep`].
#[must_use]
pub fn patience() -> Option<Duration> {
    deep().or_else(|| seconds(PATIENCE))
}

fn seconds(variable: &str) -> Option<Duration> {
    let text = std::env::var(variable).ok()?;
    let seconds = text.parse().unwrap_or_else(|_| panic!("{variable}={text}: not a number of seconds"));
    Some(Duration::from_secs(seconds))
}

/// The variable that asks for small bounds.
pub const SMALL: &str = "GUPSYNC_SMALL";

/// Whether bounds are to be small.
#[must_use]
pub fn is_small() -> bool {
    std::env::var_os(SMALL).is_some()
}

/// The variable that says that there is a mistake to be found.
pub const HUNT: &str = "GUPSYNC_HUNT";

/// Whether there is a mistake to be found, so that a search may begin where mistakes are found soonest.
#[must_use]
pub fn is_hunt() -> bool {
    std::env::var_os(HUNT).is_some()
}

/// The variable that names the tree which the models were built from, for the words of a trace.
pub const SOURCES: &str = "GUPSYNC_SOURCES";

/// A step of an execution that was found at fault, or a remark on the step before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number. A remark has none.
    pub number: Option<usize>,
    /// Which CPU does it.
    pub cpu: usize,
    /// What it does.
    pub what: String,
    /// The file and the line that do it.
    pub place: String,
    /// What that does to its store buffer.
    pub buffer: Option<Buffer>,
}

/// What happens to a store buffer, which is emptied in the order in which it was filled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Buffer {
    /// This write comes into it.
    Takes(String),
    /// Its oldest write reaches memory.
    Drains,
}

/// One exploration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exploration {
    /// The test.
    pub property: String,
    /// `loom` or `tso`.
    pub checker: String,
    /// CPUs at work.
    pub cpus: usize,
    /// Executions or states.
    pub explored: u64,
    /// What was bounded; if it was exhausted, nothing, or that it ends.
    pub bound: Option<String>,
    /// Seconds.
    pub seconds: f64,
    /// Whether it was looked at to the end, and nothing was found.
    pub held: bool,
    /// Whether it was given up before its bounds.
    pub cut_off: bool,
    /// In how many steps a fault was found, where that is known.
    pub steps: Option<usize>,
    /// The fault, where a shortest way to it is known.
    #[serde(default)]
    pub fault: Option<String>,
    /// That way.
    #[serde(default)]
    pub trace: Vec<Step>,
}

/// An exploration under way: it is reported when it is dropped, whether or not something was found.
pub struct UnderWay {
    exploration: Exploration,
    explored: Arc<AtomicU64>,
    since: Instant,
}

impl UnderWay {
    /// Begins, on behalf of the test that this thread is named for.
    #[must_use]
    pub fn begin(checker: &str, cpus: usize, bound: Option<String>) -> Self {
        let property = std::thread::current().name().unwrap_or("?").to_owned();
        let checker = checker.to_owned();
        let exploration = Exploration {
            property,
            checker,
            cpus,
            explored: 0,
            bound,
            seconds: 0.0,
            held: false,
            cut_off: false,
            steps: None,
            fault: None,
            trace: Vec::new(),
        };
        UnderWay { exploration, explored: Arc::default(), since: Instant::now() }
    }

    /// Counts executions, or states.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicU64> {
        self.explored.clone()
    }

    /// More could have been looked at: that is as it was asked for with deep bounds, and no result with others.
    pub fn cut_off(mut self) {
        let bound = self.exploration.bound.take();
        self.exploration.bound = Some(bound.map_or_else(|| "cut off".to_owned(), |bound| bound + ", cut off"));
        self.exploration.cut_off = true;
        self.exploration.held = deep().is_some();
    }

    /// All was looked at, and in no state CPUs wait while none can go on. States do not come again, so every fair execution
    /// comes to its end.
    pub fn ends(&mut self) {
        self.exploration.bound = Some("exhausted, ends".to_owned());
    }

    /// As many were looked at as was asked for, and there are more.
    pub fn bounded(&mut self, bound: String) {
        self.exploration.bound = Some(bound);
    }

    /// A fault was found, by these steps.
    pub fn found(&mut self, fault: &str, trace: &[Step]) {
        self.exploration.steps = Some(trace.iter().filter(|step| step.number.is_some()).count());
        self.exploration.fault = Some(fault.to_owned());
        self.exploration.trace = trace.to_vec();
    }

    /// All was looked at, as far as that goes, and nothing was found.
    pub fn held(mut self) {
        self.exploration.held = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os(VARIABLE) else { return };
        self.exploration.explored = self.explored.load(Ordering::Relaxed);
        self.exploration.seconds = self.since.elapsed().as_secs_f64();
        let mut line = serde_json::to_string(&self.exploration).expect("it can be written as JSON");
        line.push('\n');
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            eprintln!("error: {}: {error}", path.display());
        }
    }
}
