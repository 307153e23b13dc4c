//! `stress`: scenarios drawn at random, boot after boot, until the time is over or a row is not what its policy
//! promises. What failed is then made as simple as it can be.

pub mod draw;
pub mod shrink;
pub mod totals;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gupsync_bench::Spec;
use gupsync_bench::report::ExitCode;
use gupsync_bench::spec::{MmName, PolicyName};
use indicatif::ProgressBar;

use crate::args::StressArgs;
use crate::artifacts::Tree;
use crate::boot::{self, Outcome, Word};
use crate::image::Bootloader;
use crate::qemu::{End, Machine};
use draw::Draw;
use totals::Totals;

/// The most boots that simplifying may take.
const TRIES: u32 = 20;
/// How often a simpler scenario is run before it is believed to hold.
const RUNS: usize = 3;

/// What is booted, over and over.
struct Bench<'a> {
    args: &'a StressArgs,
    tree: Tree,
    bootloader: Bootloader,
    machine: Machine,
    bar: ProgressBar,
}

/// The first thing in a boot that is wrong.
struct Failure {
    spec: Spec,
    policy: PolicyName,
    fault: String,
}

/// Runs scenarios; says whether all were what their policies promise.
///
/// # Errors
///
/// If a boot cannot be begun, or a row cannot be read.
pub fn run(args: &StressArgs) -> Result<bool> {
    let machine = args.machine.machine()?;
    let (tree, bootloader) = (Tree::own(), args.machine.bootloader()?);
    tree.kernel()?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let bench = Bench { args, tree, bootloader, machine, bar };
    let (began, mut draw, mut totals) =
        (Instant::now(), Draw::new(args.seed, args.machine.cpus), Totals::default());
    loop {
        let specs = draw.boot();
        let name = format!("boot {}", totals.boots + 1);
        let outcome = bench.boot(&name, &specs).with_context(|| format!("seed {}, {name}", args.seed))?;
        if let Some(failure) = failed(&specs, &outcome) {
            bench.simplify(&name, failure)?;
            return Ok(false);
        }
        totals.add(&specs, &outcome);
        if began.elapsed() >= Duration::from_secs(60 * args.minutes) {
            break;
        }
    }
    bench.bar.finish_and_clear();
    println!("{totals}, {} seconds", began.elapsed().as_secs());
    Ok(true)
}

impl Bench<'_> {
    /// Boots `specs`. Shows what is under way on a terminal, and one line at the end elsewhere.
    fn boot(&self, name: &str, specs: &[Spec]) -> Result<Outcome> {
        let began = Instant::now();
        let listen = |word: Word<'_>| {
            if let Word::Begin(spec, policy) = word {
                self.bar.set_message(format!("{name}: {} {policy}", spec.workload));
            }
        };
        let timeout = self.args.machine.timeout();
        let outcome = boot::run(&self.tree, &self.bootloader, &self.machine, specs, timeout, listen)?;
        if self.bar.is_hidden() {
            let (specs, rows, seconds) = (specs.len(), outcome.rows.len(), began.elapsed().as_secs_f64());
            eprintln!("{name}: {specs} scenarios, {rows} rows, {}, {seconds:.1} s", outcome.end);
        }
        Ok(outcome)
    }

    /// Says what failed, simplifies it, and says how to see it again.
    fn simplify(&self, name: &str, failure: Failure) -> Result<()> {
        let (seed, cpus) = (self.args.seed, self.machine.cpus);
        let Failure { spec, policy, fault } = failure;
        self.bar.suspend(|| eprintln!("error: seed {seed}, {name}, {policy}: {fault}\n  {spec}"));
        let mut tries = 0;
        let simplest = shrink::shrink(spec, cpus, TRIES, |spec| {
            tries += 1;
            let specs = vec![spec.clone(); RUNS];
            Ok(failed(&specs, &self.boot(&format!("simplifying, boot {tries}"), &specs)?).is_some())
        })?;
        self.bar.finish_and_clear();
        println!("the simplest that fails, after {tries} more boots:");
        println!("  tools/gupsync run --cpus {cpus} --accel {} --cmdline \"{simplest}\"", self.machine.accel);
        Ok(())
    }
}

/// What is wrong with a boot. One that ends badly after its last row is blamed on that.
fn failed(specs: &[Spec], outcome: &Outcome) -> Option<Failure> {
    let mut asked =
        specs.iter().flat_map(|spec| spec.policy.iter().map(move |policy| (spec, *policy))).peekable();
    let mut last = None;
    for row in &outcome.rows {
        let (spec, policy) = *asked.peek()?;
        let failure = |fault| Failure { spec: spec.clone(), policy, fault };
        if let Err(fault) = row.judge() {
            return Some(failure(fault));
        }
        last = Some(failure(outcome.end.to_string()));
        // The row of all mms is the last one of its run.
        if row.mm == MmName::Total {
            asked.next();
        }
    }
    last.filter(|_| outcome.end != End::Kernel(ExitCode::Done))
}
