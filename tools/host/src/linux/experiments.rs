//! What Linux is to do for a [`Spec`]: the same operation, with the CPUs in the same places.

use gupsync::ops::mthp::PMD_ORDER;
use gupsync_bench::Spec;
use gupsync_bench::spec::{Mutator, SETTINGS, Workload};
use gupsync_guest::{Experiment, Operation, Sibling};

use crate::ending::{Usage, demand};

/// Settings that Linux is told, or that say only how this kernel does the same: which walkers are held, and what is drawn.
const FREE: [&str; 19] = [
    "workload", "policy", "invlpgb", "backend", "mutator", "seed", "mm_cpus", "lazy", "stale", "hold", "naps",
    "visits", "eager", "tables", "populate", "pages", "order", "sharers", "ops",
];
/// So many processes share what is unshared: each operation is that of the last but one.
pub const SHARERS: usize = 2;
/// How many pages of each table an unmap has, unless all are populated, as in this kernel.
const PAGES: usize = 8;
/// All of a table's.
const ALL_PAGES: usize = 512;

/// What `spec` asks of Linux.
///
/// # Errors
///
/// One line that names the setting that Linux cannot be told, and the remedy.
pub fn of(spec: &Spec) -> Result<Experiment, Usage> {
    let usual = Spec { workload: spec.workload, ..Spec::default() };
    for setting in SETTINGS.iter().filter(|setting| !FREE.contains(&setting.key)) {
        let value = (setting.get)(spec);
        demand(value == (setting.get)(&usual), || {
            let flag = setting.key.replace('_', "-");
            format!("--{flag} {value}: a real Linux cannot be told that; leave it out")
        })?;
    }
    demand(!spec.invlpgb.is_on(), || {
        "--invlpgb on: a real Linux takes it from CPUID, and QEMU has none; use --invlpgb off".to_owned()
    })?;
    check_mutator(spec)?;
    let tables = spec.tables as usize;
    let operation = match spec.workload {
        Workload::Collapse if spec.mutator == Mutator::Outside => Operation::Khugepaged { order: spec.order },
        Workload::Collapse => Operation::Collapse,
        Workload::Unshare => Operation::Unshare { tables },
        Workload::Unmap => {
            Operation::Unmap { tables, pages: if spec.populate.is_on() { ALL_PAGES } else { PAGES } }
        }
        Workload::Protect => Operation::Protect { pages: spec.pages as usize },
        other => {
            let remedy = "collapse, unshare, unmap and protect are counted there";
            return Err(Usage(format!(
                "--workload {other}: a real Linux does not do that by itself; {remedy}"
            )));
        }
    };
    let member = match (spec.naps.is_on(), spec.visits.is_on(), spec.eager.is_on()) {
        (true, ..) => Sibling::Napping,
        (_, true, _) => Sibling::Visiting,
        (.., true) => Sibling::Walking,
        _ => Sibling::Spinning,
    };
    let places = [(member, spec.mm_cpus - 1), (Sibling::Sleeping, spec.lazy), (Sibling::Stale, spec.stale)];
    let siblings = places.into_iter().flat_map(|(sibling, count)| vec![sibling; count]).collect();
    Ok(Experiment { operation, ops: spec.ops, siblings })
}

/// The one mutator of Linux that is outside of an mm, and makes mTHPs, is khugepaged.
fn check_mutator(spec: &Spec) -> Result<(), Usage> {
    if spec.mutator == Mutator::Inside {
        return demand(spec.order == PMD_ORDER, || {
            format!(
                "--order {}: MADV_COLLAPSE makes huge pages alone (collapse_possible_orders()), and khugepaged mTHPs; \
                 use --mutator outside",
                spec.order
            )
        });
    }
    demand(spec.workload == Workload::Collapse, || {
        format!(
            "--mutator outside: khugepaged, which is outside, does no {}; use --workload collapse or --mutator inside",
            spec.workload
        )
    })?;
    for (flag, toggle) in [("naps", spec.naps), ("visits", spec.visits)] {
        demand(!toggle.is_on(), || {
            format!(
                "--{flag} on: a thread of the mm watches khugepaged and stays; leave out --{flag} or --mutator outside"
            )
        })?;
    }
    Ok(())
}

