//! Where the serial port's lines go while a machine runs: a log that keeps all of them, and standard error.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use anyhow::{Context, Result};

use crate::args::ConsoleArgs;
use crate::boot::console::printable;
use crate::ending::Usage;
use crate::say;

/// What hears all boots of a command.
pub struct Ears {
    log: Option<Mutex<File>>,
    is_verbose: bool,
}

impl Ears {
    /// Opens the log, if one was asked for.
    ///
    /// # Errors
    ///
    /// [`Usage`] if it cannot be written.
    pub fn open(args: &ConsoleArgs) -> Result<Self> {
        let open = |path: &std::path::PathBuf| {
            let refused = |error| {
                let name = path.display();
                Usage(format!(
                    "--log {name}: cannot be written: {error}; name a file in a folder that can be written"
                ))
            };
            File::create(path).map(Mutex::new).map_err(refused)
        };
        Ok(Ears { log: args.log.as_ref().map(open).transpose()?, is_verbose: args.verbose })
    }

    /// Whether standard error shows the lines, and nothing else should be drawn there.
    pub fn is_verbose(&self) -> bool {
        self.is_verbose
    }

    /// Hears a line of the boot `label`.
    pub fn line(&self, label: &str, line: &str) {
        if let Some(log) = &self.log {
            let mut log = log.lock().expect("no thread panics while holding it");
            if let Err(error) = writeln!(log, "{label}: {line}").context("--log") {
                say::err(format_args!("error: {error:#}"));
            }
        }
        if self.is_verbose {
            say::err(format_args!("{label}: {}", printable(line)));
        }
    }
}
