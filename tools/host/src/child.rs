//! Programs that the host waits for: cargo, xorriso, mtools. A signal to the host ends them, with all that they have started.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::stop;

/// How long output may come after the end of the program that was started: a process of its own may still have it.
const GRACE: Duration = Duration::from_secs(5);

/// A process group that does not outlive its owner.
struct Group(Child);

impl Group {
    fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
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
    let mut group = Group::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
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
    Group::start(command)?.wait()
}
