//! Where the serial port's lines go while a machine runs: a log that keeps all of them, and standard error.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};

use crate::args::ConsoleArgs;
use crate::boot::console::printable;
use crate::ending::{Usage, demand};
use crate::say;

/// A file, and the first thing that went wrong with it.
struct Log {
    path: PathBuf,
    file: File,
    fault: Option<io::Error>,
}

/// What hears all boots of a command.
pub struct Ears {
    log: Option<Mutex<Log>>,
    is_verbose: bool,
}

impl Ears {
    /// Opens the log, if one was asked for.
    ///
    /// # Errors
    ///
    /// [`Usage`] if it cannot be written.
    pub fn open(args: &ConsoleArgs) -> Result<Self> {
        let open = |path: &PathBuf| {
            let name = path.display();
            let is_file = path != Path::new("-");
            demand(is_file, || "--log -: is no file; name one, or use --verbose to see the lines".to_owned())?;
            let refused = |error| {
                Usage(format!(
                    "--log {name}: cannot be written: {error}; name a file in a folder that can be written"
                ))
            };
            let file = File::create(path).map_err(refused)?;
            Ok::<_, Usage>(Mutex::new(Log { path: path.clone(), file, fault: None }))
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
            if let Err(error) = writeln!(log.file, "{label}: {line}") {
                log.fault.get_or_insert(error);
            }
        }
        if self.is_verbose {
            say::err(format_args!("{label}: {}", printable(line)));
        }
    }

    /// Whether the log has every line.
    ///
    /// # Errors
    ///
    /// What went wrong first: a full disk, for one.
    pub fn check(self) -> Result<()> {
        let Some(log) = self.log else { return Ok(()) };
        let Log { path, fault, .. } = log.into_inner().expect("no thread panics while holding it");
        let fault = fault.map_or(Ok(()), Err);
        fault.with_context(|| format!("--log {}: cannot be written", path.display()))
    }
}
