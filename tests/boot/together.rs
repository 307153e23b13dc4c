//! Boots of tests that wait at the same time, put together. They are direct: most of a boot from an ISO is its firmware.
//!
//! As many tests run as there are CPUs. One that asks for a boot lets another go on. When all tests that are left wait for a
//! boot, one of them boots for all that want the same machine. If that boot does not come to its end, each of them boots
//! alone: a test fails by its own rows and by no other's.

use std::collections::HashMap;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use gupsync_bench::Spec;
use gupsync_bench::report::ExitCode;
use gupsync_host::artifacts::Tree;
use gupsync_host::boot::{self, Outcome};
use gupsync_host::image::Bootloader;
use gupsync_host::qemu::{End, Machine};

/// Rows in one boot, unless one test asks for more.
const MOST: usize = 100;

static HALL: LazyLock<Mutex<Hall>> = LazyLock::new(Mutex::default);
static CHANGED: Condvar = Condvar::new();

#[derive(Default)]
struct Hall {
    /// Tests at work.
    busy: usize,
    /// Tests that have not begun.
    outside: usize,
    waiting: Vec<Request>,
    /// By number; nothing, if the boot did not come to its end.
    answers: HashMap<usize, Result<Option<Outcome>>>,
    numbers: usize,
}

struct Request {
    number: usize,
    machine: Machine,
    specs: Vec<Spec>,
    rows: usize,
}

/// Runs a test when it is its turn.
pub fn in_turn<R>(test: impl FnOnce() -> R) -> R {
    struct Turn;
    impl Drop for Turn {
        fn drop(&mut self) {
            change(|hall| hall.busy -= 1);
        }
    }
    change(|hall| hall.outside += 1);
    when(|_| true, |hall| hall.outside -= 1);
    let _turn = Turn;
    test()
}

/// What each of `asked` gives, in boots that other tests may share.
pub fn boot(asked: &[(Machine, Vec<Spec>)], alone: Duration) -> Result<Vec<Outcome>> {
    let numbers: Vec<_> =
        change(|hall| asked.iter().map(|(machine, specs)| hall.ask(machine, specs)).collect());
    let mut answers = HashMap::new();
    while answers.len() < numbers.len() {
        change(|hall| hall.busy -= 1);
        let own = |hall: &Hall| numbers.iter().copied().find(|number| hall.may_boot(*number));
        let requests = when(
            |hall| numbers.iter().any(|number| hall.answers.contains_key(number)) || own(hall).is_some(),
            |hall| own(hall).map_or_else(Vec::new, |number| hall.take(number)),
        );
        if !requests.is_empty() {
            let answers = of_all(&requests, alone);
            change(|hall| hall.answers.extend(requests.iter().map(|request| request.number).zip(answers)));
        }
        change(|hall| answers.extend(numbers.iter().filter_map(|number| hall.answers.remove_entry(number))));
    }
    let outcome = |(number, (machine, specs)): (&usize, &(Machine, Vec<Spec>))| {
        let answer = answers.remove(number).expect("all are in");
        answer.transpose().unwrap_or_else(|| boot_alone(machine, specs, alone))
    };
    numbers.iter().zip(asked).map(outcome).collect()
}

/// The same, in a boot of its own.
pub fn boot_alone(machine: &Machine, specs: &[Spec], timeout: Duration) -> Result<Outcome> {
    boot::run(&Tree::own(), &Bootloader::Direct, machine, specs, timeout, |_| ())
}

/// One boot, in which a spec that several ask for is run once; an answer for each of `requests`.
fn of_all(requests: &[Request], alone: Duration) -> Vec<Result<Option<Outcome>>> {
    let machine = &requests[0].machine;
    if let [request] = requests {
        return vec![boot_alone(machine, &request.specs, alone).map(Some)];
    }
    let mut specs: Vec<Spec> = Vec::new();
    for spec in requests.iter().flat_map(|request| &request.specs) {
        if !specs.contains(spec) {
            specs.push(spec.clone());
        }
    }
    let whole = boot_alone(machine, &specs, alone * requests.len() as u32)
        .ok()
        .filter(|outcome| outcome.end == End::Kernel(ExitCode::Done) && outcome.finished == outcome.rows.len());
    let mut rows = whole.as_ref().map_or(&[][..], |outcome| &outcome.rows);
    let by_spec: Vec<_> = specs
        .iter()
        .map(|spec| rows.split_off(..boot::rows(spec, machine.cpus).min(rows.len())).unwrap_or_default())
        .collect();
    let answer = |request: &Request| {
        let Outcome { loader, end, .. } = whole.as_ref()?;
        let rows = |spec| by_spec[specs.iter().position(|one| one == spec).expect("it was asked for")];
        let rows: Vec<_> = request.specs.iter().flat_map(rows).cloned().collect();
        Some(Outcome {
            finished: rows.len(),
            rows,
            traces: Vec::new(),
            has_begun: true,
            loader: loader.clone(),
            end: *end,
        })
    };
    requests.iter().map(|request| Ok(answer(request))).collect()
}

impl Hall {
    fn ask(&mut self, machine: &Machine, specs: &[Spec]) -> usize {
        self.numbers += 1;
        let (machine, specs) = (machine.clone(), specs.to_vec());
        let rows = specs.iter().map(|spec| boot::rows(spec, machine.cpus)).sum();
        self.waiting.push(Request { number: self.numbers, machine, specs, rows });
        self.numbers
    }

    /// Whether `number` waits, and so does every test that could ask for something: none is yet to begin, or to go on with
    /// what it got.
    fn may_boot(&self, number: usize) -> bool {
        let waits = self.waiting.iter().any(|request| request.number == number);
        waits && self.outside == 0 && self.answers.is_empty()
    }

    /// Request `number`, and those of others that go with it.
    fn take(&mut self, number: usize) -> Vec<Request> {
        let own = self.waiting.iter().position(|request| request.number == number).expect("it waits");
        let mut taken = vec![self.waiting.remove(own)];
        let mut rows = taken[0].rows;
        let goes_with = |request: &mut Request| {
            let fits = request.machine == taken[0].machine && rows + request.rows <= MOST;
            rows += if fits { request.rows } else { 0 };
            fits
        };
        let others: Vec<_> = self.waiting.extract_if(.., goes_with).collect();
        taken.extend(others);
        taken
    }
}

fn hall() -> MutexGuard<'static, Hall> {
    // No test panics while it holds it.
    HALL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn change<R>(what: impl FnOnce(&mut Hall) -> R) -> R {
    let result = what(&mut hall());
    CHANGED.notify_all();
    result
}

/// Waits until `is_time` and a CPU is free, takes that, and does `what`.
fn when<R>(is_time: impl Fn(&Hall) -> bool, what: impl FnOnce(&mut Hall) -> R) -> R {
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let is_not_yet = |hall: &mut Hall| hall.busy >= at_once || !is_time(hall);
    let mut hall = CHANGED.wait_while(hall(), is_not_yet).unwrap_or_else(PoisonError::into_inner);
    hall.busy += 1;
    what(&mut hall)
}
