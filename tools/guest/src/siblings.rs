//! What the other CPUs do while CPU 0 measures: a thread of the process on each, and other processes where they are to
//! come in between.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gupsync_guest::Sibling;
use rustix::thread::futex::{self, Flags};
use rustix::thread::{CpuSet, gettid, sched_setaffinity};

/// The first argument of a process that does nothing but be loaded: see [`stranger`].
pub const STRANGER: &str = "stranger";
/// How long a CPU is given to go idle after its last thread has gone to sleep.
const REST: Duration = Duration::from_millis(2);

/// Has this thread run on `cpu` only.
///
/// # Errors
///
/// If there is no such CPU.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu}"))
}

/// What threads of the process tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// How often all that are woken were woken.
    turn: AtomicU32,
    /// How many have run in all turns together, the first included.
    ran: AtomicUsize,
    quit: AtomicBool,
}

/// All of them, at their places.
pub struct Siblings {
    shared: Arc<Shared>,
    /// The thread of each, by its number.
    threads: Vec<(Sibling, i32)>,
    strangers: Vec<Stranger>,
    woken: usize,
}

impl Siblings {
    /// Brings one to each CPU from 1 on, and waits until each is there.
    ///
    /// # Errors
    ///
    /// If a thread or a process cannot be started, or there are not so many CPUs.
    pub fn start(siblings: &[Sibling]) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut all = Siblings { shared, threads: Vec::new(), strangers: Vec::new(), woken: 0 };
        for (index, sibling) in siblings.iter().copied().enumerate() {
            let (shared, cpu) = (all.shared.clone(), index + 1);
            let (send, receive) = std::sync::mpsc::channel();
            thread::Builder::new().stack_size(64 * 1024).spawn(move || {
                let pinned = pin(cpu).map(|()| gettid().as_raw_nonzero().get());
                let is_there = pinned.is_ok();
                let _ = send.send(pinned);
                if is_there {
                    run(sibling, &shared);
                }
            })?;
            all.threads.push((sibling, receive.recv().context("a thread has ended")??));
        }
        all.wait_for(siblings.len());
        all.wait_for_sleep()?;
        for (index, _) in siblings.iter().enumerate().filter(|(_, sibling)| sibling.gives_way()) {
            all.strangers.push(Stranger::start(index + 1)?);
        }
        all.woken = siblings.iter().filter(|sibling| sibling.is_woken()).count();
        Ok(all)
    }

    fn wait_for(&self, ran: usize) {
        // Pairs with the Release that each thread adds by.
        while self.shared.ran.load(Ordering::Acquire) < ran {
            thread::sleep(REST / 4);
        }
    }

    /// Waits until each thread that is to sleep does, by what the kernel says of it, and its CPU has gone idle.
    fn wait_for_sleep(&self) -> Result<()> {
        let is_to_sleep = |sibling: &Sibling| !matches!(sibling, Sibling::Spinning | Sibling::Walking);
        let mut waited = false;
        for (_, thread) in self.threads.iter().filter(|(sibling, _)| is_to_sleep(sibling)) {
            while state_of(&format!("/proc/self/task/{thread}/stat"))? != 'S' {
                thread::sleep(REST / 4);
            }
            waited = true;
        }
        if waited {
            thread::sleep(REST);
        }
        Ok(())
    }

    /// Brings all to where they are to be at the next operation.
    ///
    /// # Errors
    ///
    /// If one has ended.
    pub fn come_to_rest(&mut self) -> Result<()> {
        if self.woken == 0 {
            return Ok(());
        }
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed) + 1;
        futex::wake(&self.shared.turn, Flags::PRIVATE, u32::MAX >> 1)?;
        self.wait_for(self.threads.len() + turn as usize * self.woken);
        self.wait_for_sleep()?;
        let threads = self.threads.iter().map(|(sibling, _)| *sibling);
        let gives_way = threads.filter(|sibling| sibling.gives_way());
        for (sibling, stranger) in gives_way.zip(&mut self.strangers) {
            if sibling.is_woken() {
                stranger.run_once()?;
            }
        }
        if !self.strangers.is_empty() {
            thread::sleep(REST);
        }
        Ok(())
    }
}

impl Drop for Siblings {
    fn drop(&mut self) {
        // The process ends soon, and its threads with it.
        self.shared.quit.store(true, Ordering::Relaxed);
    }
}

/// The state that the kernel gives of a thread or process: `S` sleeps.
fn state_of(stat: &str) -> Result<char> {
    let text = fs::read_to_string(stat).context("a thread has ended")?;
    let state = text.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.with_context(|| format!("{stat} says no state"))
}

fn run(sibling: Sibling, shared: &Shared) {
    let word = AtomicU32::new(0);
    let mut turn = 0;
    shared.ran.fetch_add(1, Ordering::Release);
    // The first turn was the start.
    while !shared.quit.load(Ordering::Relaxed) {
        match sibling {
            Sibling::Spinning => std::hint::spin_loop(),
            // Not private: get_futex_key() looks the page up by get_user_pages_fast().
            Sibling::Walking => drop(futex::wake(&word, Flags::empty(), 0)),
            Sibling::Sleeping | Sibling::Stale => thread::park(),
            Sibling::Napping | Sibling::Visiting => {
                let _ = futex::wait(&shared.turn, Flags::PRIVATE, turn, None);
                let now = shared.turn.load(Ordering::Relaxed);
                if now != turn {
                    turn = now;
                    shared.ran.fetch_add(1, Ordering::Release);
                }
            }
        }
    }
}

/// Another process on a CPU, which sleeps there.
struct Stranger {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Stranger {
    fn start(cpu: usize) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args([STRANGER, &cpu.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start another process")?;
        let to = child.stdin.take().context("it is piped")?;
        let from = child.stdout.take().context("it is piped")?;
        let mut stranger = Stranger { child, to, from };
        stranger.run_once()?;
        Ok(stranger)
    }

    /// Has it run, and sleep again.
    fn run_once(&mut self) -> Result<()> {
        self.to.write_all(&[0]).context("a process on another CPU has ended")?;
        self.from.read_exact(&mut [0]).context("a process on another CPU has ended")?;
        while state_of(&format!("/proc/{}/stat", self.child.id()))? != 'S' {
            thread::sleep(REST / 4);
        }
        Ok(())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a stranger does: it runs on `cpu` when it is sent a byte, and sends it back.
///
/// # Errors
///
/// If there is no such CPU.
pub fn stranger(cpu: &str) -> Result<()> {
    pin(cpu.parse().context("no CPU")?)?;
    let (mut byte, mut stdin, mut stdout) = ([0], std::io::stdin(), std::io::stdout());
    while stdin.read(&mut byte)? == 1 {
        stdout.write_all(&byte)?;
        stdout.flush()?;
    }
    ensure!(byte[0] == 0, "a byte that was not sent");
    Ok(())
}
