//! What a kernel records that was built to: what its rows have counted. And a kernel that was not has nothing of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use gupsync::event::{Cause, Event};
use gupsync_bench::record::{Recorded, What};
use gupsync_host::artifacts::Tree;
use gupsync_host::boot::{self, Traced};
use gupsync_host::image::Bootloader;
use libtest_mimic::Trial;
use object::{Object, ObjectSymbol};

use crate::{PATIENCE, judge, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![
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
