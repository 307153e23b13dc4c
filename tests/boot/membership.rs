//! Which CPUs are interrupted, exactly as in Linux: those that run the mm, that have it loaded lazily, and that have
//! run it and have another one loaded.
//!
//! N CPUs; T of them are what the case is about: the mutator's and T-1 others. A *round* is an interrupt to each of those
//! T-1.

use anyhow::{Result, ensure};
use gupsync_bench::{Row, Spec};
use libtest_mimic::Trial;

use crate::{boots, judge, judged, machine, spec, trial};

/// N and T.
const SIZES: [(u64, u64); 4] = [(2, 2), (4, 2), (8, 4), (16, 16)];

/// What the T-1 other CPUs do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// They run the mm.
    Run,
    /// They run the mm, and the mutator does not.
    RunWithoutTheMutator,
    /// They have it loaded, lazily.
    Lazy,
    /// They have run it, and have another one loaded.
    Stale,
    /// They have never seen it.
    Absent,
}

/// One comparison, and what it must show.
pub struct Case {
    others: Others,
    words: &'static str,
    ops: u64,
    /// Rounds of flush interrupts.
    flushes: u64,
    /// Rounds of them that found another mm loaded.
    foreign: u64,
    /// Syncs that `broadcast` does; here the others do none.
    syncs: u64,
}

/// The others run the mm.
pub const fn run(words: &'static str, ops: u64, flushes: u64, syncs: u64) -> Case {
    Case { others: Others::Run, words, ops, flushes, foreign: 0, syncs }
}

/// They have it loaded, lazily.
pub const fn lazy(words: &'static str, ops: u64, flushes: u64) -> Case {
    // The second flush finds the kernel's tables loaded.
    Case { others: Others::Lazy, words, ops, flushes, foreign: flushes.saturating_sub(1), syncs: 0 }
}

/// They have run it, and have another one loaded.
pub const fn stale(words: &'static str, ops: u64, flushes: u64) -> Case {
    Case { others: Others::Stale, words, ops, flushes, foreign: flushes, syncs: 0 }
}

/// They run it, and have another one loaded by the time of each operation.
pub const fn elsewhere(words: &'static str, ops: u64, flushes: u64, syncs: u64) -> Case {
    Case { foreign: flushes, ..run(words, ops, flushes, syncs) }
}

/// They have never seen it.
pub const fn absent(words: &'static str, ops: u64, syncs: u64) -> Case {
    Case { others: Others::Absent, words, ops, flushes: 0, foreign: 0, syncs }
}

