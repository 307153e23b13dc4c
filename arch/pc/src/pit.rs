//! The programmable interval timer: how many of its counts a time is.

/// Counts in a second.
const FREQUENCY: u64 = 1_193_182;

/// The longest time that one count can measure.
pub const LONGEST: u32 = 54_000;

/// The counts that take at least so many microseconds.
///
/// # Panics
///
/// Beyond [`LONGEST`].
pub fn counts(microseconds: u32) -> u16 {
    assert!(microseconds <= LONGEST, "{microseconds} microseconds are more than the timer counts");
    let counts = (u64::from(microseconds) * FREQUENCY).div_ceil(1_000_000);
    u16::try_from(counts).expect("bounded above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_11_a_delay_is_never_too_short_and_never_a_count_too_long() {
        for microseconds in 1..=LONGEST {
            let took = |counts: u16| u64::from(counts) * 1_000_000;
            let asked = u64::from(microseconds) * FREQUENCY;
            let counts = counts(microseconds);
            assert!(took(counts) >= asked && took(counts - 1) < asked, "{microseconds}: {counts}");
        }
    }
}
