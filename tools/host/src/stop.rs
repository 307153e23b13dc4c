//! Signals that ask the program to end: SIGINT, SIGTERM, and SIGHUP of a terminal that was closed. What is under way
//! ends early, what is finished is written down, and no process and no file is left behind. A second signal ends the
//! program at once.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::ending::Ending;

static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// How long a wait may last that a signal is to end.
pub const STEP: Duration = Duration::from_millis(20);

/// What is said of what a signal has ended.
pub const REASON: &str = "stopped by a signal";

/// From now on a signal only asks.
///
/// # Errors
///
/// If the system has no signals for this program.
pub fn listen() -> Result<()> {
    let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
        // In this order: the first signal finds nothing asked yet.
        flag::register_conditional_shutdown(signal, Ending::NotRun.status().into(), ASKED.clone())
            .and_then(|_| flag::register(signal, ASKED.clone()))
            .context("cannot listen for signals")?;
    }
    Ok(())
}

/// Whether who started this program has it ignore `signal`, as `nohup` does.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether one has asked.
pub fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
