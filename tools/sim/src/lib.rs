//! A simulated machine: the mms of `src/` and the bench as they are, on 1 to 8,192 CPUs, in one thread.
//!
//! # Guarantee
//!
//! What is counted here is what the kernel counts, in every field that is exact ([`gupsync_bench::counts::Class`]): the
//! same code decides, and a field that is exact does not depend on when things happen. The same spec and [`Costs`] give
//! the same rows, always, times included.
//!
//! Time is modelled, not measured: each thing that a CPU does takes what [`Costs`] says. And nothing is explored: one
//! interleaving is run, in which a CPU is left only where it waits. Whether the protocol holds in all of them is for the
//! models to say.
//!
//! # Mechanism
//!
//! A CPU that has a role is a flow of code on a stack of its own ([`schedule`]), and has a clock; what is due next goes
//! on. An interrupt is an event; the scheduler calls its handler on behalf of the CPU, whatever waits there, so that a CPU
//! without a role costs nothing but its interrupts. TLBs hold what was looked up until they are told to forget it.

#![forbid(unsafe_code)]

mod core;
mod costs;
mod events;
mod fiber;
mod machine;
mod memory;
mod patience;
mod pause;
mod record;
mod schedule;
mod tlb;

use gupsync_bench::record::Recording;
use gupsync_bench::spec::{Backend, Fail, MachineName, PolicyName, Spec, Status};
use gupsync_bench::{Row, Run};

pub use core::Interrupted;
pub use costs::{Band, COSTS, Cost, Costs};
use machine::Sim;

/// The most CPUs of a simulated machine.
pub const MAX_CPUS: usize = 8192;

/// What a run of one policy has come to.
#[derive(Debug)]
pub struct Simulated {
    /// The rows, or one without counts that says why there are none.
    pub rows: Vec<Row>,
    /// What each CPU has been through while it was counted.
    pub cpus: Vec<Interrupted>,
    /// What has happened while it was counted, if it was recorded.
    pub recording: Recording,
}

/// Runs `policy` at `spec` on a machine of so many CPUs. `progress` is called with the number of operations done.
///
/// # Errors
///
/// If `spec` cannot be run on such a machine, in one line.
pub fn run(
    spec: &Spec,
    policy: PolicyName,
    cpus: usize,
    costs: &Costs,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Simulated, String> {
    run_all(spec, policy, cpus, costs, false, progress)
}

/// The same, with all that happens recorded.
///
/// # Errors
///
/// As [`run`].
pub fn record(spec: &Spec, policy: PolicyName, cpus: usize, costs: &Costs) -> Result<Simulated, String> {
    run_all(spec, policy, cpus, costs, true, &mut |_| ())
}

fn run_all(
    spec: &Spec,
    policy: PolicyName,
    cpus: usize,
    costs: &Costs,
    is_recorded: bool,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Simulated, String> {
    spec.check(cpus)?;
    if cpus > MAX_CPUS {
        return Err(format!("cpus={cpus}: a simulated machine has {MAX_CPUS} at most"));
    }
    if let Some(fail) = spec.fail.0.filter(|fail| *fail != Fail::NoFlush) {
        return Err(format!("fail={fail}: is a way in which a kernel fails; use no-flush, or leave it out"));
    }
    let spec = ready(spec);
    let failed = |status, detail| {
        let row = Row::without_counts(&spec, policy, cpus, status);
        vec![Row { machine: MachineName::Sim, detail, ..row }]
    };
    let machine = Sim::new(&spec, cpus, Run::<Sim>::mms(&spec, cpus), costs, is_recorded);
    let Some(run) = Run::new(machine, &spec, policy) else {
        let (rows, recording) = (failed(Status::Memory, None), Recording::default());
        return Ok(Simulated { rows, cpus: Vec::new(), recording });
    };
    let played = schedule::play(&run, &spec, progress);
    let rows = played.unwrap_or_else(|reason| failed(Status::Died, Some(reason)));
    let machine = &run.world.machine;
    Ok(Simulated { rows, cpus: machine.interrupted(), recording: machine.recorder.take() })
}

/// The spec as this machine runs it: it has INVLPGB, unless it is to emulate it.
fn ready(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    if spec.invlpgb.is_on() && spec.backend == Backend::Auto {
        spec.backend = Backend::Native;
    }
    spec
}

#[cfg(test)]
mod tests;
