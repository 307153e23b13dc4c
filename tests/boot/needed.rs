//! Tests that need what not every machine has: skipped with the reason where it is not there, unless that was asked for.

use anyhow::Result;
use gupsync_host::suite::BROWSER;
use libtest_mimic::Trial;

use crate::trial;

/// Whether it is there, or what to do about it.
pub type Needed = Result<(), String>;

/// A test that needs it.
pub fn trial_that_needs(
    needed: &Needed,
    name: &str,
    test: impl FnOnce() -> Result<()> + Send + 'static,
) -> Trial {
    match needed.clone() {
        Ok(()) => trial(name, test),
        Err(lack) if std::env::var_os(BROWSER).is_some() => trial(name, move || Err(anyhow::Error::msg(lack))),
        Err(lack) => trial(name, || Ok(())).with_kind(format!("skipped: {lack}")).with_ignored_flag(true),
    }
}
