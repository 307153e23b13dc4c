//! `report`: one page of HTML that shows the question, what was found, and how to check it.
//!
//! # Guarantee
//!
//! The page is one file of less than 2 MB. It loads nothing, and all of it can be read without JavaScript; with it, the
//! simulator itself runs in the page. Every figure on it is a figure of a row, or a sum, a difference or a ratio of such; below each stands what printed it.

mod chart;
mod isolated;
mod linux;
mod page;
mod proof;
mod rows;
mod scale;
mod source;
mod timeline;
mod tried;
mod wins;
mod words;

use anyhow::Result;
use gupsync_bench::Row;

use crate::args::report::ReportArgs;
use crate::ending::{Ending, demand};
use crate::prove::table::Line;
use crate::say;
use crate::sink::Sink;
use source::{Source, Sources};

/// So many bytes a page has at most.
const MOST: usize = 2_000_000;

/// Reads or makes the rows, and writes the page; says whether all that it shows is as promised.
///
/// # Errors
///
/// If a document cannot be read, or the page cannot be written.
pub fn run(args: &ReportArgs) -> Result<Ending> {
    demand(!args.json.contains(&args.out), || {
        format!("--out {}: is a file of --json; name another", args.out.display())
    })?;
    let sink = Sink::open_for("--out", &args.out)?;
    let sources = Sources::of(&args.json)?;
    let page = page::render(&sources);
    demand(page.len() < MOST, || {
        format!(
            "--json: the page would be of {} KB, and is of {} KB at most; give fewer files",
            page.len() / 1000,
            MOST / 1000
        )
    })?;
    if let Err(lack) = &sources.module {
        say::err(format_args!("the simulator itself is not in the page: {lack}"));
    }
    let is_stdout = sink.is_stdout();
    let size = page.len();
    sink.write_text(page.as_bytes())?;
    if !is_stdout {
        say::out(format_args!("{}: {} KB", args.out.display(), size.div_ceil(1000)));
    }
    let rows = sources.all().flat_map(Source::rows).filter_map(fault);
    let lines = sources.proofs.iter().flat_map(|proof| &proof.lines).filter(|line| !line.is_good());
    let faults: Vec<_> = rows.chain(lines.map(Line::progress)).collect();
    for fault in &faults {
        say::err(format_args!("error: {fault}"));
    }
    Ok(Ending::of(faults.is_empty()))
}

/// What is not as promised in a row.
fn fault(row: &Row) -> Option<String> {
    let fault = row.judge().err()?;
    Some(format!("{} {} invlpgb={} on {} CPUs: {fault}", row.workload, row.policy, row.invlpgb, row.cpus))
}

#[cfg(test)]
mod tests;
