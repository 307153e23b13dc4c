//! A client of QEMU's gdb stub: single vCPUs are stopped, looked at, and let go.
//!
//! # Guarantee
//!
//! What is returned is what QEMU has answered to this request. What it refuses, and a QEMU that has gone or does not answer,
//! is an error: nothing is made up in its place.
//!
//! # Mechanism
//!
//! gdb's remote protocol on a Unix socket. Registers have the numbers of the target description; thread N + 1 is vCPU N;
//! `vCont` names the vCPUs that are to run, and the others stay where they are.

mod packet;
mod registers;
mod stops;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::packet::{Inbox, bytes, frame, hex};
use self::registers::Registers;
use crate::stop;

pub use stops::{Cause, Gone, Point, Stop};

/// So many bytes of memory are asked for at once: QEMU answers no more than half of its longest packet, 4096.
const MOST: usize = 2048;
/// So much of the target description is asked for at once.
const CHUNK: usize = 0xf00;
/// The general registers, `rip` and `eflags`, at the beginning of all registers.
const GENERAL: usize = 17 * 8 + 4;

/// The connection, to a machine that stands still but between [`Gdb::resume`] and the stop that follows.
#[derive(Debug)]
pub struct Gdb {
    stream: UnixStream,
    inbox: Inbox,
    registers: Registers,
    threads: Vec<String>,
    /// The vCPU that requests are about.
    selected: Option<usize>,
    /// No answer is waited for any longer.
    until: Instant,
}

impl Gdb {
    /// Talks to the stub at the other end of `stream`; no answer is waited for longer than until `until`.
    ///
    /// # Errors
    ///
    /// If it does not answer, or not as a stub of QEMU's for x86-64.
    pub fn new(stream: UnixStream, until: Instant) -> Result<Self> {
        stream.set_read_timeout(Some(stop::STEP))?;
        let (inbox, registers) = (Inbox::default(), Registers::default());
        let mut gdb = Gdb { stream, inbox, registers, threads: Vec::new(), selected: None, until };
        gdb.ask("qSupported:vContSupported+;xmlRegisters=i386")?;
        let target = gdb.description("target.xml")?;
        gdb.registers.add(&target)?;
        for file in Registers::includes(&target) {
            let text = gdb.description(&file)?;
            gdb.registers.add(&text)?;
        }
        gdb.registers.find("cr3")?;
        let mut answer = gdb.ask("qfThreadInfo")?;
        while let Some(threads) = answer.strip_prefix('m') {
            gdb.threads.extend(threads.split(',').map(str::to_owned));
            answer = gdb.ask("qsThreadInfo")?;
        }
        ensure!(!gdb.threads.is_empty(), "the gdb stub knows of no vCPU");
        Ok(gdb)
    }

    /// How many vCPUs there are.
    pub fn vcpus(&self) -> usize {
        self.threads.len()
    }

    fn description(&mut self, file: &str) -> Result<String> {
        let mut text = String::new();
        loop {
            let answer = self.ask(&format!("qXfer:features:read:{file}:{:x},{CHUNK:x}", text.len()))?;
            let (is_last, part) = match answer.split_at_checked(1) {
                Some(("m", part)) => (false, part),
                Some(("l", part)) => (true, part),
                _ => bail!("the gdb stub has no target description {file}: {answer:?}"),
            };
            text.push_str(part);
            if is_last {
                return Ok(text);
            }
            ensure!(!part.is_empty(), "the gdb stub's target description {file} has no end");
        }
    }

    fn send(&mut self, payload: &str) -> Result<()> {
        self.stream.write_all(&frame(payload)).map_err(|_| Gone)?;
        Ok(())
    }

