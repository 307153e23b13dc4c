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
