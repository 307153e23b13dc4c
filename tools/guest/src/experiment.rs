//! One experiment, in a process of its own, whose only CPU is CPU 0 until its siblings start.
//!
//! # Guarantee
//!
//! Between the two looks at the calls that an operation is charged with, this thread makes the system call of the operation
//! and nothing else that calls other CPUs; pages are there before, and are given back after.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::ErrorKind::{ResourceBusy, WouldBlock};

use anyhow::{Context, Result, bail, ensure};
use gupsync_guest::{Counted, Experiment, Operation, Report};
use gupsync_linux::window::Window;
use gupsync_linux::{HUGE, PAGE, shared};

use crate::calls::Look;
use crate::khugepaged::{self, Khugepaged, NO_HUGE_PAGES};
use crate::partner::{self, Partner};
use crate::siblings::{Siblings, pin};

/// So many times in a row an operation may be refused.
const PATIENCE: u64 = 100;

/// What measures: the siblings, and what was counted.
struct Bench {
    siblings: Siblings,
    /// The number of the first CPU that has never run the process.
    outside: usize,
    report: Report,
    before: Look,
    after: Look,
    refused_in_a_row: u64,
}

/// Does what `experiment` says.
///
/// # Errors
///
/// If it cannot be done here, in one line.
pub fn run(experiment: &Experiment, counted: Counted) -> Result<Report> {
    pin(0)?;
    let report = Report { counted, ops: Vec::new(), others: BTreeMap::new(), refused: 0 };
    let bench = Bench {
        siblings: Siblings::start(&experiment.siblings)?,
        outside: experiment.siblings.len() + 1,
        report,
        before: Look::new(counted),
        after: Look::new(counted),
        refused_in_a_row: 0,
    };
    match experiment.operation {
        Operation::Collapse => collapse(bench, experiment.ops),
        Operation::Khugepaged { order } => khugepaged(bench, experiment.ops, order),
        Operation::Unshare { tables } => unshare(bench, experiment.ops, tables),
        Operation::Unmap { tables, pages } => unmap(bench, experiment.ops, tables, pages),
        Operation::Protect { pages } => protect(bench, experiment.ops, pages),
        Operation::Discard { pages } => discard(bench, experiment.ops, pages),
    }
}

impl Bench {
    fn is_due(&self, ops: u64) -> bool {
        self.report.count() < ops
    }

    /// Does the operation, and counts what it has called. One that the kernel puts off does not count.
    fn measure(&mut self, operation: impl FnOnce() -> io::Result<()>) -> Result<()> {
        self.siblings.come_to_rest()?;
        self.before.take()?;
        let result = operation();
        self.after.take()?;
        let grown = &self.after.tally()? - &self.before.tally()?;
        match result {
            Ok(()) => {
                self.refused_in_a_row = 0;
                self.report.add(grown.calls(self.outside));
                for (function, calls) in grown.others() {
                    *self.report.others.entry(function.to_owned()).or_default() += calls;
                }
                Ok(())
            }
            Err(error) if [ResourceBusy, WouldBlock].contains(&error.kind()) => {
                self.report.refused += 1;
                self.refused_in_a_row += 1;
                ensure!(self.refused_in_a_row < PATIENCE, "refused {PATIENCE} times in a row: {error}");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn collapse(mut bench: Bench, ops: u64) -> Result<Report> {
    let mut window = Window::new(HUGE)?;
    while bench.is_due(ops) {
        let range = window.map(HUGE)?;
        range.fill_with_small_pages().context(NO_HUGE_PAGES)?;
        bench.measure(|| range.collapse()).context("MADV_COLLAPSE")?;
        range.unmap()?;
    }
    Ok(bench.report)
}

fn khugepaged(mut bench: Bench, ops: u64, order: u64) -> Result<Report> {
    let khugepaged = Khugepaged::set_up(order, bench.outside)?;
    let mut window = Window::new(HUGE)?;
    // The first time that it may be huge has khugepaged look at this process, at once.
    window.map(HUGE)?.fill_with_small_pages().context(NO_HUGE_PAGES)?;
    while bench.is_due(ops) {
        let range = window.map(HUGE)?;
        range.fill_with_small_pages().context(NO_HUGE_PAGES)?;
        khugepaged.wait_for_sleep()?;
        bench.measure(|| khugepaged.scan()).context(khugepaged::REFUSED)?;
        range.unmap()?;
    }
    Ok(bench.report)
}

fn unmap(mut bench: Bench, ops: u64, tables: usize, pages: usize) -> Result<Report> {
    let mut window = Window::new(tables * HUGE)?;
    while bench.is_due(ops) {
        let ranges = window.map(tables * HUGE)?;
        // Where there are no huge pages none is refused.
        let _ = ranges.refuse_huge_pages();
        for range in (0..tables).map(|table| table * HUGE) {
            (0..pages).for_each(|page| ranges.write(range + page * PAGE, 1));
        }
        bench.measure(|| ranges.unmap()).context("munmap")?;
    }
    Ok(bench.report)
}

fn protect(mut bench: Bench, ops: u64, pages: usize) -> Result<Report> {
    let mut window = Window::new((pages * PAGE).next_multiple_of(HUGE))?;
    let mut range = window.map(pages * PAGE)?;
    let _ = range.refuse_huge_pages();
    while bench.is_due(ops) {
        (0..pages).for_each(|page| range.write(page * PAGE, 1));
        bench.measure(|| range.protect()).context("mprotect")?;
        range.unprotect()?;
    }
    Ok(bench.report)
}

fn discard(mut bench: Bench, ops: u64, pages: usize) -> Result<Report> {
    let mut window = Window::new((pages * PAGE).next_multiple_of(HUGE))?;
    let range = window.map(pages * PAGE)?;
    let _ = range.refuse_huge_pages();
    while bench.is_due(ops) {
        (0..pages).for_each(|page| range.write(page * PAGE, 1));
        bench.measure(|| range.discard()).context("MADV_DONTNEED")?;
    }
    Ok(bench.report)
}

fn unshare(mut bench: Bench, ops: u64, tables: usize) -> Result<Report> {
    let partner = Partner::start(tables)?;
    let file = File::options().read(true).write(true).open(partner.file()).context("a file of hugetlbfs")?;
    let _upper_tables = shared::keep_upper_tables()?;
    while bench.is_due(ops) {
        let ranges = shared::map_file(&file, tables).context("hugetlbfs")?;
        let before = faults()?;
        for page in partner::pages(tables) {
            let found = ranges.read(page);
            ensure!(found == 1, "the file of hugetlbfs holds {found}, not 1");
        }
        // The partner has these pages: with its table comes all that it maps, and only the first page of it faults.
        let (taken, pages) = (faults()? - before, partner::pages(tables).count() as u64);
        if taken >= pages {
            bail!(
                "PMD tables are not shared: {taken} faults for {pages} pages; build the kernel with \
                 CONFIG_HUGETLB_PMD_PAGE_TABLE_SHARING"
            );
        }
        bench.measure(|| ranges.unmap()).context("munmap")?;
    }
    Ok(bench.report)
}

/// How many faults this process has had that read nothing from a disk.
fn faults() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
    // proc(5): minflt is the tenth field; the second ends with the bracket.
    let faults = fields.and_then(|mut fields| fields.nth(7)).and_then(|field| field.parse().ok());
    faults.context("/proc/self/stat has no minflt")
}
