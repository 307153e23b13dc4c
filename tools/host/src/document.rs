//! The results as JSON: rows, and what they were measured with.

pub mod schema;

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use gupsync_bench::Row;
use serde::{Deserialize, Serialize};

use crate::qemu::Accel;

/// The number of this schema. Fields may be added under it; none changes its meaning.
pub const SCHEMA: u32 = 1;

/// Everything that a comparison produced, or another command whose rows are of another kind.
#[derive(Debug, Serialize, Deserialize)]
pub struct Document<R = Row> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The commit of the checkout.
    pub revision: String,
    /// Whether the checkout differs from it.
    pub dirty: bool,
    /// QEMU's version, if it has booted a kernel.
    pub qemu: Option<String>,
    /// QEMU's accelerator.
    pub accel: String,
    /// The bootloader, if it has booted a kernel.
    pub loader: Option<String>,
    /// The Linux that was booted, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux: Option<String>,
    /// The command that produced it.
    #[serde(default)]
    pub command: String,
    /// When it had done so, in UTC.
    #[serde(default)]
    pub date: String,
    /// The results.
    pub rows: Vec<R>,
}

impl Document {
    /// Of rows that `command` has had of the simulated machine, in a checkout of this [`revision`].
    pub fn simulated(command: String, (revision, dirty): (String, bool), rows: Vec<Row>) -> Self {
        Document {
            schema: SCHEMA,
            revision,
            dirty,
            qemu: None,
            accel: Accel::Sim.to_string(),
            loader: None,
            linux: None,
            command,
            date: date(),
            rows,
        }
    }
}

impl<R> Document<R> {
    /// What the results come from, in a line.
    pub fn footer(&self) -> String {
        let commit: String = self.revision.chars().take(COMMIT).collect();
        let dirty = if self.dirty { "-dirty" } else { "" };
        let mut parts = vec![self.command.clone(), format!("{commit}{dirty}"), self.date.clone()];
        parts.extend(self.qemu.as_ref().map(|qemu| format!("QEMU {qemu}, {}", self.accel)));
        parts.extend(self.loader.as_ref().map(|loader| format!("booted by {loader}")));
        parts.extend(self.linux.clone());
        parts.join(" | ")
    }
}

/// So much of a commit's name is shown to people.
const COMMIT: usize = 12;

/// The command line of this process, as a shell reads it.
pub fn command() -> String {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let quoted = words.map(|word| shlex::try_quote(&word).map_or(word.clone(), |quoted| quoted.into_owned()));
    ["tools/gupsync".to_owned()].into_iter().chain(quoted).collect::<Vec<_>>().join(" ")
}

/// Now, to the second.
pub fn date() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Folders of the checkout from which something is built: a file there counts before git knows it.
const SOURCES: [&str; 4] = ["src/", "arch/", "tools/", ".cargo/"];

/// The commit of the checkout at `root`, and whether the checkout differs from it; `unknown` where `root` is not the top of
/// a repository, whatever repository it lies in. Results that lie in the checkout are no difference.
pub fn revision(root: &Path) -> (String, bool) {
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        // They would name another repository.
        git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
        let output = git.arg("-C").arg(root).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    };
    let is_top = |top: String| Path::new(&top).canonicalize().ok() == root.canonicalize().ok();
    if !git(&["rev-parse", "--show-toplevel"]).is_some_and(is_top) {
        return ("unknown".to_owned(), true);
    }
    let is_change = |line: &str| match line.strip_prefix("?? ") {
        Some(untracked) => SOURCES.iter().any(|folder| untracked.starts_with(folder)),
        None => true,
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) => (commit, changes.lines().any(is_change)),
        _ => ("unknown".to_owned(), true),
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
             unshare_flush=series trim=every:8 isolated=1 switchers=1 flushers=1 \
             gather=510",
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
            "workload=piggyback-everyone policy=broadcast flush=hypercall lazy=3 stale=2 preempted=1 gather=510",
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
    fn item_17_the_footer_says_what_was_run_of_which_revision_and_when() {
        let mut document: Document = Document {
            schema: SCHEMA,
            revision: "0123456789abcdef0123".to_owned(),
            dirty: false,
            qemu: Some("10.0".to_owned()),
            accel: "kvm".to_owned(),
            loader: Some("loader 1".to_owned()),
            linux: None,
            command: "tools/gupsync compare".to_owned(),
            date: "2026-01-02T03:04:05Z".to_owned(),
            rows: Vec::new(),
        };
        let footer =
            "tools/gupsync compare | 0123456789ab | 2026-01-02T03:04:05Z | QEMU 10.0, kvm | booted by loader 1";
        assert_eq!(document.footer(), footer);
        document.dirty = true;
        assert!(document.footer().contains(" | 0123456789ab-dirty | "), "{}", document.footer());
    }

    /// A repository with one commit, and the commit.
    fn repository() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let git = |args: &[&str]| {
            let name = ["-c", "user.name=t", "-c", "user.email=t@t"];
            let output = Command::new("git").current_dir(&folder).args(name).args(args).output().expect("git");
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        git(&["init", "--quiet"]);
        std::fs::create_dir(folder.path().join("src")).expect("a folder");
        std::fs::write(folder.path().join("src/lib.rs"), "").expect("a file");
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "one"]);
        let commit = git(&["rev-parse", "HEAD"]);
        (folder, commit)
    }

    #[test]
    fn item_12_results_in_the_checkout_do_not_make_it_dirty() {
        let (folder, commit) = repository();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).expect("a file");
        assert_eq!(revision(folder.path()), (commit.clone(), false));
        write("rows.json", "{}");
        assert_eq!(revision(folder.path()), (commit.clone(), false));
        write("src/new.rs", "");
        assert_eq!(revision(folder.path()), (commit.clone(), true));
        std::fs::remove_file(folder.path().join("src/new.rs")).expect("it was there");
        write("src/lib.rs", "// changed");
        assert_eq!(revision(folder.path()), (commit, true));
    }

    #[test]
    fn item_12_a_tree_inside_another_repository_has_no_revision() {
        let (folder, _) = repository();
        let tarball = folder.path().join("gupsync");
        std::fs::create_dir(&tarball).expect("a folder");
        assert_eq!(revision(&tarball), ("unknown".to_owned(), true));
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
