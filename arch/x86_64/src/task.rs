//! Tasks that go on on another CPU: their stack goes with them.
//!
//! # Guarantee
//!
//! A task that [`preempt`] moves goes on on the next CPU of its route, once what runs there sleeps ([`park`]), and sees
//! all that it has done before. No two CPUs run on one stack: the CPU that it leaves hands it on when it is on a stack
//! of its own. There it sleeps, takes interrupts, and takes in whatever task comes.
//!
//! # Mechanism
//!
//! What runs on a CPU by itself, its *own flow*, stays there. While that sleeps, a task may come, run on its own stack,
//! and leave again; the own flow goes on where it was. A task is itself the own flow of the CPU on which it began. When
//! it leaves that, the CPU needs another stack, which [`prepare`] has made. A task is known by the CPU on which it
//! began, its *home*: any number of tasks may be about to go on on one CPU, and no CPU waits for another to take one
//! in.

use alloc::boxed::Box;
use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use gupsync::cpumask::CpuMask;
use gupsync::types::CpuId;
use spin::Once;
use x86_64::instructions::interrupts;

use crate::apic::Command;
use crate::{apic, cpu_id, halt, percpu, vector};

/// A task's route: the CPUs on which it goes on, the next one first. `None` is the end of it.
pub type Route = [Option<CpuId>; 2];

/// What a CPU has to do with tasks that move. Stack pointers are those that [`switch`] has saved; 0 is none.
struct Seat {
    /// The tasks that are to go on here, by their homes.
    coming: CpuMask,
    /// The task whose home is here, while it runs nowhere.
    saved: AtomicU64,
    /// The home of the task that has come and runs here, or has just left, plus one; 0 if it is the own flow.
    guest: AtomicU64,
    /// Where the task goes on that has just left.
    to: AtomicU64,
    /// The own flow, while a task that has come runs here.
    host: AtomicU64,
    /// What runs here while the task that began here is away.
    stand_in: AtomicU64,
    /// The CPUs of the route of the task that runs here, plus one; 0 if there is none.
    route: [AtomicU64; 2],
}

static SEATS: Once<Box<[Seat]>> = Once::new();

/// For so many CPUs, before there is more than one.
pub fn init(cpus: usize) {
    let zero = || AtomicU64::new(0);
    let seat = || Seat {
        coming: CpuMask::new(cpus),
        saved: zero(),
        guest: zero(),
        to: zero(),
        host: zero(),
        stand_in: zero(),
        route: [zero(), zero()],
    };
    SEATS.call_once(|| (0..cpus).map(|_| seat()).collect());
}

fn seat(cpu: CpuId) -> &'static Seat {
    &seats()[cpu.0]
}

fn seats() -> &'static [Seat] {
    SEATS.get().expect("made before there is more than one CPU")
}

/// The task that begins on `cpu` may leave it: gives that a stack for what runs there meanwhile. Called by one CPU,
/// before any task moves.
pub fn prepare(cpu: CpuId) {
    let own = seat(cpu);
    // Relaxed: told to the CPU with what it is to run.
    if own.stand_in.load(Ordering::Relaxed) == 0 {
        let top = percpu::map_stand_in_stack(cpu, seats().len());
        own.stand_in.store(begin_on(top), Ordering::Relaxed);
    }
}

/// Writes on the stack that ends at `top` what [`switch`] takes for a flow that is about to enter [`stand_in`]: six
/// registers, the address, and no address that it returns to.
fn begin_on(top: u64) -> u64 {
    let words: [u64; 8] = [0, 0, 0, 0, 0, 0, stand_in as *const () as u64, 0];
    let at = top - size_of_val(&words) as u64;
    // SAFETY: the stack was mapped for this caller, and nothing runs on it yet.
    unsafe { (at as *mut [u64; 8]).write(words) };
    at
}

/// The task on `own`, this CPU, goes on on the CPUs of `route` in turn, each time that it may be preempted from now on.
pub fn let_migrate(own: CpuId, route: Route) {
    for (word, to) in seat(own).route.iter().zip(route) {
        // Relaxed, here and below: only what runs on a CPU uses its route.
        word.store(to.map_or(0, |to| to.0 as u64 + 1), Ordering::Relaxed);
    }
}

