//! `compare --with-linux`: the rows of a real Linux beside those of the policies, and whether `broadcast`, which is to be what
//! mainline does, costs what Linux costs.
//!
//! # Guarantee
//!
//! They are compared per operation: by what most operations of Linux cost, and what those of this kernel cost on average, to
//! the nearest whole call. What an mm costs once, when it comes to rest, is in neither.

use std::time::Duration;

use anyhow::Result;
use gupsync::policy::Broadcast;
use gupsync_bench::spec::{MmName, PolicyName, Status, Subject};
use gupsync_bench::{Row, Spec};

use super::count::{Counting, Linux};
use super::kernel::Kernel;
use super::{experiments, machine};
use crate::args::CompareArgs;
use crate::artifacts::Tree;
use crate::ears::Ears;
use crate::ending::demand;
use crate::qemu::Machine;

const BROADCAST: PolicyName = PolicyName::of::<Broadcast>();

/// The Linux that is to be counted beside a comparison, and what it is to do.
pub struct Beside {
    /// Which.
    pub kernel: Kernel,
    machine: Machine,
    specs: Vec<Spec>,
    timeout: Duration,
}

impl Beside {
    /// What `args` ask for, if they do.
    ///
    /// # Errors
    ///
    /// [`crate::ending::Usage`] if it cannot be told that; or why no kernel can be had.
    pub fn of(args: &CompareArgs, cpus: usize, boots: &[Vec<Spec>]) -> Result<Option<Self>> {
        let Some(file) = &args.with_linux else { return Ok(None) };
        let is_plain = |specs: &&Vec<Spec>| specs.iter().all(|spec| !spec.invlpgb.is_on());
        let specs = boots.iter().find(is_plain).cloned().unwrap_or_default();
        demand(!specs.is_empty(), || {
            "--with-linux: a real Linux has no INVLPGB in QEMU; leave out --invlpgb on".to_owned()
        })?;
        specs.iter().try_for_each(|spec| experiments::of(spec).map(drop))?;
        let machine = machine::machine(cpus, None, None, Vec::new());
        let timeout = args.machine.timeout();
        Ok(Some(Beside { kernel: Kernel::find(file.as_deref())?, machine, specs, timeout }))
    }

    /// Counts.
    ///
    /// # Errors
    ///
    /// If nothing could be booted.
    pub fn count(&self, tree: &Tree, ears: &Ears) -> Result<Vec<Counting>> {
        let subject = Subject::linux(&self.kernel.name());
        let (kernel, machine, timeout) = (&self.kernel, &self.machine, self.timeout);
        Linux { kernel, subject, machine, append: "", timeout }
            .count(tree, &self.specs, &[], ears)
            .map(|(counted, _)| counted)
    }
}

/// The rows, each of Linux's after those of the same workload without INVLPGB.
pub fn merge(mut rows: Vec<Row>, counted: &[Counting]) -> Vec<Row> {
    for Counting { row, .. } in counted {
        let is_its = |other: &Row| other.workload == row.workload && other.invlpgb == row.invlpgb;
        let at = rows.iter().rposition(is_its).map_or(rows.len(), |last| last + 1);
        rows.insert(at, row.clone());
    }
    rows
}

/// A line for each row of Linux: whether `broadcast` agrees with it. And whether all that can be told do.
pub fn agreement(rows: &[Row], counted: &[Counting]) -> (Vec<String>, bool) {
    let said: Vec<_> = counted.iter().map(|counting| one(rows, counting)).collect();
    let agree = said.iter().all(|(_, agrees)| *agrees != Some(false));
    (said.into_iter().map(|(line, _)| line).collect(), agree)
}

