//! Which mutant runs, in a copy of the tree that holds them all: this file is a crate there, `gupsync-mutant`.
//!
//! Programs of the host read the number from [`VARIABLE`], the kernel from the head of its command line; 0 is no mutant. What
//! is added to the code is a relaxed load, and a relaxed store when a mutant's code is run first: neither orders anything.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The variable that holds the number of the mutant.
pub const VARIABLE: &str = "GUPSYNC_MUTANT";
/// The variable that names the file that is written when its code is run.
pub const ENTERED: &str = "GUPSYNC_MUTANT_ENTERED";
/// What the kernel's command line begins with, before the number.
pub const WORD: &str = "mutant=";

const NOT_READ: u32 = u32::MAX;
static CHOSEN: AtomicU32 = AtomicU32::new(NOT_READ);
static HAS_ENTERED: AtomicBool = AtomicBool::new(false);

/// The number of the mutant that runs.
#[inline]
pub fn chosen() -> u32 {
    // Relaxed: a number that nothing else goes with.
    match CHOSEN.load(Ordering::Relaxed) {
        NOT_READ => read(),
        number => number,
    }
}

/// The code of the mutant that runs begins.
#[inline]
pub fn enter() {
    // Relaxed: read when all is over. No exchange: a locked instruction would order what the mutant does.
    if !HAS_ENTERED.load(Ordering::Relaxed) {
        HAS_ENTERED.store(true, Ordering::Relaxed);
        record();
    }
}

/// Whether it has begun.
pub fn has_entered() -> bool {
    HAS_ENTERED.load(Ordering::Relaxed)
}

/// Takes the number from the head of the kernel's command line, and returns the rest.
///
/// # Panics
///
/// If a number is announced and there is none.
pub fn choose(cmdline: &str) -> &str {
    let Some(text) = cmdline.strip_prefix(WORD) else { return cmdline };
    let (number, rest) = text.split_once(' ').unwrap_or((text, ""));
    CHOSEN.store(number.parse().expect("mutant= is followed by a number"), Ordering::Relaxed);
    rest
}

#[cfg(not(target_os = "none"))]
#[cold]
fn read() -> u32 {
    let number = std::env::var(VARIABLE).map_or(0, |text| text.parse().expect("the variable holds a number"));
    CHOSEN.store(number, Ordering::Relaxed);
    number
}

#[cfg(not(target_os = "none"))]
#[cold]
fn record() {
    if let Some(path) = std::env::var_os(ENTERED) {
        std::fs::write(path, "").expect("the file can be written");
    }
}

/// The command line has not been read: none.
#[cfg(target_os = "none")]
fn read() -> u32 {
    0
}

#[cfg(target_os = "none")]
fn record() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_chooses() {
        assert_eq!(choose("mutant=17 policy=pending; ops=3"), "policy=pending; ops=3");
        assert_eq!(chosen(), 17);
        assert_eq!(choose("policy=pending"), "policy=pending");
        assert_eq!(chosen(), 17);
        assert!(!has_entered());
        enter();
        assert!(has_entered());
    }
}
