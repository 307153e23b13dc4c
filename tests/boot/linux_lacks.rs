//! `linux count` on kernels that lack things, or die: what can be done is done, and what cannot is one line. Their QEMU is a
//! script that says what the program for Linux says there.

use std::collections::BTreeMap;
use std::process::Output;

use anyhow::{Result, ensure};
use gupsync_bench::Row;
use gupsync_bench::spec::{Status, Workload};
use gupsync_guest::{Calls, Counted, Report, Said};
use libtest_mimic::Trial;

use crate::cli::{gupsync, parse, said};
use crate::fake;
use crate::linux::{Test, no_kernel};
use crate::trial;

/// All of them.
pub fn trials() -> Vec<Trial> {
    let all: [(&str, Test); 5] = [
        ("one_without_huge_pages_does_the_rest", does_the_rest),
        ("one_that_can_do_nothing_has_no_row", does_nothing),
        ("one_without_the_trace_point_says_so_in_its_row", by_what_arrives),
        ("one_that_dies_keeps_what_was_done", dies),
        ("one_that_hangs_is_a_timeout_by_name", hangs),
    ];
    all.into_iter().map(|(name, test)| trial(&format!("linux::lacks_{name}"), test)).collect()
}

const NO_HUGE_PAGES: &str =
    "the kernel has no transparent huge pages; build it with CONFIG_TRANSPARENT_HUGEPAGE";

fn booted() -> Said {
    Said::Booted { release: "0.0".to_owned(), cpus: 2 }
}

/// Experiment `number` was done, and counted so.
fn done(number: usize, counted: Counted) -> Said {
    let ops = vec![(3, Calls { flush: 1, sync: 1, outside: 0 })];
    Said::Done(number, Report { counted, ops, others: BTreeMap::new(), refused: 0 })
}

fn failed(number: usize, reason: &str) -> Said {
    Said::Failed(number, reason.to_owned())
}

/// Counts a collapse and a protect on a kernel whose program says all of this to the host, and does `then`. What came out, the rows,
/// and the errors.
fn count(all: &[Said], then: &str) -> Result<(Output, Vec<Row>, Vec<String>)> {
    let work = tempfile::tempdir()?;
    let lines: String = all.iter().map(|one| format!("echo '{}'\n", one.line())).collect();
    let version = "[ \"$1\" = --version ] && { echo 'QEMU emulator version 0'; exit; }";
    let path = fake::install(work.path(), &format!("{version}\n{lines}{then}"))?;
    let mut count = gupsync();
    count.args("linux count --workload collapse,protect --cpus 2 --mm-cpus 2 --ops 3 --timeout 2".split(' '));
    let output =
        count.args(["--json", "-", "--kernel"]).arg(no_kernel(work.path())?).env("PATH", path).output()?;
    let rows = parse(&output.stdout)?.rows;
    let said = said(&output);
    let errors = said.lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect();
    Ok((output, rows, errors))
}

/// The rows are of a collapse and a protect, and have ended so; one that has not been done has no counts.
fn are(rows: &[Row], statuses: [Status; 2]) -> Result<()> {
    let ended: Vec<_> = rows.iter().map(|row| (row.workload, row.status)).collect();
    let expected = [(Workload::Collapse, statuses[0]), (Workload::Protect, statuses[1])];
    ensure!(ended == expected, "{ended:?}");
    for row in rows {
        let counted = (row.counts.ops, row.counts.sync_ipis);
        let expected = if row.status == Status::Ok { (Some(3), Some(3)) } else { (None, None) };
        ensure!(counted == expected, "{}: {counted:?}", row.workload);
    }
    Ok(())
}

fn does_the_rest() -> Result<()> {
    let (output, rows, errors) =
        count(&[booted(), failed(0, NO_HUGE_PAGES), done(1, Counted::Queued), Said::End], "")?;
    are(&rows, [Status::Died, Status::Ok])?;
    ensure!(output.status.code() == Some(1), "{}", output.status);
    let expected = "error: collapse: died: the kernel has no transparent huge pages; build it with CONFIG_TRANSPARENT_HUGEPAGE";
    ensure!(errors == [expected], "{errors:?}");
    Ok(())
}

fn does_nothing() -> Result<()> {
    let said = [booted(), failed(0, NO_HUGE_PAGES), failed(1, "mprotect: it is not to be"), Said::End];
    let (output, rows, errors) = count(&said, "")?;
    are(&rows, [Status::Died, Status::Died])?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    ensure!(errors.len() == 2 && errors[1] == "error: protect: died: mprotect: it is not to be", "{errors:?}");
    Ok(())
}

fn by_what_arrives() -> Result<()> {
    let said = [booted(), done(0, Counted::Queued), done(1, Counted::Arrived), Said::End];
    let (output, rows, errors) = count(&said, "")?;
    are(&rows, [Status::Ok, Status::Ok])?;
    ensure!(output.status.success() && errors.is_empty(), "{}: {errors:?}", output.status);
    let is_marked =
        |row: &Row| row.detail.as_ref().is_some_and(|detail| detail.contains("from /proc/interrupts"));
    let marked: Vec<_> = rows.iter().map(is_marked).collect();
    ensure!(marked == [false, true], "{marked:?}");
    Ok(())
}

fn dies() -> Result<()> {
    let panic = "echo '[    9.1] Kernel panic - not syncing: out of memory'";
    let (output, rows, errors) = count(&[booted(), done(0, Counted::Queued)], panic)?;
    are(&rows, [Status::Ok, Status::Died])?;
    ensure!(output.status.code() == Some(1), "{}", output.status);
    let is_right =
        errors.len() == 1 && errors[0].ends_with("Linux said: Kernel panic - not syncing: out of memory");
    ensure!(is_right && errors[0].starts_with("error: protect: died: "), "{errors:?}");
    Ok(())
}

fn hangs() -> Result<()> {
    let (output, rows, errors) = count(&[booted()], "echo '[    9.1] a last word'; exec sleep 60")?;
    are(&rows, [Status::Timeout, Status::Timeout])?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    let is_right = |error: &String| error.ends_with("Linux said last: a last word");
    ensure!(errors.len() == 2 && errors.iter().all(is_right), "{errors:?}");
    Ok(())
}