/// The task that runs on `own`, this CPU, with interrupts on: goes to the next CPU of its route, if it has one. Returns
/// on which it is.
///
/// # Panics
///
/// If `own` is another CPU, or nothing can run on it meanwhile.
pub fn preempt(own: CpuId) -> CpuId {
    assert_eq!(own, cpu_id::get(), "a task leaves the CPU that it runs on");
    let here = seat(own);
    let [next, later] = here.route.each_ref().map(|word| word.swap(0, Ordering::Relaxed));
    if next == 0 || next == own.0 as u64 + 1 {
        here.route[0].store(later, Ordering::Relaxed);
        return own;
    }
    // Relaxed, all: read on this CPU, on the stack that is switched to.
    here.to.store(next - 1, Ordering::Relaxed);
    let mut instead = here.host.swap(0, Ordering::Relaxed);
    if instead == 0 {
        instead = here.stand_in.load(Ordering::Relaxed);
    }
    assert_ne!(instead, 0, "{own} has nothing to run while its task is away");
    let home = match here.guest.load(Ordering::Relaxed) {
        0 => own,
        guest => CpuId(guest as usize - 1),
    };
    here.guest.store(home.0 as u64 + 1, Ordering::Relaxed);
    // SAFETY: what is switched to was saved by `switch` on this CPU, or made by `begin_on`, and runs nowhere else. `host` is
    // taken out. If there is none, the task that began here is the one that leaves, or is away already: the stand-in does not
    // run then, and has been saved when it let in the task that leaves.
    unsafe { switch(seat(home).saved.as_ptr(), instead) };
    let there = cpu_id::get();
    seat(there).route[0].store(later, Ordering::Relaxed);
    there
}

/// Sleeps until `until` holds, looking after each maskable interrupt. Tasks that come meanwhile are run.
///
/// # Panics
///
/// If it is a task that has come that would sleep.
pub fn park(mut until: impl FnMut() -> bool) {
    let own = cpu_id::get();
    // Relaxed: only this CPU uses it.
    assert_eq!(seat(own).host.load(Ordering::Relaxed), 0, "a task sleeps on {own}, where it is a guest");
    let mut is_over = false;
    while !is_over {
        halt_until(|| {
            is_over = until();
            is_over || is_coming(own)
        });
        run_task(own, &seat(own).host);
    }
}

/// Halts until `until` holds, looking after each maskable interrupt. An NMI ends a halt too, but means nothing to what
/// is waited for: the CPU halts again without a look, as it would where the hardware carries out INVLPGB.
fn halt_until(mut until: impl FnMut() -> bool) {
    loop {
        // Off while looking: an interrupt that comes after the look ends the halt.
        interrupts::disable();
        if until() {
            interrupts::enable();
            return;
        }
        let before = cpu_id::interrupts_taken();
        while cpu_id::interrupts_taken() == before {
            halt::until_interrupt();
        }
        interrupts::enable();
    }
}

/// Whether a task is to go on on this CPU.
fn is_coming(own: CpuId) -> bool {
    !seat(own).coming.is_empty()
}

/// Runs a task that has come, if one has. What runs now is saved in `flow`.
fn run_task(own: CpuId, flow: &AtomicU64) {
    let here = seat(own);
    let mut first = None;
    // Relaxed: a hint, until it is taken out.
    here.coming.for_each(Ordering::Relaxed, |home| first = first.or(Some(home)));
    // Acquire: pairs with the Release in `hand_on`; all that the task has done on other CPUs.
    if let Some(home) = first
        && here.coming.remove(home, Ordering::Acquire)
    {
        // Relaxed, both: written before it was handed on; used on this CPU.
        let task = seat(home).saved.load(Ordering::Relaxed);
        here.guest.store(home.0 as u64 + 1, Ordering::Relaxed);
        // SAFETY: the task was saved by `switch`, and was handed on by the CPU that it left, once that was off its stack.
        // It is handed on once, and taken out here.
        unsafe { switch(flow.as_ptr(), task) };
        hand_on(own);
    }
}

/// The task that has left this CPU's stack goes on on another CPU.
fn hand_on(own: CpuId) {
    // Relaxed, both: written on this CPU.
    let home = CpuId(seat(own).guest.swap(0, Ordering::Relaxed) as usize - 1);
    let to = CpuId(seat(own).to.load(Ordering::Relaxed) as usize);
    // Release: pairs with the Acquire in `run_task`.
    seat(to).coming.insert(home, Ordering::Release);
    apic::send(to, Command::Fixed(vector::KICK));
}

/// What runs on a CPU whose task is away.
extern "C" fn stand_in() -> ! {
    let own = cpu_id::get();
    hand_on(own);
    loop {
        halt_until(|| is_coming(own));
        run_task(own, &seat(own).stand_in);
    }
}

/// Saves the registers that a callee keeps, and the stack pointer in `from`; goes on where `to` was saved.
///
/// # Safety
///
/// `to` was saved by this function, or made by [`begin_on`], and no CPU goes on there but this.
#[unsafe(naked)]
unsafe extern "C" fn switch(from: *mut u64, to: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}
