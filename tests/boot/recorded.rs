//! What a kernel records that was built to: what its rows have counted. And a kernel that was not has nothing of it.
//!
//! `--trace` writes what Perfetto's own messages, as its project publishes them, decode with no field unknown.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use gupsync::event::{Cause, Event};
use gupsync_bench::record::{Recorded, What};
use gupsync_host::artifacts::Tree;
use gupsync_host::boot::{self, Traced};
use gupsync_host::document::Document;
use gupsync_host::image::Bootloader;
use gupsync_host::there;
use libtest_mimic::Trial;
use object::{Object, ObjectSymbol};

use crate::cli::{gupsync, said};
use crate::needed::trial_that_needs;
use crate::{PATIENCE, judge, machine, spec, trial};

pub fn trials(is_list: bool) -> Vec<Trial> {
    let protoc = || there::program("protoc", "--version", "protobuf-compiler");
    let needed = if is_list { Ok(()) } else { protoc().map(drop).map_err(|lack| format!("protoc: {lack:#}")) };
    vec![
        trial_that_needs(&needed, "recorded::a_trace_is_of_the_formats_own_messages", is_of_the_format),
        trial("recorded::the_kernel_records_what_it_counts", records),
        trial("recorded::a_kernel_that_does_not_record_has_no_code_for_it", costs_nothing),
    ]
}

const SPECS: [&str; 3] = [
    "policy=broadcast,pending ops=8",
    "policy=pending invlpgb=on ops=8 sample=walk",
    "workload=unshare policy=pending ops=8",
];

fn records() -> Result<()> {
    let tree = Tree::own().traced(true);
    let outcome = boot::run(&tree, &Bootloader::Direct, &machine(8), &SPECS.map(spec), PATIENCE, |_| ())?;
    ensure!((outcome.rows.len(), outcome.traces.len()) == (4, 4), "{outcome:?}");
    for (row, Traced { policy, recording, .. }) in outcome.rows.iter().zip(&outcome.traces) {
        judge(row)?;
        let recorded = &recording.recorded;
        ensure!(row.policy == *policy && recording.lost == 0 && recording.ticks_per_ms > 0, "{row:?}");
        let count =
            |is: &dyn Fn(&What) -> bool| Some(recorded.iter().filter(|one| is(&one.what)).count() as u64);
        let noted = |event| count(&|what| matches!(what, What::Noted(noted, ..) if *noted == event));
        let c = &row.counts;
        for (name, recorded, counted) in [
            ("flush IPIs", count(&|what| matches!(what, What::Sent(Cause::Flush, ..))), c.flush_ipis),
            ("sync IPIs", count(&|what| matches!(what, What::Sent(Cause::Sync, ..))), c.sync_ipis),
            ("handlers", count(&|what| matches!(what, What::Began(_))), c.interrupts_taken),
            ("unlinks", noted(Event::Set), c.set),
            ("syncs skipped", noted(Event::SyncSkipped), c.syncs_skipped),
            ("INVLPGB", noted(Event::Invlpgb), c.invlpgb_ops),
            ("held", noted(Event::HeldAtUnlink), c.held_at_unlink),
        ] {
            ensure!(
                recorded == counted,
                "{} {policy} {name}: {recorded:?} recorded, {counted:?}",
                row.workload
            );
        }
        ensure!(count(&|what| matches!(what, What::Began(_))) == count(&|what| matches!(what, What::Ended(_))));
        are_taken(recorded)?;
    }
    Ok(())
}

/// Every request is followed by a handler of its cause on the CPU that it was sent to.
fn are_taken(recorded: &[Recorded]) -> Result<()> {
    let mut under_way: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for one in recorded {
        match one.what {
            What::Sent(cause, to, _) => *under_way.entry((to.0, cause.name())).or_default() += 1,
            What::Began(cause) => {
                let sent = under_way.remove(&(one.cpu.0, cause.name()));
                ensure!(sent.is_some(), "{one:?}: nothing was sent to it");
            }
            What::Ended(_) | What::Noted(..) => {}
        }
    }
    ensure!(under_way.is_empty(), "{under_way:?} were not taken");
    Ok(())
}

fn costs_nothing() -> Result<()> {
    let has = |tree: Tree| -> Result<bool> {
        let file = std::fs::read(tree.kernel()?)?;
        let file = object::File::parse(&*file)?;
        let mut names = file.symbols().filter_map(|symbol| symbol.name().ok()).peekable();
        names.peek().context("a kernel without symbols")?;
        Ok(names
            .any(|name| format!("{:#}", rustc_demangle::demangle(name)).contains("gupsync_kernel::trace::")))
    };
    ensure!(has(Tree::own().traced(true))?, "one that records shows it by its symbols");
    ensure!(!has(Tree::own())?, "there is something of it in a kernel that does not");
    Ok(())
}

/// A package with Perfetto's messages, of which nothing is built.
const MESSAGES: (&str, &str) = ("tracing-perfetto-sdk-schema", "0.13.1");

/// The folder with Perfetto's messages.
fn messages(work: &Path) -> Result<PathBuf> {
    let (name, version) = MESSAGES;
    let manifest = work.join("Cargo.toml");
    let package = "[package]\nname = \"messages\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(&manifest, format!("{package}[dependencies]\n{name} = \"={version}\"\n"))?;
    std::fs::create_dir(work.join("src"))?;
    std::fs::write(work.join("src/lib.rs"), "")?;
    let metadata = MetadataCommand::new().manifest_path(manifest).exec().context(name)?;
    let package = metadata.packages.iter().find(|package| package.name == name).context(name)?;
    Ok(package.manifest_path.with_file_name("protos").into())
}

fn is_of_the_format() -> Result<()> {
    let work = tempfile::tempdir()?;
    let messages = messages(work.path())?;
    for accel in ["sim", "tcg-single"] {
        let [trace, json] = ["trace", "json"].map(|name| work.path().join(name));
        let output = gupsync()
            .args(["compare", "--ops", "8", "--policy", "broadcast,pending", "--accel", accel, "--trace"])
            .args([&trace, Path::new("--json"), &json])
            .output()?;
        ensure!(output.status.success(), "{}", said(&output));
        let decoded = Command::new("protoc")
            .arg("--proto_path")
            .arg(&messages)
            .args(["--decode=perfetto.protos.Trace", "perfetto_trace.proto"])
            .stdin(File::open(&trace)?)
            .output()?;
        ensure!(decoded.status.success(), "{}", said(&decoded));
        let text = String::from_utf8(decoded.stdout)?;
        // A field of no message is shown by its number.
        let is_unknown = |line: &&str| line.trim_start().starts_with(|first: char| first.is_ascii_digit());
        ensure!(text.lines().find(is_unknown).is_none(), "{:?} is no field", text.lines().find(is_unknown));
        let document: Document = serde_json::from_slice(&std::fs::read(&json)?)?;
        let sent: u64 = document.rows.iter().filter_map(|row| row.counts.sync_ipis).sum();
        let shown = text.lines().filter(|line| line.trim() == "name: \"send sync\"").count() as u64;
        ensure!(shown == sent && sent > 0, "{accel}: {shown} syncs sent are shown, of {sent}");
        for part in ["type: TYPE_SLICE_BEGIN", "type: TYPE_SLICE_END", "terminating_flow_ids", "parent_uuid"] {
            ensure!(text.contains(part), "{accel}: there is no {part}");
        }
    }
    Ok(())
}
