//! Linux's own selftests, each run as a process, again and again, until the time is over.
//!
//! # Guarantee
//!
//! What is told of a run is its process's own end, or that it was killed because it took too long, and what the kernel has
//! complained of meanwhile. Whether that is a pass is not decided here.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gupsync_guest::{PROGRAMS, Run, SELFTESTS, Said, Selftests, Tap, is_warning};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};

/// What a test says is written there.
const OUTPUT: &str = "/tmp/output";
const TAINTED: &str = "/proc/sys/kernel/tainted";
const LOG: &str = "/dev/kmsg";
/// How long it takes to look again.
const STEP: Duration = Duration::from_millis(20);

/// Runs what the initramfs names; `say` is told each run. Returns whether it names any.
pub fn serve(say: &mut impl FnMut(Said)) -> bool {
    let Ok(text) = fs::read_to_string(SELFTESTS) else { return false };
    let done = serde_json::from_str(&text).context(SELFTESTS).and_then(|plan| run(&plan, say));
    if let Err(error) = done {
        say(Said::Failed(0, format!("{error:#}")));
    }
    true
}

fn run(plan: &Selftests, say: &mut impl FnMut(Said)) -> Result<()> {
    let (begun, mut log) = (Instant::now(), Log::open()?);
    while begun.elapsed() < Duration::from_secs(plan.seconds) {
        for (index, words) in plan.tests.iter().enumerate() {
            say(Said::Begun(index));
            say(Said::Ran(index, one(words, Duration::from_secs(plan.limit), &mut log)?));
        }
    }
    Ok(())
}

fn one(words: &[String], limit: Duration, log: &mut Log) -> Result<Run> {
    let (program, arguments) = words.split_first().context("a test without a name")?;
    let (tainted, begun) = (fs::read_to_string(TAINTED)?, Instant::now());
    let output = File::create(OUTPUT)?;
    let mut command = Command::new(format!("{PROGRAMS}/{program}"));
    command.args(arguments).current_dir(PROGRAMS).process_group(0).stdin(Stdio::null());
    let mut child = command.stdout(output.try_clone()?).stderr(output).spawn().context(program.clone())?;
    let status = wait(&mut child, begun + limit)?;
    // Children of its own that it has left behind, or that were not to end.
    let group = Pid::from_child(&child);
    let _ = kill_process_group(group, Signal::KILL);
    let text = fs::read(OUTPUT)?;
    let complaint = log.complaint()?;
    let is_tainted = fs::read_to_string(TAINTED)? != tainted;
    Ok(Run {
        code: status.and_then(|status| status.code()),
        signal: status.and_then(|status| status.signal()),
        seconds: begun.elapsed().as_secs(),
        tap: Tap::read(&String::from_utf8_lossy(&text)),
        complaint: complaint.or(is_tainted.then(|| "the kernel is tainted".to_owned())),
    })
}

/// How a process ends, or nothing if it was killed at `until`.
fn wait(child: &mut Child, until: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(STEP);
    }
}

/// The kernel's log, from where it was read to.
struct Log(BufReader<File>);

impl Log {
    /// What was said before is passed over.
    fn open() -> Result<Self> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits())?;
        let file = File::options().read(true).custom_flags(flags).open(LOG).context(LOG)?;
        let mut log = Log(BufReader::new(file));
        log.complaint()?;
        Ok(log)
    }

    /// The first complaint that has come since.
    fn complaint(&mut self) -> Result<Option<String>> {
        let mut found = None;
        let mut line = Vec::new();
        // Each read is one record; that none is left is an error there.
        while self.0.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if is_warning(&text) {
                let message = text.split_once(';').map_or(text.as_str(), |(_, message)| message);
                found.get_or_insert_with(|| message.to_owned());
            }
        }
        Ok(found)
    }
}