    /// The next payload from the stub, or none by `until`.
    fn receive(&mut self, until: Instant) -> Result<Option<String>> {
        let mut buffer = [0; 8192];
        loop {
            if let Some(payload) = self.inbox.take()? {
                // What was said counts, also if it was the last.
                let _ = self.stream.write_all(b"+");
                return Ok(Some(String::from_utf8_lossy(&payload).into_owned()));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!(Gone),
                Ok(count) => self.inbox.add(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    ensure!(!stop::is_asked(), stop::REASON);
                    if Instant::now() >= until {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => bail!(Gone),
                Err(error) => return Err(error).context("the gdb stub's connection"),
            }
        }
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        self.send(request)?;
        let answer = self.receive(self.until)?;
        answer.with_context(|| format!("QEMU's gdb stub does not answer to {request}"))
    }

    fn ask_for_ok(&mut self, request: &str) -> Result<()> {
        let answer = self.ask(request)?;
        ensure!(answer == "OK", "the gdb stub refuses {request}: {answer:?}");
        Ok(())
    }

    fn select(&mut self, cpu: usize) -> Result<()> {
        if self.selected != Some(cpu) {
            let thread = self.threads.get(cpu).with_context(|| format!("there is no vCPU {cpu}"))?.clone();
            self.ask_for_ok(&format!("Hg{thread}"))?;
            self.selected = Some(cpu);
        }
        Ok(())
    }

    /// What a register of a vCPU holds.
    ///
    /// # Errors
    ///
    /// If the stub does not say.
    pub fn register(&mut self, cpu: usize, name: &str) -> Result<u64> {
        let (number, width) = self.registers.find(name)?;
        self.select(cpu)?;
        let value = bytes(self.ask(&format!("p{number:x}"))?.as_bytes())?;
        ensure!(value.len() == width && width <= 8, "register {name} has {} bytes", value.len());
        Ok(value.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    }

    /// Gives it another value.
    ///
    /// # Errors
    ///
    /// If the stub refuses.
    pub fn set_register(&mut self, cpu: usize, name: &str, value: u64) -> Result<()> {
        let (number, width) = self.registers.find(name)?;
        self.select(cpu)?;
        let value = value.to_le_bytes();
        let value = value.get(..width).with_context(|| format!("register {name} has {width} bytes"))?;
        self.ask_for_ok(&format!("P{number:x}={}", hex(value)))
    }

    /// All general registers of a vCPU, `rip` and `eflags`, to be compared.
    ///
    /// # Errors
    ///
    /// If the stub does not say.
    pub fn general(&mut self, cpu: usize) -> Result<Vec<u8>> {
        self.select(cpu)?;
        let mut all = bytes(self.ask("g")?.as_bytes())?;
        ensure!(all.len() >= GENERAL, "the gdb stub says {} bytes of registers", all.len());
        all.truncate(GENERAL);
        Ok(all)
    }

    /// Reads memory at a virtual address of a vCPU, whatever its page tables allow.
    ///
    /// # Errors
    ///
    /// If nothing is mapped there.
    pub fn read(&mut self, cpu: usize, address: u64, len: usize) -> Result<Vec<u8>> {
        self.select(cpu)?;
        let mut all = Vec::with_capacity(len);
        while all.len() < len {
            let (at, count) = (address.wrapping_add(all.len() as u64), MOST.min(len - all.len()));
            let answer = self.ask(&format!("m{at:x},{count:x}"))?;
            let part = bytes(answer.as_bytes()).with_context(|| format!("memory at {at:#x}"))?;
            ensure!(part.len() == count, "memory at {at:#x}: {} bytes in place of {count}", part.len());
            all.extend(part);
        }
        Ok(all)
    }

    /// Reads eight bytes as a number.
    ///
    /// # Errors
    ///
    /// As [`Gdb::read`].
    pub fn read_u64(&mut self, cpu: usize, address: u64) -> Result<u64> {
        let bytes = self.read(cpu, address, 8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("as many as were asked for")))
    }

    /// Writes memory.
    ///
    /// # Errors
    ///
    /// If nothing is mapped there.
    pub fn write(&mut self, cpu: usize, address: u64, bytes: &[u8]) -> Result<()> {
        self.select(cpu)?;
        self.ask_for_ok(&format!("M{address:x},{:x}:{}", bytes.len(), hex(bytes)))
    }

    /// Has every vCPU stop at `point`.
    ///
    /// # Errors
    ///
    /// If the stub refuses.
    pub fn insert(&mut self, point: Point) -> Result<()> {
        self.ask_for_ok(&format!("Z{}", point.words()))
    }

    /// Has no vCPU stop there any more.
    ///
    /// # Errors
    ///
    /// If none did.
    pub fn remove(&mut self, point: Point) -> Result<()> {
        self.ask_for_ok(&format!("z{}", point.words()))
    }

    /// Lets these vCPUs run, and the others not.
    ///
    /// # Errors
    ///
    /// If QEMU has gone.
    pub fn resume(&mut self, cpus: &[usize]) -> Result<()> {
        self.set_going(cpus, 'c')
    }

    fn set_going(&mut self, cpus: &[usize], how: char) -> Result<()> {
        let threads = cpus.iter().map(|cpu| self.threads.get(*cpu).map(|thread| format!(";{how}:{thread}")));
        let threads: Option<String> = threads.collect();
        self.send(&format!("vCont{}", threads.context("there is no such vCPU")?))
    }

    /// One instruction of `cpu`, and none of the others; an interrupt waits meanwhile.
    ///
    /// # Errors
    ///
    /// If QEMU has gone.
    pub fn step(&mut self, cpu: usize) -> Result<Stop> {
        self.set_going(&[cpu], 's')?;
        self.wait(self.until)?.context("QEMU's gdb stub does not end a step")
    }

    /// Lets `cpu` alone run, to the stop that follows.
    ///
    /// # Errors
    ///
    /// If QEMU has gone.
    pub fn go(&mut self, cpu: usize) -> Result<Stop> {
        self.resume(&[cpu])?;
        self.wait(self.until)?.context("QEMU's gdb stub does not stop a vCPU")
    }

    /// Goes past the instruction that a CPU was to stop before. The machine may stop for another reason there.
    ///
    /// # Errors
    ///
    /// As [`Gdb::step`].
    pub fn step_past(&mut self, cpu: usize, rip: u64) -> Result<Option<Stop>> {
        self.remove(Point::Execute(rip))?;
        let stop = self.step(cpu)?;
        self.insert(Point::Execute(rip))?;
        Ok((stop.cause != Cause::Here).then_some(stop))
    }

    /// Whether a CPU runs a process, and not the kernel or what has booted it.
    ///
    /// # Errors
    ///
    /// If the stub does not say.
    pub fn is_in_user_space(&mut self, cpu: usize) -> Result<bool> {
        Ok(self.register(cpu, "cs")? & 3 == 3)
    }

    /// Waits for a stop, until then.
    ///
    /// # Errors
    ///
    /// If QEMU has gone, or says what is no stop.
    pub fn wait(&mut self, until: Instant) -> Result<Option<Stop>> {
        let answer = self.receive(until.min(self.until))?;
        answer.map(|answer| Stop::read(&answer, &self.threads)).transpose()
    }

    /// Stops the machine, which runs. It may have stopped by itself just before.
    ///
    /// # Errors
    ///
    /// As [`Gdb::wait`].
    pub fn halt(&mut self) -> Result<Stop> {
        self.stream.write_all(&[3]).map_err(|_| Gone)?;
        self.wait(self.until)?.context("QEMU's gdb stub does not stop the machine")
    }
}

/// How long it takes to look again whether a machine that runs has stopped.
pub const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
