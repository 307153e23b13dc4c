//! The results as JSON: rows, and what they were measured with.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use gupsync_bench::Row;
use serde::{Deserialize, Serialize};

use crate::artifacts::Tree;

/// The number of this schema. Fields may be added under it; none changes its meaning.
pub const SCHEMA: u32 = 1;

/// Everything that a comparison produced.
#[derive(Debug, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The commit of the checkout.
    pub revision: String,
    /// Whether the checkout differs from it.
    pub dirty: bool,
    /// QEMU's version.
    pub qemu: String,
    /// QEMU's accelerator.
    pub accel: String,
    /// The bootloader.
    pub loader: String,
    /// The results.
    pub rows: Vec<Row>,
}

/// The commit of a checkout, and whether the checkout differs from it.
pub fn revision(tree: &Tree) -> (String, bool) {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&tree.root).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) => (commit, !changes.is_empty()),
        _ => ("unknown".to_owned(), true),
    }
}

/// A file that will hold a document. Opened before anything is run: a run that cannot be written down is not begun.
pub struct Sink {
    path: PathBuf,
    file: File,
}

impl Sink {
    /// Opens `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("--json {}: cannot be written", path.display()))?;
        Ok(Sink { path: path.to_owned(), file })
    }

    /// Replaces what the file holds.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(mut self, document: &Document) -> Result<()> {
        let text = serde_json::to_string_pretty(document).expect("a document is plain data");
        self.file
            .set_len(0)
            .and_then(|()| writeln!(self.file, "{text}"))
            .with_context(|| format!("--json {}: cannot be written", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use gupsync_bench::Spec;
    use gupsync_bench::row::{Counts, MmName, Status};

    use super::*;

    /// Rows as they were first written, and the settings they are of: fields may be added, and nothing else may change.
    const OLD: [(&str, &str); 3] = [
        // All mms of `mixed`.
        (
            "workload=mixed policy=pending+targeted invlpgb=on backend=emulated threshold=3 mutator=outside \
             unshare_flush=series trim=every:8 isolated=1 switchers=1 flushers=1",
            r#"{"workload":"mixed","policy":"pending+targeted","mm":"total","invlpgb":"on","backend":"emulated","flush":"mixed","threshold":3,"mutator":"outside","seed":1,"cpus":16,"mm_cpus":4,"asids":4080,"invlpgb_max":0,"unshare_flush":"series","trim":"every:8","lazy":0,"stale":0,"preempted":0,"isolated":1,"switchers":1,"flushers":1,"hold":1,"eager":"off","naps":"off","tables":1,"gather":510,"sharers":3,"interleave":"off","migrate":"off","operations":"collapse,unshare,unmap,protect","ops":1000,"ops_failed":0,"flush_ipis":1396,"sync_ipis":45,"other_ipis":0,"syncs_asked":500,"syncs_skipped":456,"syncs_sent":44,"pending_before":2,"pending_after":153,"set":1250,"cleared":1099,"cleared_by_own_flush":1043,"cleared_by_sync":0,"cleared_by_other_flush":56,"cleared_by_other_ipi":0,"invlpgb_ops":620,"tlbsyncs":620,"emulation_nmis":9300,"hypercalls":204,"kicks":3010,"interrupts_taken":1441,"flush_acks":1396,"sync_acks":45,"other_acks":0,"foreign_interrupts":15,"departures":311,"walking_at_sync":45,"at_risk":45,"held_at_unlink":250,"walks":5120,"sync_violations":0,"stale_translations":0,"cycles_per_op":61234,"isolated_interrupts":0,"isolated_flush_requests":0,"isolated_sync_requests":0,"isolated_other_requests":0,"isolated_nmis":620,"isolated_gap":30123,"status":"ok","detail":null}"#,
        ),
        // One of its mms, which says nothing of isolated CPUs; a detector has fired.
        (
            "workload=mixed policy=never invlpgb=on backend=native threshold=3 seed=18446744073709551615 mm_cpus=3 \
             asids=1 invlpgb_max=3 isolated=1 hold=0 eager=on naps=on tables=4 gather=0 sharers=2 interleave=on \
             migrate=on operations=unmap",
            r#"{"workload":"mixed","policy":"never","mm":"transition","invlpgb":"on","backend":"native","flush":"mixed","threshold":3,"mutator":"inside","seed":18446744073709551615,"cpus":16,"mm_cpus":3,"asids":1,"invlpgb_max":3,"unshare_flush":"mainline","trim":"off","lazy":0,"stale":0,"preempted":0,"isolated":1,"switchers":0,"flushers":0,"hold":0,"eager":"on","naps":"on","tables":4,"gather":0,"sharers":2,"interleave":"on","migrate":"on","operations":"unmap","ops":7,"ops_failed":1,"flush_ipis":0,"sync_ipis":0,"other_ipis":0,"syncs_asked":7,"syncs_skipped":0,"syncs_sent":0,"pending_before":0,"pending_after":7,"set":7,"cleared":0,"cleared_by_own_flush":0,"cleared_by_sync":0,"cleared_by_other_flush":0,"cleared_by_other_ipi":0,"invlpgb_ops":7,"tlbsyncs":7,"emulation_nmis":0,"hypercalls":0,"kicks":0,"interrupts_taken":0,"flush_acks":0,"sync_acks":0,"other_acks":0,"foreign_interrupts":0,"departures":0,"walking_at_sync":1,"at_risk":1,"held_at_unlink":7,"walks":9,"sync_violations":1,"stale_translations":0,"cycles_per_op":512,"isolated_interrupts":null,"isolated_flush_requests":null,"isolated_sync_requests":null,"isolated_other_requests":null,"isolated_nmis":null,"isolated_gap":null,"status":"violation","detail":"CPU 3 was inside a reused table, ticket 7"}"#,
        ),
        // A machine that died.
        (
            "workload=piggyback-everyone policy=broadcast flush=hypercall lazy=3 stale=2 preempted=1",
            r#"{"workload":"piggyback-everyone","policy":"broadcast","mm":"total","invlpgb":"off","backend":"none","flush":"hypercall","threshold":4,"mutator":"inside","seed":1,"cpus":8,"mm_cpus":4,"asids":4080,"invlpgb_max":0,"unshare_flush":"mainline","trim":"off","lazy":3,"stale":2,"preempted":1,"isolated":0,"switchers":0,"flushers":0,"hold":1,"eager":"off","naps":"off","tables":1,"gather":510,"sharers":3,"interleave":"off","migrate":"off","operations":"collapse","ops":null,"ops_failed":null,"flush_ipis":null,"sync_ipis":null,"other_ipis":null,"syncs_asked":null,"syncs_skipped":null,"syncs_sent":null,"pending_before":null,"pending_after":null,"set":null,"cleared":null,"cleared_by_own_flush":null,"cleared_by_sync":null,"cleared_by_other_flush":null,"cleared_by_other_ipi":null,"invlpgb_ops":null,"tlbsyncs":null,"emulation_nmis":null,"hypercalls":null,"kicks":null,"interrupts_taken":null,"flush_acks":null,"sync_acks":null,"other_acks":null,"foreign_interrupts":null,"departures":null,"walking_at_sync":null,"at_risk":null,"held_at_unlink":null,"walks":null,"sync_violations":null,"stale_translations":null,"cycles_per_op":null,"isolated_interrupts":null,"isolated_flush_requests":null,"isolated_sync_requests":null,"isolated_other_requests":null,"isolated_nmis":null,"isolated_gap":null,"status":"died","detail":"QEMU was killed by signal 9"}"#,
        ),
    ];

    /// What a row has besides its settings.
    #[derive(Deserialize)]
    struct Rest {
        mm: MmName,
        cpus: usize,
        #[serde(flatten)]
        counts: Counts,
        status: Status,
        detail: Option<String>,
    }

    #[test]
    fn a_row_is_written_as_it_always_was() {
        for (words, old) in OLD {
            let spec: Spec = words.parse().expect("a spec");
            let Rest { mm, cpus, counts, status, detail } = serde_json::from_str(old).expect("a row");
            let row = Row { counts, detail, ..Row::new(&spec, spec.policy[0], mm, cpus, status) };
            let text = serde_json::to_string(&row).expect("a row is plain data");
            let mut fields = text.split(",\"");
            let missing = old.split(",\"").find(|old| !fields.any(|field| field == *old));
            assert_eq!(missing, None, "{text}");
            assert_eq!(serde_json::from_str::<Row>(&text).expect("a row"), row);
        }
    }

    #[test]
    fn a_row_with_a_value_that_there_is_not_is_refused() {
        let spec = Spec::default();
        let row = Row::without_counts(&spec, spec.policy[0], 8, Status::Died);
        let text = serde_json::to_string(&row).expect("a row is plain data");
        let odd = text.replace("\"flush\":\"ipi\"", "\"flush\":\"telepathy\"");
        let error = serde_json::from_str::<Row>(&odd).expect_err("there is no such flush");
        assert!(error.to_string().contains("`telepathy` is no way to flush"), "{error}");
    }
}
