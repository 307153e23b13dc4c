use gupsync::event::Cause;
use gupsync::types::CpuId;
use gupsync_bench::record::What;

use super::*;
use crate::core::Vector;
use crate::events::{Events, Interrupt};

fn simulated(words: &str, cpus: usize) -> Simulated {
    let spec: Spec = words.parse().expect("a spec");
    run(&spec, spec.policy[0], cpus, &Costs::of(Band::Mid), &mut |_| ()).expect("it can be run")
}

fn row(words: &str, cpus: usize) -> Row {
    simulated(words, cpus).rows.pop().expect("there is one")
}

#[test]
fn interrupts_come_in_the_order_of_their_times() {
    let events = Events::new(8);
    // The third and the last come before the end of the ring, out of turn.
    let times = [50, 70, 60, 90, 10];
    for (cpu, time) in times.into_iter().enumerate() {
        events.push(Interrupt { time, to: CpuId(cpu), vector: Vector::Sync });
    }
    let mut came = Vec::new();
    while let Some(first) = events.first() {
        let Interrupt { time, to, vector } = events.pop();
        assert_eq!((time, vector), (first, Vector::Sync));
        came.push((time, to.0));
    }
    assert_eq!(came, [(10, 4), (50, 0), (60, 2), (70, 1), (90, 3)]);
}

#[test]
fn what_is_missing_is_caught() {
    for (words, status) in [
        ("policy=never invlpgb=on ops=8", Status::Violation),
        ("policy=pending invlpgb=on ops=8", Status::Ok),
        // The flush of a CPU's own TLB does nothing.
        ("policy=pending workload=protect ops=8 fail=no-flush", Status::Violation),
        ("policy=pending workload=protect ops=8", Status::Ok),
        ("policy=pending visits=on hold=0 workload=protect ops=8 fail=no-flush", Status::Violation),
        // A policy that trusts what is loaded, and an NMI that walks the mm that is not.
        ("policy=pending invlpgb=on sample=switch nmi_guard=off ops=8", Status::Violation),
        ("policy=pending invlpgb=on sample=switch ops=8", Status::Ok),
    ] {
        let row = row(words, 8);
        assert_eq!(row.status, status, "{words}: {:?}", row.detail);
    }
}

#[test]
fn the_same_spec_gives_the_same_rows_to_the_last_field() {
    let words = "workload=mixed threshold=3 switchers=2 flushers=1 ops=8 policy=pending sender=preemptible";
    assert_eq!(simulated(words, 32).rows, simulated(words, 32).rows);
    let other = simulated(&format!("{words} seed=2"), 32).rows;
    assert_ne!(simulated(words, 32).rows, other);
}

/// No count that is exact depends on the costs, and every time does.
#[test]
fn costs_change_times_alone() {
    let spec: Spec = "policy=broadcast ops=20".parse().expect("a spec");
    let [low, high] = [Band::Low, Band::High]
        .map(|band| run(&spec, spec.policy[0], 16, &Costs::of(band), &mut |_| ()).expect("it can be run"));
    let counts = |run: &Simulated| {
        let c = &run.rows[0].counts;
        [c.flush_ipis, c.sync_ipis, c.sync_acks, c.held_at_unlink, c.set, c.cleared]
    };
    assert_eq!(counts(&low), counts(&high));
    for (band, run) in [(Band::Low, &low), (Band::High, &high)] {
        let bystander = run.cpus.last().expect("there are CPUs");
        let handle = Costs::of(band).handle;
        assert_eq!(*bystander, Interrupted { interrupts: 20, time: 20 * handle });
    }
}

/// More rounds are begun at a time than there are slots for: each waits for one, and is served.
#[test]
fn more_senders_than_slots_wait_for_each_other() {
    let row = row("policy=pending flushers=600 ops=2", 1024);
    assert_eq!(row.judge(), Ok(()));
    assert!(row.counts.flush_ipis > Some(600 * 600), "{row:#?}");
}

#[test]
fn what_cannot_be_run_is_refused() {
    for (words, cpus, fault) in [
        ("", 2, "need 4 CPUs"),
        ("", MAX_CPUS + 1, "has 8192 at most"),
        ("fail=panic", 8, "fail=panic: is a way in which a kernel fails"),
    ] {
        let spec: Spec = words.parse().expect("a spec");
        let error = run(&spec, spec.policy[0], cpus, &Costs::of(Band::Mid), &mut |_| ()).expect_err(fault);
        assert!(error.to_string().contains(fault), "{error}");
    }
}

/// The handler of each NMI has a stack of its own, which goes with it: there is no room for so many.
#[test]
fn the_stacks_of_handlers_do_not_add_up() {
    let row = row("policy=pending sample=walk hold=3 eager=on ops=50000", 4);
    assert!(row.counts.nmi_walks > Some(1 << 15), "{row:#?}");
}

#[test]
fn recording_changes_nothing_and_has_each_interrupt() {
    let spec: Spec = "ops=20 invlpgb=on policy=pending".parse().expect("a spec");
    let costs = Costs::of(Band::Mid);
    let plain = run(&spec, spec.policy[0], 8, &costs, &mut |_| ()).expect("it can be run");
    let recorded = record(&spec, spec.policy[0], 8, &costs).expect("it can be run");
    assert_eq!((&recorded.rows, &recorded.cpus, plain.recording.recorded.len()), (&plain.rows, &plain.cpus, 0));
    let count = |is_it: fn(&What) -> bool| {
        recorded.recording.recorded.iter().filter(|one| is_it(&one.what)).count() as u64
    };
    let sent = count(|what| matches!(what, What::Sent(Cause::Sync, ..)));
    assert_eq!((Some(sent), sent), (plain.rows[0].counts.sync_ipis, 60));
    let taken = count(|what| matches!(what, What::Began(_)));
    assert_eq!(taken, plain.cpus.iter().map(|cpu| cpu.interrupts).sum());
    assert_eq!(taken, count(|what| matches!(what, What::Ended(_))));
}
