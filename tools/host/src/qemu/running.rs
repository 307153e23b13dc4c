//! A QEMU that runs: both of its streams are read all the time, and it does not outlive its owner.

use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use gupsync_bench::report::ExitCode;

use super::end::End;
use super::lines::Lines;
use crate::{child, stop};

/// How long a serial port that nothing has closed may be silent after the end. Its last words may be a row: where the host
/// gets no CPU they are read late.
const SILENCE: Duration = Duration::from_secs(20);
/// How long words are waited for that were said just after what was enough, or on standard error.
const GRACE: Duration = Duration::from_secs(2);
/// So much of what QEMU says on standard error is kept, in bytes.
const KEPT: usize = 2048;

/// A process of QEMU's, with its serial port on standard output.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    /// The last words on standard error, once that is closed.
    errors: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts it, both streams piped.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = child::spawn(command)?;
        let (serial, errors) = (child.stdout.take(), child.stderr.take());
        let lines = read_lines(serial.expect("it is piped"));
        Ok(Running { child, lines, errors: read_last(errors.expect("it is piped")) })
    }

    /// The lines that have come since they were last asked for.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.lines.try_iter()
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    ///
    /// If that cannot be told.
    pub fn ended(&mut self) -> io::Result<Option<End>> {
        Ok(self.child.try_wait()?.map(of_status))
    }

    /// How it ends, which it is about to do, and the last that QEMU itself says; `on_line` hears what comes until then. What
    /// does not end by itself is ended.
    ///
    /// # Errors
    ///
    /// If that cannot be told.
    pub fn end(&mut self, mut on_line: impl FnMut(String)) -> io::Result<(End, String)> {
        let until = Instant::now() + GRACE;
        let end = loop {
            match self.ended()? {
                Some(end) => break end,
                None if Instant::now() >= until => {
                    self.child.kill()?;
                    break End::Cut;
                }
                None => thread::sleep(stop::STEP),
            }
        };
        while let Ok(line) = self.lines.recv_timeout(GRACE) {
            on_line(line);
        }
        Ok((end, self.errors.recv_timeout(GRACE).unwrap_or_default()))
    }

    /// See [`super::Machine::run`].
    pub fn wait(
        mut self,
        timeout: Duration,
        mut on_line: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(End, String)> {
        // A timeout that is too long to be added up never comes.
        let far = Duration::from_secs(1 << 32);
        let mut until = Instant::now() + timeout.min(far);
        let (mut is_enough, mut ended, mut is_open) = (false, None, true);
        while Instant::now() < until && !stop::is_asked() && (is_open || ended.is_none()) {
            match self.lines.recv_timeout(stop::STEP) {
                Ok(line) => {
                    if ended.is_some() && !is_enough {
                        until = Instant::now() + SILENCE;
                    }
                    if on_line(&line).is_break() && !is_enough {
                        is_enough = true;
                        until = until.min(Instant::now() + GRACE);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    is_open = false;
                    thread::sleep(stop::STEP);
                }
            }
            if ended.is_none() {
                ended = self.child.try_wait()?;
                if ended.is_some() {
                    // The last lines are in the pipe; a process that QEMU has started may hold it open.
                    until = Instant::now() + if is_enough { GRACE } else { SILENCE };
                }
            }
        }
        // What has come is heard, however late.
        for line in self.lines.try_iter() {
            let _ = on_line(&line);
        }
        let end = match ended {
            _ if stop::is_asked() => End::Stopped,
            _ if is_enough => End::Cut,
            Some(status) => of_status(status),
            None => End::Timeout,
        };
        let _ = self.child.kill();
        let errors = self.errors.recv_timeout(GRACE).unwrap_or_default();
        Ok((end, errors))
    }
}

fn of_status(status: ExitStatus) -> End {
    let kernel = ExitCode::ALL.into_iter().find(|code| status.code() == Some(code.qemu_status()));
    kernel.map_or(End::Qemu(status), End::Kernel)
}

/// Reads each line as it comes.
fn read_lines(serial: ChildStdout) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut lines = Lines::default();
        for byte in BufReader::new(serial).bytes().map_while(Result::ok) {
            if let Some(line) = lines.add(byte)
                && send.send(line).is_err()
            {
                return;
            }
        }
        lines.rest().map(|line| send.send(line));
    });
    receive
}

/// Reads all, and keeps the end of it.
fn read_last(mut errors: ChildStderr) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = errors.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..count]);
            let before = kept.len().saturating_sub(KEPT);
            kept.drain(..before);
        }
        let _ = send.send(String::from_utf8_lossy(&kept).into_owned());
    });
    receive
}
