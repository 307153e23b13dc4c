//! Forms for other programs and other readers: runs of a comparison, mails, KTAP, manual pages, the JSON Schema.

use std::process::Command;

use anyhow::{Result, ensure};
use gupsync_host::document;
use libtest_mimic::Trial;

use crate::cli::{gupsync, host, printed, read, said};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("forms::runs_of_a_comparison_are_equal_and_one_line_each", repeats),
        trial("forms::tests_are_told_in_ktap", ktap),
        trial("forms::pages_and_schema_are_printed_without_a_machine", prints),
    ]
}

fn repeats() -> Result<()> {
    let work = tempfile::tempdir()?;
    let json = work.path().join("rows.json");
    let arguments =
        "compare --repeat 3 --ops 20 --cpus 5 --invlpgb on --policy mask,pending --limine direct --format mail";
    let output = gupsync().args(arguments.split(' ')).arg("--json").arg(&json).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}", said(&output));
    ensure!(text.lines().all(|line| line.len() <= 72) && text.contains("3 runs: least/median/most"), "{text}");
    ensure!(text.lines().filter(|line| line.starts_with("pending ")).count() == 1, "{text}");
    let rows = read(&json)?.rows;
    let of = |policy: &'static str| {
        rows.iter().filter(move |row| *row.policy == *policy).map(|row| row.counts.sync_ipis)
    };
    for policy in ["mask", "pending"] {
        ensure!(of(policy).eq([Some(60); 3]), "{policy}: {:?}", of(policy).collect::<Vec<_>>());
    }
    Ok(())
}

fn ktap() -> Result<()> {
    let text = printed(gupsync().args(["test", "--ktap", "ktap::tests::a_line_has"]))?;
    let name = "ktap::tests::a_line_has_one_directive_and_a_name_none";
    let expected = format!(
        "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: library and host\n  1..1\n  ok 1 {name}\nok 1 library and host\n"
    );
    ensure!(text == expected, "{text}");
    Ok(())
}

fn prints() -> Result<()> {
    let alone = |words: &str| printed(Command::new(host()?).args(words.split(' ')).env("PATH", "/nonexistent"));
    let page = alone("man linux check")?;
    ensure!(page.contains(".TH gupsync-linux-check 1") && page.contains("\\-\\-self\\-test"), "{page}");
    let schema: serde_json::Value = serde_json::from_str(&alone("schema")?)?;
    ensure!(schema == document::schema::schema(), "{schema}");
    Ok(())
}
