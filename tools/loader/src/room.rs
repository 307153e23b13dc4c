//! Room for a loader that has no firmware to ask for memory.

use crate::PAGE;
use crate::memory_map::{Kind, Region};
use alloc::vec::Vec;
use core::ops::Range;

/// Below it lies what firmware uses, and what it has handed over.
const LOWEST: u64 = 1 << 20;
/// What is mapped while the loader runs.
const HIGHEST: u64 = 1 << 32;

/// The largest stretch of whole pages that is usable, lies between 1 MiB and 4 GiB, and is in none of `taken`; an empty
/// one, if there is none.
pub fn largest(regions: &[Region], taken: &[Range<u64>]) -> Range<u64> {
    let mut taken: Vec<_> = taken.iter().collect();
    taken.sort_unstable_by_key(|taken| taken.start);
    let mut largest = 0..0;
    let mut consider = |start: u64, end: u64| {
        let (start, end) = (start.next_multiple_of(PAGE), end & !(PAGE - 1));
        if end.saturating_sub(start) > largest.end - largest.start {
            largest = start..end;
        }
    };
    for region in regions.iter().filter(|region| region.kind == Kind::Usable && region.base < HIGHEST) {
        let (mut start, end) = (region.base.max(LOWEST), region.end.min(HIGHEST));
        for taken in taken.iter().filter(|taken| taken.start < end) {
            consider(start, taken.start);
            start = start.max(taken.end.min(end));
        }
        consider(start, end);
    }
    largest
}
