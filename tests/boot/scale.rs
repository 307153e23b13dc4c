//! `scale`: what it says of machines that there are no kernels for here.

use anyhow::{Context, Result, ensure};
use gupsync_bench::Row;
use gupsync_host::document::Document;
use libtest_mimic::Trial;

use crate::cli::gupsync;
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("scale::a_broadcast_grows_with_the_machine_and_nothing_else_does", grows),
        trial("scale::each_candidate_of_an_mthp_is_a_sync_unless_they_are_batched", candidates),
        trial("scale::the_same_command_gives_the_same_rows", repeats),
        trial("scale::what_has_no_room_or_no_meaning_is_refused", refuses),
    ]
}

/// The rows of `scale` with these arguments.
fn rows(args: &str) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rows.json");
    let output = gupsync().arg("scale").args(args.split_whitespace()).arg("--json").arg(&file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Document = serde_json::from_slice(&std::fs::read(&file)?)?;
    Ok(document.rows)
}

const OPS: u64 = 16;

fn grows() -> Result<()> {
    let rows = rows(&format!("--cpus 1,8,64,1024,8192 --mm-cpus 4 --ops {OPS}"))?;
    ensure!(rows.len() == 2 * 5 * 10, "{} rows", rows.len());
    for row in &rows {
        let others = |cpus: usize| OPS * (cpus as u64 - 1);
        let (machine, mm, is_global) =
            (others(row.cpus), others(row.mm_cpus), row.invlpgb.is_on() && row.mm_cpus == 4);
        let expected = match &*row.policy {
            "broadcast" | "broadcast-per-table" => machine,
            "property" if row.invlpgb.is_on() => machine,
            "gather" if is_global => machine,
            "mask" => mm,
            "gather+mask" | "pending" if is_global => mm,
            // One walker is held in one operation of four.
            "targeted" | "pending+targeted" if is_global => OPS / 4,
            _ => 0,
        };
        ensure!(row.counts.sync_ipis == Some(expected), "{expected} expected in {row:#?}");
    }
    Ok(())
}

fn candidates() -> Result<()> {
    for (words, syncs) in [("--order 4", 32), ("--order 2", 128), ("--order 4 --batch 32", 1)] {
        let words = format!("{words} --cpus 64 --mm-cpus 4 --ops {OPS} --policy broadcast,pending");
        for row in rows(&words)? {
            let targets = match (&*row.policy, row.invlpgb.is_on()) {
                ("broadcast", _) => 63,
                (_, true) => 3,
                (_, false) => 0,
            };
            ensure!(row.counts.sync_ipis == Some(OPS * syncs * targets), "{words}: {row:#?}");
        }
    }
    Ok(())
}

fn repeats() -> Result<()> {
    let words = "--workload mixed --cpus 32 --threshold 3 --switchers 2 --flushers 1 --ops 12 --policy broadcast,pending";
    let [one, other] = [rows(words)?, rows(words)?];
    ensure!(one == other, "{one:#?}\nthen\n{other:#?}");
    Ok(())
}

fn refuses() -> Result<()> {
    for (words, fault) in [
        ("--cpus 1 --workload mixed", "need 13 CPUs, there are 1"),
        ("--cpus 9000", "use a number from 1 to 8192"),
        ("--mm-cpus some", "use a number from 1 to 8192, or `all`"),
        ("--order 9,10", "use 2 to 9"),
        ("--rate fast", "use a number from 0 up"),
    ] {
        let output =
            gupsync().arg("scale").args(words.split_whitespace()).output().context("the host program")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2) && said.contains(fault), "{words}: {said}");
    }
    Ok(())
}