/// How many CPUs a spec takes on Linux.
pub fn cpus(spec: &Spec) -> usize {
    spec.mm_cpus + spec.lazy + spec.stale + usize::from(spec.mutator == Mutator::Outside)
}

/// Pages given back by `MADV_DONTNEED`, as many as a protect of `spec` has: no workload of this kernel does that.
///
/// # Errors
///
/// As [`of`].
pub fn discard(spec: &Spec) -> Result<Experiment, Usage> {
    demand(spec.mutator == Mutator::Inside, || {
        "--dontneed: is done from inside; leave it out, or --mutator outside".to_owned()
    })?;
    let protect = of(&Spec { workload: Workload::Protect, ..spec.clone() })?;
    Ok(Experiment { operation: Operation::Discard { pages: spec.pages as usize }, ..protect })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(words: &str) -> Result<Experiment, String> {
        of(&words.parse().expect("a spec")).map_err(|usage| usage.0)
    }

    #[test]
    fn the_cpus_are_in_the_same_places() {
        let places = |words| experiment(words).expect("it can be told").siblings;
        use Sibling::{Napping, Sleeping, Spinning, Stale, Visiting, Walking};
        assert_eq!(places("mm_cpus=1"), []);
        assert_eq!(places("mm_cpus=3"), [Spinning; 2]);
        assert_eq!(places("mm_cpus=3 eager=on"), [Walking; 2]);
        assert_eq!(places("mm_cpus=2 naps=on"), [Napping]);
        assert_eq!(places("mm_cpus=2 visits=on"), [Visiting]);
        assert_eq!(places("mm_cpus=2 lazy=1 stale=2"), [Spinning, Sleeping, Stale, Stale]);
    }

    #[test]
    fn the_operation_is_of_the_same_size() {
        let operation = |words| experiment(words).expect("it can be told").operation;
        assert_eq!(operation("workload=collapse"), Operation::Collapse);
        assert_eq!(operation("mutator=outside order=4"), Operation::Khugepaged { order: 4 });
        assert_eq!(operation("workload=unshare tables=2"), Operation::Unshare { tables: 2 });
        assert_eq!(operation("workload=unmap tables=32"), Operation::Unmap { tables: 32, pages: 8 });
        assert_eq!(operation("workload=unmap populate=on"), Operation::Unmap { tables: 1, pages: 512 });
        assert_eq!(operation("workload=protect pages=33"), Operation::Protect { pages: 33 });
        let spec = "pages=3 mm_cpus=2 ops=7".parse().expect("a spec");
        let expected = Experiment {
            operation: Operation::Discard { pages: 3 },
            ops: 7,
            siblings: vec![Sibling::Spinning],
        };
        assert_eq!(discard(&spec).expect("it can be told"), expected);
        let spec = "mutator=outside".parse().expect("a spec");
        assert!(discard(&spec).expect_err("no").0.starts_with("--dontneed: "));
    }

    #[test]
    fn what_linux_cannot_be_told_is_refused_by_its_flag() {
        let refusals = [
            ("workload=mixed", "--workload mixed: "),
            ("hotplug=1", "--hotplug 1: "),
            ("unshare_flush=series workload=unshare", "--unshare-flush series: "),
            ("order=4", "--order 4: "),
            ("mutator=outside order=4 batch=2", "--batch 2: "),
            ("mutator=outside workload=unmap", "--mutator outside: "),
            ("mutator=outside naps=on", "--naps on: "),
            ("invlpgb=on", "--invlpgb on: "),
        ];
        for (words, flag) in refusals {
            let error = experiment(words).expect_err(words);
            assert!(error.starts_with(flag), "{error}");
        }
        assert!(experiment("hold=3 seed=7 sharers=4 policy=never").is_ok(), "what changes no count is taken");
    }
}
