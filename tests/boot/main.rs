//! Boots in QEMU. Each test boots an ISO and looks at the rows that come back.
//!
//! What cannot be had here (a real Limine, a real Linux) is reported as ignored, with the reason, and never as passed.

mod chromium;
mod classes;
mod cleared;
mod cli;
mod controls;
mod cost;
mod counts;
mod diff;
mod dying;
mod endings;
mod exit;
mod fake;
mod forms;
mod hotplug;
mod hypercall_all;
mod isolated;
mod keep;
mod kept;
mod lazy;
mod limine;
mod linux;
mod linux_check;
mod linux_lacks;
mod membership;
mod mixed;
mod mthp;
mod needed;
mod nmi;
mod page;
mod piggyback;
mod pins;
mod policies;
mod posture;
mod printed;
mod product;
mod rare;
mod reclaim;
mod recorded;
mod refused;
mod report;
mod scale;
mod sender;
mod several;
mod sim;
mod start;
mod together;
mod trace;
mod unshare;
mod walker;
mod wasm;

use std::time::Duration;

use anyhow::{Context, Result};
use gupsync_bench::{Row, Spec};
use gupsync_host::artifacts::Tree;
use gupsync_host::boot::Outcome;
use gupsync_host::qemu::Machine;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    if !arguments.list {
        // Once, before boots in parallel want them.
        let tree = Tree::own();
        if let Err(error) = tree.kernel().and_then(|_| tree.direct_loader()).and_then(|_| tree.loader()) {
            eprintln!("error: {error:#}");
            std::process::exit(1);
        }
    }
    let kernel = linux::kernel(arguments.list);
    let trials = [
        counts::trials(),
        membership::trials(),
        hotplug::trials(),
        hypercall_all::trials(),
        unshare::trials(),
        exit::trials(),
        piggyback::trials(),
        pins::trials(),
        mixed::trials(),
        mthp::trials(),
        nmi::trials(),
        scale::trials(),
        sender::trials(),
        lazy::trials(),
        kept::trials(),
        classes::trials(),
        cleared::trials(),
        product::trials(),
        rare::trials(),
        reclaim::trials(),
        policies::trials(),
        controls::trials(),
        cost::trials(),
        trace::trials(),
        recorded::trials(arguments.list),
        walker::trials(),
        endings::trials(),
        cli::trials(),
        refused::trials(),
        diff::trials(),
        forms::trials(),
        keep::trials(),
        report::trials(),
        page::trials(arguments.list),
        wasm::trials(arguments.list),
        several::trials(),
        sim::trials(),
        isolated::trials(),
        start::trials(),
        posture::trials(),
        printed::trials(),
        dying::trials(),
        limine::trials(),
        linux::trials(&kernel),
        linux_check::trials(&kernel),
        linux_lacks::trials(),
    ];
    let trials: Vec<_> = trials.into_iter().flatten().collect();
    // All begin at once, and run in turn.
    arguments.test_threads.get_or_insert(trials.len());
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test, under its module's name.
fn trial(name: &str, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    waiting_trial(name, || together::in_turn(test))
}

/// A test that does little but wait for a time limit: beside those that take turns.
fn waiting_trial(name: &str, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, || test().map_err(|error| Failed::from(format!("{error:#}"))))
}

/// A machine for counting, with room for `cpus`, that boots directly.
fn machine(cpus: usize) -> Machine {
    Machine::for_counting(cpus)
}

/// How long the rows of one test may take.
const PATIENCE: Duration = Duration::from_secs(600);

fn boot(machine: &Machine, specs: &[Spec]) -> Result<Outcome> {
    boots(&[(machine.clone(), specs.to_vec())])?.pop().context("one for each that was asked for")
}

/// The same for several machines.
fn boots(asked: &[(Machine, Vec<Spec>)]) -> Result<Vec<Outcome>> {
    together::boot(asked, PATIENCE)
}

/// The rows of one boot, each of them what its policy promises.
fn judged(machine: &Machine, specs: &[Spec]) -> Result<Vec<Row>> {
    let outcome = boot(machine, specs)?;
    outcome.rows.iter().try_for_each(judge)?;
    Ok(outcome.rows)
}

/// A spec from the words of a command line.
fn spec(words: &str) -> Spec {
    words.parse().expect("the test's own spec")
}

/// Fails with the row unless it is what its policy promises.
fn judge(row: &Row) -> Result<()> {
    row.judge().map_err(|fault| anyhow::anyhow!("{fault}\n{row:#?}"))
}
