//! Programs that the host waits for: cargo, xorriso, mtools. A signal to the host ends them, with all that they have started.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::stop;

/// How long output may come after the end of the program that was started: a process of its own may still have it.
const GRACE: Duration = Duration::from_secs(5);

/// Starts `command`, also where its program was written a moment ago.
///
/// A process that another thread of the writer forked while the file was open has it open for writing until it executes
/// its own program, and Linux runs no file that is open for writing (execve(2), ETXTBSY). That ends by itself.
///
/// # Errors
///
/// If it cannot be started.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let until = Instant::now() + GRACE;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < until => {
                thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

/// A process group that does not outlive its owner.
struct Group(Child);

impl Group {
    fn start(command: &mut Command, input: impl Into<Stdio>) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = spawn(command.stdin(input).process_group(0));
        Ok(Group(child.with_context(|| format!("cannot run {name}"))?))
    }

    /// Its status, once it has ended.
    fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if stop::is_asked() {
                bail!(stop::REASON);
            }
            thread::sleep(stop::STEP);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// Reads `stream` to its end, beside what else is done.
fn read(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let _ = send.send(said);
    });
    receive
}

/// Runs `command` to its end and collects what it says.
///
/// # Errors
///
/// If it cannot be run, or a signal has ended it.
pub fn output(command: &mut Command) -> Result<Output> {
    output_fed(command, Stdio::null())
}

/// The same, with something to read.
///
/// # Errors
///
/// As [`output`].
pub fn output_fed(command: &mut Command, input: impl Into<Stdio>) -> Result<Output> {
    let mut group = Group::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()), input)?;
    let stdout = read(group.0.stdout.take().context("it is piped")?);
    let stderr = read(group.0.stderr.take().context("it is piped")?);
    let status = group.wait()?;
    let said = |stream: mpsc::Receiver<_>| stream.recv_timeout(GRACE).unwrap_or_default();
    Ok(Output { status, stdout: said(stdout), stderr: said(stderr) })
}

/// Runs `command` to its end; what it says goes where the host's own words go.
///
/// # Errors
///
/// As [`output`].
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    Group::start(command, Stdio::null())?.wait()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn a_program_that_is_still_open_for_writing_is_started_once_it_is_closed() {
        let work = tempfile::tempdir().expect("a folder");
        let program = work.path().join("program");
        fs::copy("/bin/true", &program).expect("it is there");
        let writer = fs::OpenOptions::new().write(true).mode(0o755).open(&program).expect("it is ours");
        let mut command = Command::new(&program);
        let busy = command.spawn().map(|_| ()).expect_err("it is open");
        assert_eq!(busy.kind(), io::ErrorKind::ExecutableFileBusy);
        let closing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(writer);
        });
        assert!(spawn(&mut command).expect("it is closed").wait().expect("it ends").success());
        closing.join().expect("it does not panic");
    }
}
