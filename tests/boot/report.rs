//! The page of `report`, as its users ask for it.

use std::fs;

use anyhow::{Context, Result, ensure};
use gupsync_host::table::number;
use libtest_mimic::Trial;

use crate::cli::{gupsync, read, said};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("report::the_page_shows_the_figures_of_its_document", shows),
        trial("report::what_is_no_document_is_refused_in_one_line", refuses),
    ]
}

fn shows() -> Result<()> {
    let work = tempfile::tempdir()?;
    let [json, page] = ["rows.json", "page.html"].map(|name| work.path().join(name));
    // The figures of a number of operations that nothing else on the page has.
    let compare = ["compare", "--accel", "sim", "--ops", "97", "--json"];
    let output = gupsync().args(compare).arg(&json).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let output = gupsync().arg("report").arg("--json").arg(&json).arg("--out").arg(&page).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let (document, page) = (read(&json)?, fs::read_to_string(page)?);
    for row in &document.rows {
        let sync_ipis = number(Some(row.counts.sync_ipis.context("it was counted")?));
        ensure!(page.contains(&format!(">{sync_ipis}</td>")), "{}: {sync_ipis}", row.policy);
    }
    ensure!(page.contains("compare --accel sim --ops 97") && page.contains(&document.revision));
    Ok(())
}

fn refuses() -> Result<()> {
    let work = tempfile::tempdir()?;
    let [json, page] = ["rows.json", "page.html"].map(|name| work.path().join(name));
    fs::write(&json, "[1, 2")?;
    let report = |json: &str, page: &str| gupsync().args(["report", "--json", json, "--out", page]).output();
    let (json, folder) = (json.to_string_lossy(), work.path().to_string_lossy());
    for (output, named) in [
        (report(&json, &page.to_string_lossy())?, "rows.json: holds no results"),
        (report("/nonexistent", &page.to_string_lossy())?, "--json /nonexistent: cannot be read"),
        (report(&json, &folder)?, "--out"),
        (report(&json, &json)?, "is a file of --json"),
    ] {
        let said = said(&output);
        ensure!(output.status.code() == Some(2) && said.contains(named), "{:?}: {said}", output.status);
        ensure!(said.lines().count() == 1, "{said}");
    }
    ensure!(!page.exists(), "a page was written");
    Ok(())
}
