//! How a command ends: one of four exit statuses, the same for every command and for `tools/gupsync` itself.

use std::fmt;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All that was asked for was done, and is as promised.
    AsPromised,
    /// Something that was begun is not as promised, or did not come to its end.
    Broken,
    /// The arguments ask for what there is not.
    Usage,
    /// What was asked for could not be begun, or its results could not be handed over.
    NotRun,
}

impl Ending {
    /// All of them, in the order of their statuses.
    pub const ALL: [Ending; 4] = [Ending::AsPromised, Ending::Broken, Ending::Usage, Ending::NotRun];

    /// The exit status.
    pub fn status(self) -> u8 {
        self as u8
    }

    /// As promised or not.
    pub fn of(is_good: bool) -> Self {
        if is_good { Ending::AsPromised } else { Ending::Broken }
    }

    /// That of what did not come to its end.
    pub fn of_begun(has_begun: bool) -> Self {
        if has_begun { Ending::Broken } else { Ending::NotRun }
    }

    /// That of an error: [`Usage`], or what could not be run.
    pub fn of_error(error: &anyhow::Error) -> Self {
        if error.is::<Usage>() { Ending::Usage } else { Ending::NotRun }
    }

    fn meaning(self) -> &'static str {
        match self {
            Ending::AsPromised => "all is as promised; `never` is to be caught where no flush interrupts",
            Ending::Broken => {
                "not as promised: a row, a property or a test failed, or was begun and not finished"
            }
            Ending::Usage => "bad arguments; nothing was run",
            Ending::NotRun => {
                "could not be run (no QEMU, no build, a boot that died before its first row), or not written"
            }
        }
    }

    /// All of them with their meaning, for help.
    pub fn table() -> String {
        let lines = Self::ALL.map(|ending| format!("\n  {}  {}", ending.status(), ending.meaning()));
        format!("Exit status:{}", lines.concat())
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        ExitCode::from(ending.status())
    }
}

/// An error of the arguments: one line that names the argument and the remedy.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// [`Usage`] unless `is_right`.
///
/// # Errors
///
/// What `text` says.
pub fn demand(is_right: bool, text: impl FnOnce() -> String) -> Result<(), Usage> {
    if is_right { Ok(()) } else { Err(Usage(text())) }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn item_15_statuses_are_those_that_are_documented() {
        assert_eq!(Ending::ALL.map(Ending::status), [0, 1, 2, 3]);
        for ending in Ending::ALL {
            assert!(Ending::table().contains(&format!("\n  {}  ", ending.status())), "{}", Ending::table());
        }
    }

    #[test]
    fn item_15_an_error_of_the_arguments_stays_one_whatever_is_said_around_it() {
        let usage = anyhow::Error::new(Usage("--cpus 0".into()));
        assert_eq!(Ending::of_error(&usage), Ending::Usage);
        assert_eq!(Ending::of_error(&usage.context("around it")), Ending::Usage);
        assert_eq!(Ending::of_error(&anyhow::anyhow!("no QEMU")), Ending::NotRun);
        let disk = Err::<(), _>(std::io::Error::from_raw_os_error(28)).context("rows.json");
        assert_eq!(Ending::of_error(&disk.expect_err("full")), Ending::NotRun);
    }
}