/// By test.
const CASES: &[(&str, &[Case])] = &[
    ("collapse_flushes_and_mainline_syncs", &[run("workload=collapse", 12, 12, 12)]),
    (
        "protect_flushes_and_nobody_syncs",
        &[
            run("workload=protect", 12, 12, 0),
            run("workload=protect pages=33", 12, 12, 0),
            run("workload=protect pages=33 huge=on", 12, 12, 0),
        ],
    ),
    ("unmap_flushes_and_nobody_syncs", &[run("workload=unmap", 12, 12, 0)]),
    ("unshare_flushes_and_mainline_syncs_once", &[run("workload=unshare", 12, 12, 12)]),
    ("unshare_on_one_cpu_flushes_nobody", &[absent("workload=unshare", 12, 12)]),
    // The first flush makes them drop the mm, the second finds that they have, and they leave.
    (
        "lazy_cpus_are_flushed_twice_after_tables_were_freed",
        &[
            lazy("workload=collapse", 1, 1),
            lazy("workload=collapse", 2, 2),
            lazy("workload=collapse", 3, 2),
            lazy("workload=collapse", 10, 2),
            lazy("workload=unmap", 1, 1),
            lazy("workload=unmap", 2, 2),
            lazy("workload=unmap", 10, 2),
        ],
    ),
    (
        "lazy_cpus_are_spared_plain_flushes",
        &[
            lazy("workload=protect", 10, 0),
            lazy("workload=protect trim=every:1", 10, 0),
            lazy("workload=unshare", 10, 0),
        ],
    ),
    (
        "lazy_cpus_are_woken_by_the_series_unshare",
        &[
            lazy("workload=unshare unshare_flush=series", 1, 1),
            lazy("workload=unshare unshare_flush=series", 2, 2),
            lazy("workload=unshare unshare_flush=series", 10, 2),
        ],
    ),
    // The first flush finds another mm loaded, and they leave.
    (
        "stale_cpus_are_flushed_once_after_tables_were_freed",
        &[
            stale("workload=collapse", 1, 1),
            stale("workload=collapse", 10, 1),
            stale("workload=unmap", 10, 1),
            stale("workload=unshare unshare_flush=series", 10, 1),
        ],
    ),
    (
        "stale_cpus_are_spared_plain_flushes",
        &[stale("workload=protect", 10, 0), stale("workload=unshare", 10, 0)],
    ),
    // An mm on one CPU comes to rest after one operation, which has its plain flush: counting begins with the second.
    (
        "stale_cpus_are_trimmed_by_one_plain_flush_in_so_many",
        &[
            stale("workload=protect trim=every:1", 1, 1),
            stale("workload=protect trim=every:5", 3, 0),
            stale("workload=protect trim=every:5", 4, 1),
            stale("workload=protect trim=every:5", 20, 1),
            stale("workload=unshare trim=every:5", 3, 0),
            stale("workload=unshare trim=every:5", 4, 1),
        ],
    ),
    // They nap between two operations: lazy anew each time, and un-lazied by the flush of each.
    (
        "cpus_that_nap_are_lazy_anew_in_each_operation",
        &[
            run("workload=collapse naps=on hold=0", 12, 12, 12),
            run("workload=unmap naps=on hold=0", 12, 12, 0),
            run("workload=protect naps=on hold=0", 12, 0, 0),
            run("workload=unshare naps=on hold=0", 12, 0, 12),
            run("workload=unshare naps=on hold=0 unshare_flush=series", 12, 12, 12),
        ],
    ),
    // They walk the mm, and have another one loaded by the time of each operation.
    (
        "cpus_that_visit_another_mm_are_stale_anew_in_each_operation",
        &[
            elsewhere("workload=collapse visits=on hold=0", 12, 12, 12),
            elsewhere("workload=unmap visits=on hold=0", 12, 12, 0),
            run("workload=protect visits=on hold=0", 12, 0, 0),
            run("workload=unshare visits=on hold=0", 12, 0, 12),
        ],
    ),
    // 64 MiB are more pages than Linux's gather holds, once; 1,024 tables are more than two of its batches.
    (
        "a_gather_holds_what_linux_s_holds",
        &[
            run("workload=unmap hold=0 tables=18 populate=on", 2, 2, 0),
            run("workload=unmap hold=0 tables=19 populate=on", 2, 2 * 2, 0),
            run("workload=unmap hold=0 tables=32 populate=on", 2, 2 * 2, 0),
            run("workload=unmap hold=0 tables=509", 2, 2, 0),
            run("workload=unmap hold=0 tables=510", 2, 2 * 2, 0),
            run("workload=unmap hold=0 tables=1024", 2, 2 * 3, 0),
        ],
    ),
    // Each range has 8 pages and a table. A gather full of pages flushes, and goes on; then tables go, as many at a
    // time as their batch holds, with a flush each time. No walker is held: one that was inside a walk when
    // the first flush came would have left it when a table goes.
    (
        "a_gather_flushes_as_often_as_it_fills",
        &[
            run("workload=unmap hold=0 gather=8", 5, 5 * (1 + 1), 0),
            run("workload=unmap hold=0 gather=4", 5, 5 * (2 + 1), 0),
            // 16 pages: 3 times 5, and one left that goes with the tables.
            run("workload=unmap hold=0 gather=5 tables=2", 5, 5 * (3 + 1), 0),
            run("workload=unmap hold=0 gather=3 tables=4", 5, 5 * (10 + 1), 0),
            run("workload=unmap hold=0 gather=1 tables=2 gather_tables=1", 5, 5 * (16 + 2), 0),
        ],
    ),
    (
        "lazy_cpus_are_spared_what_a_gather_flushes_of_pages",
        &[
            // Two of its flushes are for tables.
            lazy("workload=unmap gather=3 tables=4 gather_tables=2", 1, 2),
            lazy("workload=unmap gather=3 tables=4 gather_tables=2", 2, 2),
            lazy("workload=unmap gather=5 tables=2", 1, 1),
            lazy("workload=unmap gather=0", 1, 1),
            lazy("workload=unmap gather=0 tables=3", 1, 2),
        ],
    ),
    // 8 places need no memory, so each range fills them once; then each table goes by itself, and is freed by RCU.
    (
        "without_memory_for_a_gather_every_table_is_flushed_and_none_is_synced",
        &[
            run("workload=unmap hold=0 gather=0", 6, 6 * (1 + 1), 0),
            run("workload=unmap hold=0 gather=0 tables=3", 6, 6 * (3 + 3), 0),
            absent("workload=unmap gather=0 tables=2", 6, 0),
        ],
    ),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = of_cases("membership", CASES);
    trials.push(trial("membership::invlpgb_takes_as_many_pages_as_it_can", invlpgb));
    trials
}