fn one(rows: &[Row], Counting { row, each }: &Counting) -> (String, Option<bool>) {
    let name = format!("{} and broadcast, {}", row.policy, row.workload);
    let Some((flush, sync, times)) = each else {
        return (format!("{name}: cannot be told: {}: {}", row.status, row.reason()), None);
    };
    let is_its = |other: &&Row| {
        other.policy == BROADCAST
            && other.mm == MmName::Total
            && other.workload == row.workload
            && other.invlpgb == row.invlpgb
            && other.status == Status::Ok
    };
    let Some((own_flush, own_sync)) = rows.iter().find(is_its).and_then(of_one) else {
        return (format!("{name}: cannot be told: there is no finished row of broadcast"), None);
    };
    let ops = row.counts.ops.unwrap_or_default();
    if (*flush, *sync) == (own_flush, own_sync) {
        let most = if *times == ops { String::new() } else { format!(", in {times} of Linux's {ops}") };
        return (format!("{name}: agree: flush {flush}, sync {sync} an operation{most}"), Some(true));
    }
    let others = row.counts.other_ipis.unwrap_or_default();
    let why = if *times * 2 < ops {
        format!("no cost is that of most operations; {others} calls came from elsewhere")
    } else {
        "Linux calls for this operation what broadcast does not, or not as often".to_owned()
    };
    let line = format!(
        "{name}: differ: flush {flush}, sync {sync} in {times} of Linux's {ops} operations, against flush {own_flush}, \
         sync {own_sync}: {why}"
    );
    (line, Some(false))
}

/// What an operation of a row costs: flush and sync calls.
fn of_one(row: &Row) -> Option<(u64, u64)> {
    let ops = row.counts.ops.filter(|ops| *ops > 0)?;
    let each = |calls: u64| (calls + ops / 2) / ops;
    Some((each(row.counts.flush_ipis?), each(row.counts.sync_ipis?)))
}

#[cfg(test)]
mod tests {
    use gupsync_bench::counts::Counts;

    use super::*;

    fn row(words: &str, calls: (u64, u64)) -> Row {
        let spec: Spec = words.parse().expect("a spec");
        let counts = Counts {
            ops: Some(100),
            flush_ipis: Some(calls.0),
            sync_ipis: Some(calls.1),
            other_ipis: Some(5),
            ..Counts::default()
        };
        Row { counts, ..Row::new(&spec, spec.policy[0], MmName::Total, 8, Status::Ok) }
    }

    fn linux(words: &str, each: (u64, u64, u64)) -> Counting {
        let row = Row { policy: Subject::linux("7.3.4"), ..row(words, (each.0 * 100, each.1 * 100)) };
        Counting { row, each: Some(each) }
    }

    #[test]
    fn rows_of_linux_stand_after_those_of_their_workload_without_invlpgb() {
        let words = ["workload=collapse policy=broadcast", "workload=unmap policy=broadcast"];
        let on = format!("{} invlpgb=on", words[0]);
        let rows = [words[0], words[1], &on].map(|words| row(words, (300, 700))).into();
        let merged = merge(rows, &[linux(words[0], (3, 7, 100)), linux(words[1], (3, 0, 100))]);
        let shown: Vec<_> =
            merged.iter().map(|row| format!("{} {} {}", row.workload, row.policy, row.invlpgb)).collect();
        let expected = [
            "collapse broadcast off",
            "collapse linux-7.3.4 off",
            "unmap broadcast off",
            "unmap linux-7.3.4 off",
            "collapse broadcast on",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_operation_costs_the_same_or_the_line_says_what_differs() {
        let words = "workload=collapse policy=broadcast";
        // Six more, once, when the mm came to rest.
        let rows = [row(words, (306, 700))];
        let (lines, agree) = agreement(&rows, &[linux(words, (3, 7, 98))]);
        let expected =
            "linux-7.3.4 and broadcast, collapse: agree: flush 3, sync 7 an operation, in 98 of Linux's 100";
        assert_eq!((lines, agree), (vec![expected.to_owned()], true));
        let (lines, agree) = agreement(&rows, &[linux(words, (6, 7, 100))]);
        let expected = "differ: flush 6, sync 7 in 100 of Linux's 100 operations, against flush 3, sync 7: ";
        assert!(lines[0].contains(expected) && !agree, "{lines:?}");
    }

    #[test]
    fn what_was_not_counted_agrees_with_nothing_and_is_no_difference() {
        let words = "workload=collapse policy=broadcast";
        let died = Counting {
            row: Row {
                status: Status::Died,
                detail: Some("a panic".to_owned()),
                ..linux(words, (0, 0, 0)).row
            },
            each: None,
        };
        let (lines, agree) = agreement(&[row(words, (300, 700))], &[died]);
        assert!(lines[0].ends_with("cannot be told: died: a panic") && agree, "{lines:?}");
        let (lines, _) = agreement(&[], &[linux(words, (3, 7, 100))]);
        assert!(lines[0].ends_with("cannot be told: there is no finished row of broadcast"), "{lines:?}");
    }
}
