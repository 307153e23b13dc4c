//! Where the figures of a page come from: documents that were read, or that the simulator makes for it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use flate2::Compression;
use flate2::write::GzEncoder;
use gupsync_bench::Row;

use crate::args::{Cli, Command};
use crate::artifacts::Tree;
use crate::boot::{self, Outcome};
use crate::document::{self, Document, SCHEMA};
use crate::ending::{Usage, demand};
use crate::{compare, module, prove, scale};

/// What the simulator counts if no document is given: commands whose rows are shown.
const USUAL: &[&str] = &[
    "compare --accel sim",
    "compare --accel sim --workload mixed --cpus 16",
    "compare --accel sim --workload unshare,unmap,protect",
    "scale --ops 64",
];

/// What it counts for every page.
const OUTSIDE: &str = "compare --accel sim --ops 200 --isolated 1";
const MEMBER: &str = "compare --accel sim --ops 200 --isolated-members 1";

/// What it counts for the part that a reader can move, all of which stands so at first.
pub const TRIED: &str = "compare --accel sim --ops 200 --invlpgb on";

/// One document.
pub struct Source {
    /// How the page calls it.
    pub name: String,
    /// What it holds.
    pub document: Document,
}

impl Source {
    /// Its rows.
    pub fn rows(&self) -> &[Row] {
        &self.document.rows
    }
}

/// All that a page shows.
pub struct Sources {
    /// What was given, or made because nothing was.
    pub shown: Vec<Source>,
    /// What interrupts an isolated CPU outside of the mm.
    pub outside: Source,
    /// What interrupts an isolated CPU that runs a thread of the mm.
    pub member: Source,
    /// What the simulator in the page counts, where everything stands at first.
    pub tried: Source,
    /// That simulator, as a page has it; or why there is none.
    pub module: Result<String, String>,
    /// What was proved.
    pub proofs: Vec<prove::document::Document>,
}

impl Sources {
    /// The documents at `paths`, or what the simulator makes if none of them has rows; and what it makes for every page.
    ///
    /// # Errors
    ///
    /// [`Usage`] that names the first file which is no document.
    pub fn of(paths: &[PathBuf]) -> Result<Self> {
        let (mut shown, mut proofs) = (Vec::new(), Vec::new());
        for path in paths {
            match read(path) {
                Ok(Read::Rows(document)) => {
                    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
                    shown.push(Source { name, document });
                }
                Ok(Read::Proof(proof)) => proofs.push(proof),
                Err(fault) => {
                    return Err(Usage(format!(
                        "--json {}: {fault}; use a file that a command of tools/gupsync has written by --json",
                        path.display()
                    ))
                    .into());
                }
            }
        }
        if shown.is_empty() {
            shown = USUAL.iter().map(|command| simulated(command)).collect::<Result<_>>()?;
        }
        let [outside, member, tried] = [simulated(OUTSIDE)?, simulated(MEMBER)?, simulated(TRIED)?];
        Ok(Sources { shown, outside, member, tried, module: packed(&Tree::own()), proofs })
    }

    /// All that have rows, those of every page last.
    pub fn all(&self) -> impl Iterator<Item = &Source> {
        self.shown.iter().chain([&self.outside, &self.member, &self.tried])
    }
}

/// What a file holds.
enum Read {
    Rows(Document),
    Proof(prove::document::Document),
}

fn read(path: &Path) -> Result<Read, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let none = |error: serde_json::Error| format!("holds no results: {error}");
    let value: serde_json::Value = serde_json::from_str(&text).map_err(none)?;
    let schema = value["schema"].as_u64();
    if schema.is_some_and(|schema| schema != u64::from(SCHEMA)) {
        return Err(format!("is of schema {}, and this program knows {SCHEMA}", value["schema"]));
    }
    // From the text, so that what is wrong has a line.
    if value["lines"].is_array() {
        serde_json::from_str(&text).map(Read::Proof).map_err(none)
    } else {
        serde_json::from_str(&text).map(Read::Rows).map_err(none)
    }
}

/// The module, packed as it stands in a page; or why there is none, in one line.
fn packed(tree: &Tree) -> Result<String, String> {
    let pack = || -> Result<String> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&std::fs::read(module::build(tree)?)?)?;
        Ok(BASE64_STANDARD.encode(encoder.finish()?))
    };
    pack().map_err(|error| format!("{error:#}").lines().next().unwrap_or_default().to_owned())
}

/// What a command that needs nothing but the simulator would have written.
fn simulated(command: &str) -> Result<Source> {
    let words = ["tools/gupsync"].into_iter().chain(command.split(' '));
    let outcomes = match Cli::try_parse_from(words)?.command {
        Command::Scale(args) => scale::outcomes(&args)?,
        Command::Compare(args) => {
            let (cpus, boots) = compare::specs(&args)?;
            boots.iter().map(|specs| boot::simulated(specs, cpus, false, |_| ())).collect()
        }
        other => unreachable!("{other:?} is not of the simulator"),
    };
    let rows: Vec<Row> = outcomes.into_iter().flat_map(|outcome: Outcome| outcome.rows).collect();
    demand(!rows.is_empty(), || format!("{command}: has no rows"))?;
    let revision = document::revision(&Tree::own().root);
    let document = Document::simulated(format!("tools/gupsync {command}"), revision, rows);
    Ok(Source { name: "made for this page".to_owned(), document })
}
