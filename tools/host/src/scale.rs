//! `scale`: the same work on simulated machines of many sizes.

pub mod curves;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;
use gupsync_bench::Spec;
use gupsync_bench::spec::{List, PolicyName};

use crate::args::scale::{Members, ScaleArgs};
use crate::args::{self, Format};
use crate::artifacts::Tree;
use crate::boot::{self, Outcome};
use crate::document::{self, Document};
use crate::ending::{Ending, Usage};
use crate::qemu::Accel;
use crate::sink::{self, Sink};
use crate::table::Look;
use crate::verdict::Verdict;
use crate::{flat, say, trace};

/// One row to be: a policy at a spec on a machine of so many CPUs.
struct Job {
    spec: Spec,
    cpus: usize,
}

/// Runs all sizes, writes the rows down, prints curves of them; says how it ended.
///
/// # Errors
///
/// If it cannot be begun, or its results cannot be handed over.
pub fn run(args: &ScaleArgs) -> Result<Ending> {
    let jobs = jobs(args)?;
    let sink = args.json.as_deref().map(Sink::open).transpose()?;
    let trace = trace::open(args.trace.as_deref())?;
    // Asked before anything is written into the checkout.
    let revision = document::revision(&Tree::own().root);
    let mut outcomes = run_all(&jobs, trace.is_some());
    let traced = trace::hand_over(trace, &mut outcomes);
    let verdict = Verdict::of(&outcomes);
    let rows = outcomes.into_iter().flat_map(|outcome| outcome.rows).collect();
    let document = Document::simulated(document::command(), revision, rows);
    let look = Look::of(args.format, false);
    let text = match args.format {
        Format::Csv => flat::render(&document.rows)?,
        Format::Table | Format::Markdown | Format::Mail => curves::document(&document, args.rate, look),
    };
    let written = sink::hand_over(sink, &document, text);
    if args.format == Format::Csv {
        say::err(document.footer());
    }
    for fault in verdict.faults {
        say::err(format_args!("error: {fault}"));
    }
    written?;
    traced?;
    Ok(verdict.ending)
}

/// What all sizes come to.
///
/// # Errors
///
/// As [`run`], if it cannot be begun.
pub fn outcomes(args: &ScaleArgs) -> Result<Vec<Outcome>, Usage> {
    jobs(args).map(|jobs| run_all(&jobs, false))
}

/// What is to be run: by workload and setting of INVLPGB, then by order and size, then by policy.
fn jobs(args: &ScaleArgs) -> Result<Vec<Job>, Usage> {
    let mut settings = args.settings.clone();
    let mut listed = |key| settings.take(key).expect("it has a default");
    let (members, orders) = (listed("mm_cpus"), listed("order"));
    let members = members.split(',').map(str::parse).collect::<Result<Vec<Members>, _>>().map_err(Usage)?;
    let toggles = args.invlpgb.settings();
    let mut jobs: Vec<Job> = Vec::new();
    for (workload, toggle) in args.workload.workload.0.iter().flat_map(|w| toggles.iter().map(move |t| (w, t)))
    {
        let sizes = args.cpus.0.iter().flat_map(|cpus| members.iter().map(move |members| (*cpus, *members)));
        let sizes: Vec<_> = sizes.collect();
        for order in orders.split(',') {
            let spec = Spec {
                order: order.parse().map_err(|_| Usage(format!("--order {order}: is no number")))?,
                ..settings.spec(*workload, *toggle, Accel::Sim)
            };
            let before = jobs.len();
            for (cpus, members) in &sizes {
                let Some(spec) = fitted(&spec, *cpus, *members) else { continue };
                let of = |policy: &PolicyName| Spec { policy: List(vec![*policy]), ..spec.clone() };
                for spec in spec.policy.iter().map(of) {
                    // Where there is no room, several numbers come to the same.
                    if !jobs[before..].iter().any(|job| job.cpus == *cpus && job.spec == spec) {
                        jobs.push(Job { spec, cpus: *cpus });
                    }
                }
            }
            if jobs.len() == before {
                let largest = args.cpus.0.last().expect("there is one");
                let least = Spec { mm_cpus: 1, isolated: 0, ..spec };
                least.check(*largest).map_err(|refusal| args::in_flags(&refusal))?;
            }
        }
    }
    Ok(jobs)
}

/// `spec` with as many CPUs that run the mm, and then as many isolated ones, as there is room for.
fn fitted(spec: &Spec, cpus: usize, members: Members) -> Option<Spec> {
    let most = match members {
        Members::All => cpus,
        Members::Some(members) => members.min(cpus),
    };
    let pairs =
        (1..=most).rev().flat_map(|mm_cpus| (0..=spec.isolated).rev().map(move |isolated| (mm_cpus, isolated)));
    let spec = |(mm_cpus, isolated)| Spec { mm_cpus, isolated, ..spec.clone() };
    pairs.map(spec).find(|spec| spec.check(cpus).is_ok())
}

/// Runs all of `jobs`, on as many threads as there are CPUs here: the largest first, so that none is left to the end.
fn run_all(jobs: &[Job], traced: bool) -> Vec<Outcome> {
    let mut order: Vec<_> = (0..jobs.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(jobs[*index].cpus));
    let outcomes: Vec<_> = jobs.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        // Relaxed: each takes a number of its own.
        while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Job { spec, cpus, .. } = &jobs[*index];
            let outcome = boot::simulated(std::slice::from_ref(spec), *cpus, traced, |_| ());
            outcomes[*index].set(outcome).expect("each is run once");
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    outcomes.into_iter().map(|outcome| outcome.into_inner().expect("all are run")).collect()
}
