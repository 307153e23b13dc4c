//! `diff`, of documents of real boots: of two of the same tree, and of one in which a count was changed by one.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::cli::{gupsync, said};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial("diff::two_runs_of_a_tree_are_equal_and_one_interrupt_more_is_named", twice)]
}

fn diff(base: &Path, new: &Path) -> Result<Output> {
    Ok(gupsync().arg("diff").args([base, new]).output()?)
}

fn twice() -> Result<()> {
    let work = tempfile::tempdir()?;
    let files = ["base", "new", "changed"].map(|name| work.path().join(name).with_extension("json"));
    let [base, new, changed] = &files;
    for file in [base, new] {
        let arguments = "compare --ops 40 --cpus 6 --workload collapse,unshare --limine direct --json";
        let output = gupsync().args(arguments.split(' ')).arg(file).output()?;
        ensure!(output.status.success(), "{}", said(&output));
    }
    let output = diff(base, new)?;
    let text = String::from_utf8(output.stdout.clone())?;
    ensure!(output.status.success() && said(&output).is_empty(), "{}{text}", said(&output));
    let summary = text.rsplit("\n\n").next().unwrap_or_default();
    ensure!(summary.starts_with("40 rows: ") && summary.contains(" exact fields equal, 0 not;"), "{text}");

    let mut document: Value = serde_json::from_slice(&fs::read(new)?)?;
    let rows = document["rows"].as_array_mut().context("rows")?;
    let row = rows.iter_mut().find(|row| row["policy"] == "mask").context("a row of mask")?;
    let count = row["sync_ipis"].as_u64().context("a count")?;
    row["sync_ipis"] = json!(count + 1);
    fs::write(changed, document.to_string())?;
    let output = diff(base, changed)?;
    let line = format!("error: collapse mask invlpgb=off: sync_ipis was {count}, is {}", count + 1);
    ensure!(output.status.code() == Some(1) && said(&output) == line, "{}: {}", output.status, said(&output));
    Ok(())
}
