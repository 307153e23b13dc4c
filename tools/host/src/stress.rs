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
use crate::ears::Ears;
use crate::ending::Ending;
use crate::image::Bootloader;
use crate::qemu::{End, Machine};
use crate::{say, stop};
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
    ears: Ears,
    bar: ProgressBar,
}

/// The first thing in a boot that is wrong.
struct Failure {
    spec: Spec,
    policy: PolicyName,
    fault: String,
}

/// Runs scenarios; says how that ended.
///
/// # Errors
///
/// If a boot cannot be begun.
pub fn run(args: &StressArgs) -> Result<Ending> {
    let cpus = args.machine.cpus_for(&[]);
    let bootloader = args.machine.bootloader()?;
    let machine = args.machine.machine(cpus, &bootloader)?;
    machine.version()?;
    let tree = Tree::own();
    let ears = Ears::open(&args.console)?;
    boot::prepare(&tree, &machine)?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let bench = Bench { args, tree, bootloader, machine, ears, bar };
    let (began, mut draw, mut totals) = (Instant::now(), Draw::new(args.seed, cpus), Totals::default());
    let ending = loop {
        let specs = draw.boot();
        let name = format!("boot {}", totals.boots + 1);
        let outcome = bench.boot(&name, &specs).with_context(|| format!("seed {}, {name}", args.seed))?;
        if let Some(failure) = failed(&specs, &outcome) {
            bench.report(&name, &failure);
            // What has begun nothing is not made simpler by other scenarios.
            if outcome.has_begun && !stop::is_asked() {
                bench.simplify(failure.spec)?;
            }
            break Ending::of_begun(outcome.has_begun || totals.boots > 0);
        }
        totals.add(&specs, &outcome);
        if began.elapsed() >= Duration::from_secs(60 * args.minutes) {
            break Ending::AsPromised;
        }
    };
    bench.bar.finish_and_clear();
    if totals.boots > 0 {
        say::out(format_args!("{totals}, {} seconds", began.elapsed().as_secs()));
    }
    bench.ears.check()?;
    Ok(ending)
}

impl Bench<'_> {
    /// Boots `specs`. Shows what is under way on a terminal, and one line at the end elsewhere.
    fn boot(&self, name: &str, specs: &[Spec]) -> Result<Outcome> {
        let began = Instant::now();
        let listen = |word: Word<'_>| match word {
            Word::Line(line) => self.bar.suspend(|| self.ears.line(name, line)),
            Word::Begin(spec, policy) => {
                self.bar.set_message(format!("{name}: {} {policy}", spec.workload));
            }
            _ => {}
        };
        let timeout = self.args.machine.timeout();
        let outcome = boot::run(&self.tree, &self.bootloader, &self.machine, specs, timeout, listen)?;
        if self.bar.is_hidden() {
            let (specs, rows, seconds) = (specs.len(), outcome.finished, began.elapsed().as_secs_f64());
            say::err(format_args!("{name}: {specs} scenarios, {rows} rows, {}, {seconds:.1} s", outcome.end));
        }
        Ok(outcome)
    }

    /// Says what failed.
    fn report(&self, name: &str, failure: &Failure) {
        let Failure { spec, policy, fault } = failure;
        let seed = self.args.seed;
        let line = format!("error: seed {seed}, {name}, {policy}: {fault}: {spec}");
        self.bar.suspend(|| say::err(line));
    }

    /// Simplifies what failed, and says how to see it again.
    fn simplify(&self, spec: Spec) -> Result<()> {
        let cpus = self.machine.cpus;
        let mut tries = 0;
        let simplest = shrink::shrink(spec, cpus, TRIES, |spec| {
            // What is known of by then is still said.
            if stop::is_asked() {
                return Ok(false);
            }
            tries += 1;
            let specs = vec![spec.clone(); RUNS];
            let outcome = self.boot(&format!("simplifying, boot {tries}"), &specs)?;
            Ok(outcome.end != End::Stopped && failed(&specs, &outcome).is_some())
        })?;
        self.bar.suspend(|| {
            say::out(format_args!("the simplest that fails, after {tries} more boots:"));
            let accel = self.machine.accel;
            say::out(format_args!(
                "  tools/gupsync run --cpus {cpus} --accel {accel} --cmdline \"{simplest}\""
            ));
        });
        Ok(())
    }
}

/// What is wrong with a boot. One that ends badly after its last row is blamed on that.
fn failed(specs: &[Spec], outcome: &Outcome) -> Option<Failure> {
    let mut asked = specs.iter().flat_map(|spec| spec.policy.iter().map(move |policy| (spec, *policy)));
    let mut current = asked.next()?;
    let failure = |(spec, policy): (&Spec, _), fault| Failure { spec: spec.clone(), policy, fault };
    for row in &outcome.rows {
        if let Err(fault) = row.judge() {
            return Some(failure(current, fault));
        }
        // The row of all mms is the last one of its run.
        if row.mm == MmName::Total {
            current = asked.next().unwrap_or(current);
        }
    }
    (outcome.end != End::Kernel(ExitCode::Done)).then(|| failure(current, outcome.end.to_string()))
}
