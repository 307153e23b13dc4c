//! Running a comparison: one row after the other, each with a world of its own.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use gupsync::event::Event;
use gupsync::machine::Machine;
use gupsync::types::{CpuId, MmId};
use gupsync_bench::record::What;
use gupsync_bench::report::{self, ExitCode};
use gupsync_bench::row::Status;
use gupsync_bench::spec::{self, Backend, PolicyName, Sender, Spec};
use gupsync_bench::{Row, Run};

use crate::apic::Command;
use crate::hw::Hw;
use crate::{apic, cpu_id, fail, frames, hw, serial, task, tlb, trace, vector};

/// The run under way. Null between runs.
static CURRENT: AtomicPtr<Run<Hw>> = AtomicPtr::new(ptr::null_mut());
/// Odd while a run is on. CPUs sleep until it changes.
static PHASE: AtomicU64 = AtomicU64::new(0);
/// CPUs that have seen the end of the last run.
static BACK: AtomicU64 = AtomicU64::new(0);

/// Has `body` work with the run under way, if there is one.
fn with_current(body: impl FnOnce(&Run<Hw>)) {
    // Acquire: pairs with the Release in `with_run`.
    let run = CURRENT.load(Ordering::Acquire);
    // SAFETY: null, or a run that `with_run` keeps until every CPU has reported back, to which there are shared references
    // only. This one ends with `body`, in an interrupt handler, a role, or the lead of the first CPU. A CPU that reports back
    // is in none of them, and as it has seen the phase end, it finds null here from then on, in handlers too. A task that has
    // moved is back on the CPU on which it began before its role ends.
    if let Some(run) = unsafe { run.as_ref() } {
        body(run);
    }
}

/// A request has arrived, by this vector.
pub fn interrupt(cpu: CpuId, vector: u8) {
    let cause = vector::cause(vector);
    cause.inspect(|cause| trace::add(cpu, What::Began(*cause)));
    with_current(|run| run.world.interrupt(cpu));
    cause.inspect(|cause| trace::add(cpu, What::Ended(*cause)));
}

/// An NMI has arrived.
pub fn on_nmi(cpu: CpuId) {
    with_current(|run| run.on_nmi(cpu));
}

/// This CPU has taken an interrupt that is no request.
pub fn count_taken(event: Event) {
    with_current(|run| run.world.machine.note(cpu_id::get(), MmId::KERNEL, event, 1));
}

fn kick_all() {
    apic::send_to_others(Command::Fixed(vector::KICK));
}

/// What every CPU but the first does for ever.
pub fn serve(cpu: CpuId) -> ! {
    let mut seen = 0;
    loop {
        // Acquire: pairs with the Release in `with_run`.
        task::park(|| PHASE.load(Ordering::Acquire) != seen);
        seen += 1;
        if seen % 2 == 0 {
            // Release: pairs with the Acquire in `with_run`.
            BACK.fetch_add(1, Ordering::Release);
        } else {
            with_current(|run| run.follow(cpu));
        }
    }
}

/// Makes `run` the current one while `body` works with it, on the first CPU.
fn with_run(run: Run<Hw>, body: impl FnOnce(&Run<Hw>) -> Vec<Row>) -> Vec<Row> {
    let run = Box::into_raw(Box::new(run));
    let mut rows = Vec::new();
    BACK.store(0, Ordering::Relaxed);
    // Release: pairs with the Acquire in `with_current`.
    CURRENT.store(run, Ordering::Release);
    // Release: pairs with the Acquire in `serve`.
    PHASE.fetch_add(1, Ordering::Release);
    kick_all();
    with_current(|run| rows = body(run));
    // Before the phase ends: a CPU that has seen it end, and reports back, may still be interrupted, by the kick below if by
    // nothing else. No CPU waits for an answer any more.
    CURRENT.store(ptr::null_mut(), Ordering::Relaxed);
    // Release: pairs with the Acquire in `serve`.
    PHASE.fetch_add(1, Ordering::Release);
    kick_all();
    // Acquire: pairs with the Release in `serve`.
    while BACK.load(Ordering::Acquire) != hw::cpus() as u64 - 1 {
        core::hint::spin_loop();
    }
    // SAFETY: it came from `Box::into_raw` above. All other CPUs have reported back since it ended, and neither they nor this
    // one can get at it any more.
    drop(unsafe { Box::from_raw(run) });
    rows
}

/// Runs all rows that the command line asks for.
pub fn all(cmdline: &str) -> ExitCode {
    let specs = match spec::parse_all(cmdline)
        .and_then(|specs| specs.into_iter().map(ready).collect::<Result<Vec<_>, _>>())
    {
        Ok(specs) => specs,
        Err(error) => {
            serial::line(format_args!("{}{error}", report::FATAL));
            return ExitCode::Refused;
        }
    };
    for spec in &specs {
        fail::at_start(spec.fail.0);
        for (index, policy) in spec.policy.iter().copied().enumerate() {
            serial::line(format_args!("{}{policy}", report::BEGIN));
            if index + 1 == spec.policy.len() {
                fail::at_last_row(spec.fail.0);
            }
            let rows = one(spec, policy);
            trace::print();
            for row in rows {
                let row = serde_json::to_string(&row).expect("a row is plain data");
                serial::line(format_args!("{}{row}", report::ROW));
            }
        }
    }
    ExitCode::Done
}

/// The spec as this machine runs it.
fn ready(mut spec: Spec) -> Result<Spec, String> {
    spec.check(hw::cpus())?;
    if spec.invlpgb.is_on() {
        spec.backend = match (spec.backend, tlb::native_invlpgb()) {
            (Backend::Native, None) => {
                return Err("backend=native: this CPU has no INVLPGB; use backend=auto or emulated".into());
            }
            (Backend::Emulated, Some(_)) => {
                return Err(
                    "backend=emulated: this CPU has INVLPGB and does not trap; use backend=auto or native"
                        .into(),
                );
            }
            (_, Some(_)) => Backend::Native,
            (_, None) => Backend::Emulated,
        };
    }
    Ok(spec)
}

fn one(spec: &Spec, policy: PolicyName) -> Vec<Row> {
    if spec.sender == Sender::Preemptible {
        Run::<Hw>::mutators(spec, hw::cpus()).into_iter().for_each(task::prepare);
    }
    let in_use = frames::in_use();
    let machine = Hw::new(Run::<Hw>::mms(spec, hw::cpus()), spec.invlpgb_max, spec.fail.0);
    let Some(run) = Run::new(machine, spec, policy) else {
        return [Row::without_counts(spec, policy, hw::cpus(), Status::Memory)].into();
    };
    let step = (spec.ops / report::PROGRESS_STEPS).max(1);
    let rows = with_run(run, |run| {
        run.lead(|done| {
            if done % step == 0 {
                serial::line(format_args!("{}{done}", report::PROGRESS));
            }
        })
    });
    // A row that was cut short may have left a pin.
    let good = rows.iter().all(|row| row.status == Status::Ok);
    assert!(!good || frames::in_use() == in_use, "a run has kept memory");
    rows
}
