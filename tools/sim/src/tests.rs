use gupsync::event::Cause;

use super::*;

fn rows(words: &str, cpus: usize) -> Vec<Row> {
    let spec: Spec = words.parse().expect("a spec");
    let run = |policy: &PolicyName| {
        run(&spec, *policy, cpus, &Costs::of(Band::Mid), |_| ()).expect("it can be run").rows
    };
    spec.policy.iter().flat_map(run).collect()
}

#[test]
fn a_broadcast_interrupts_every_other_cpu() {
    for row in rows("ops=100 policy=broadcast,pending", 8) {
        assert_eq!(row.judge(), Ok(()), "{row:?}");
    }
}

#[test]
fn recording_changes_nothing_and_has_each_interrupt() {
    let spec: Spec = "ops=20 invlpgb=on policy=pending".parse().expect("a spec");
    let costs = Costs::of(Band::Mid);
    let plain = run(&spec, spec.policy[0], 8, &costs, |_| ()).expect("it can be run");
    let recorded = record(&spec, spec.policy[0], 8, &costs).expect("it can be run");
    assert_eq!((&recorded.rows, &recorded.cpus, plain.recorded.len()), (&plain.rows, &plain.cpus, 0));
    let count =
        |is_it: fn(&What) -> bool| recorded.recorded.iter().filter(|one| is_it(&one.what)).count() as u64;
    let sent = count(|what| matches!(what, What::Sent(Cause::Sync, ..)));
    assert_eq!((Some(sent), sent), (plain.rows[0].counts.sync_ipis, 60));
    let taken = count(|what| matches!(what, What::Began(_)));
    assert_eq!(taken, plain.cpus.iter().map(|cpu| cpu.interrupts).sum());
    assert_eq!(taken, count(|what| matches!(what, What::Ended(_))));
}