impl Case {
    /// The same with a mutator that has the mm not loaded: the mm runs on the T-1 others.
    pub const fn with_mutator_outside(self) -> Case {
        Case { others: Others::RunWithoutTheMutator, ..self }
    }

    fn spec(&self, t: u64) -> Spec {
        let others = match self.others {
            Others::Run => format!("mm_cpus={t}"),
            Others::RunWithoutTheMutator => format!("mm_cpus={} mutator=outside", t - 1),
            Others::Lazy => format!("mm_cpus=1 lazy={}", t - 1),
            Others::Stale => format!("mm_cpus=1 stale={}", t - 1),
            Others::Absent => "mm_cpus=1".to_owned(),
        };
        // A `broadcast` sync makes CPUs leave too: the other policies show what flushes find of lazy and stale ones.
        let broadcast = if matches!(self.others, Others::Lazy | Others::Stale) { "" } else { "broadcast," };
        let Case { words, ops, .. } = self;
        spec(&format!("{words} ops={ops} {others} policy={broadcast}property,gather,pending"))
    }

    fn check(&self, row: &Row, n: u64, t: u64) -> Result<()> {
        let is_broadcast = *row.policy == *"broadcast";
        let (round, sync) = (t - 1, if is_broadcast { self.syncs * (n - 1) } else { 0 });
        let (flush, foreign) = (self.flushes * round, self.foreign * round);
        let counts = &row.counts;
        ensure!(counts.ops == Some(self.ops), "{row:#?}");
        ensure!(counts.flush_ipis == Some(flush), "flush_ipis: {flush} expected in {row:#?}");
        ensure!(counts.sync_ipis == Some(sync), "sync_ipis: {sync} expected in {row:#?}");
        ensure!(
            is_broadcast || counts.foreign_interrupts == Some(foreign),
            "foreign_interrupts: {foreign} expected in {row:#?}"
        );
        Ok(())
    }
}

/// A test of `module` for each of `cases`.
pub fn of_cases(module: &str, cases: &'static [(&str, &[Case])]) -> Vec<Trial> {
    cases.iter().map(|(test, cases)| trial(&format!("{module}::{test}"), || each_size(cases))).collect()
}

/// Each case in each size.
fn each_size(cases: &[Case]) -> Result<()> {
    let asked = SIZES.map(|(n, t)| (machine(n as usize), cases.iter().map(|case| case.spec(t)).collect()));
    for (outcome, (n, t)) in boots(&asked)?.into_iter().zip(SIZES) {
        let mut rows = outcome.rows.iter();
        for case in cases {
            for row in rows.by_ref().take(case.spec(t).policy.len()) {
                judge(row).and_then(|()| case.check(row, n, t))?;
            }
        }
        ensure!(rows.next().is_none());
    }
    Ok(())
}

/// How many INVLPGBs a flush takes: no interrupt shows that.
fn invlpgb() -> Result<()> {
    let ops = 12;
    // 512 pages are not flushed one by one: above 33, everything is dropped at once.
    let cases = [
        ("workload=protect invlpgb_max=1", 8, 1),
        ("workload=protect invlpgb_max=3", 3, 1),
        ("workload=protect invlpgb_max=7", 2, 1),
        ("workload=protect invlpgb_max=8", 1, 1),
        ("workload=protect", 1, 1),
        ("workload=protect pages=32", 4, 1),
        ("workload=protect pages=33", 5, 1),
        ("workload=protect pages=34 invlpgb_max=1", 1, 1),
        ("workload=protect pages=33 huge=on invlpgb_max=7", 5, 1),
        ("workload=protect pages=9 huge=on", 2, 1),
        ("workload=protect pages=1 huge=on invlpgb_max=1", 1, 1),
        ("workload=protect pages=34 huge=on invlpgb_max=1", 1, 1),
        ("workload=collapse invlpgb_max=1", 1, 1),
        ("workload=unmap gather=4 invlpgb_max=1", 3, 3),
    ];
    let specs = cases.map(|(words, ..)| spec(&format!("{words} policy=pending invlpgb=on ops={ops}")));
    let rows = judged(&machine(8), &specs)?;
    for (row, (_, invlpgbs, tlbsyncs)) in rows.iter().zip(cases) {
        ensure!(
            row.counts.invlpgb_ops == Some(ops * invlpgbs),
            "{invlpgbs} INVLPGBs each expected in {row:#?}"
        );
        ensure!(row.counts.tlbsyncs == Some(ops * tlbsyncs), "{tlbsyncs} TLBSYNCs each expected in {row:#?}");
        ensure!(row.counts.flush_ipis == Some(0), "{row:#?}");
    }
    ensure!(rows.len() == cases.len());
    Ok(())
}
