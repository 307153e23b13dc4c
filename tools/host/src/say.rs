//! Text for people, on the two standard streams. Nothing that is lost there ends the program: a reader that has left (a
//! closed pipe) has read what it wanted, and what else goes wrong is told once, when all is done.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

use anyhow::{Error, Result};

/// The first thing that went wrong on standard output.
static FAULT: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes a line to standard output.
pub fn out(line: impl Display) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush())
        && error.kind() != ErrorKind::BrokenPipe
        && let Ok(mut fault) = FAULT.lock()
    {
        fault.get_or_insert(error);
    }
}

/// Writes a line to standard error. Where that fails there is no one left to tell.
pub fn err(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether all that was written to standard output has arrived, or its reader has left.
///
/// # Errors
///
/// What went wrong first: a full disk, for one.
pub fn check() -> Result<()> {
    let fault = FAULT.lock().ok().and_then(|mut fault| fault.take());
    fault.map_or(Ok(()), |error| Err(Error::new(error).context("standard output cannot be written")))
}
