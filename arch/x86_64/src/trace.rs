//! What happens in a run, recorded by each CPU for itself, in a kernel that was built with the feature `trace`.
//!
//! # Guarantee
//!
//! Without the feature nothing of this is in the kernel: every function returns at once, by a constant. With it, each
//! CPU keeps the beginning of what happens on it while it is counted, and how much more there was is said. What an NMI handler
//! records comes before or after what it has interrupted, and both are whole.

use alloc::vec::Vec;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gupsync::types::CpuId;
use gupsync_bench::record::{Recorded, What};
use gupsync_bench::report;
use spin::Once;

use crate::{pit, serial};

/// Whether anything is recorded at all.
const IS_ON: bool = cfg!(feature = "trace");

/// So much is kept of a run, by all CPUs together.
const MOST: usize = 1 << 16;

/// What one CPU has recorded.
struct Ring {
    /// How much has happened, kept or not.
    count: AtomicU64,
    places: Vec<Place>,
}

#[derive(Default)]
struct Place(UnsafeCell<Option<Recorded>>);

// SAFETY: a place is written by the CPU that has counted up to it, which no CPU does twice in a run; and read by the first CPU in
// `print`, when no CPU records.
unsafe impl Sync for Place {}

/// Of each CPU.
static RINGS: Once<Vec<Ring>> = Once::new();
static TICKS_PER_MS: Once<u64> = Once::new();
static IS_COUNTED: AtomicBool = AtomicBool::new(false);

/// Makes room for what so many CPUs record. On one CPU.
pub fn init(cpus: usize) {
    if !IS_ON {
        return;
    }
    let ring =
        || Ring { count: AtomicU64::new(0), places: (0..MOST / cpus).map(|_| Place::default()).collect() };
    RINGS.call_once(|| (0..cpus).map(|_| ring()).collect());
    let before = pit::ticks();
    pit::wait(10_000);
    let passed = pit::ticks() - before;
    TICKS_PER_MS.call_once(|| passed / 10);
}

/// From here on things are recorded, or no more.
pub fn count(is_counted: bool) {
    if IS_ON {
        // Relaxed: what happens on another CPU meanwhile may be recorded or not.
        IS_COUNTED.store(is_counted, Ordering::Relaxed);
    }
}

/// Records `what`. Called on `cpu`.
pub fn add(cpu: CpuId, what: What) {
    // Relaxed: as in `count`.
    if !IS_ON || !IS_COUNTED.load(Ordering::Relaxed) || !what.is_shown() {
        return;
    }
    let ring = &RINGS.get().expect("there is room")[cpu.0];
    let (count, mut place) = (ring.count.as_ptr(), 1_u64);
    // SAFETY: the count lives for good, and this CPU alone writes it while things are recorded. One instruction, so that an NMI
    // that records too comes before it or after it. No lock: it would order what is recorded.
    unsafe { asm!("xadd qword ptr [{}], {}", in(reg) count, inout(reg) place, options(nostack)) };
    if let Some(place) = ring.places.get(place as usize) {
        // SAFETY: this CPU has just counted up to this place, and nothing else has or does.
        unsafe { *place.0.get() = Some(Recorded { time: pit::ticks(), cpu, what }) };
    }
}

/// Writes to the serial port what was recorded, and begins anew. On the first CPU, when no other is in a run.
pub fn print() {
    if !IS_ON {
        return;
    }
    let mut lost = 0;
    for ring in RINGS.get().expect("there is room") {
        // Relaxed: the CPU that has counted it has reported back since.
        let count = ring.count.swap(0, Ordering::Relaxed);
        lost += count.saturating_sub(ring.places.len() as u64);
        for place in ring.places.iter().take(count as usize) {
            // SAFETY: no CPU records between two runs, and the one that has written this has reported back since.
            if let Some(recorded) = unsafe { (*place.0.get()).take() } {
                serial::line(format_args!("{}{recorded}", report::TRACE));
            }
        }
    }
    let ticks_per_ms = TICKS_PER_MS.get().expect("it was measured");
    serial::line(format_args!("{}{ticks_per_ms} {lost}", report::TRACED));
}
