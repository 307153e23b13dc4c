//! What is left of a boot, and a boot that waits: `--keep` and `--gdb`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::cli::{gupsync, said};
use crate::fake::Fake;
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("keep::what_is_kept_boots_again", keeps),
        trial("keep::the_console_of_a_boot_that_died_is_kept", keeps_console),
        trial("keep::a_boot_waits_for_its_debugger", waits),
    ]
}

const RUN: [&str; 5] = ["run", "--limine", "direct", "--cmdline", "ops=10 policy=pending"];

/// The row on a console, without what is timing: what was asked.
fn row(console: &str) -> Result<&str> {
    let row = console.lines().find(|line| line.starts_with("@row ")).context("no row")?;
    row.split("\"ops\"").next().context("a row")
}

fn keeps() -> Result<()> {
    let work = tempfile::tempdir()?;
    let folder = work.path().canonicalize()?.join("boot");
    let output = gupsync().args(RUN).arg(format!("--keep={}", folder.display())).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    ensure!(said(&output).ends_with(&format!("kept in {}", folder.display())), "{}", said(&output));
    let console = fs::read_to_string(folder.join("console"))?;
    ensure!(console == String::from_utf8(output.stdout)?, "{console}");
    let again = Command::new(folder.join("qemu.sh")).stdin(Stdio::null()).output()?;
    ensure!(row(&String::from_utf8_lossy(&again.stdout))? == row(&console)?, "{again:?}");
    let script = fs::read_to_string(folder.join("qemu.sh"))?;
    ensure!(script.contains("\n# kernel: workload=collapse policy=pending"), "{script}");
    ensure!(fs::read(folder.join("gupsync-kernel"))?.starts_with(b"\x7fELF"));
    Ok(())
}

fn keeps_console() -> Result<()> {
    let fake = Fake::new("begin; first; echo 'a last word'; kill -9 $$")?;
    let folder = fake.work.path().join("kept");
    let output = fake.command(&format!("--keep={}", folder.display()))?.output()?;
    ensure!(output.status.code() == Some(1), "{}", said(&output));
    let console = fs::read_to_string(folder.join("invlpgb=on/console"))?;
    ensure!(console.starts_with("@loader fake 1\n@begin never\n@row ") && console.ends_with("a last word\n"));
    ensure!(folder.join("invlpgb=on/gupsync.iso").metadata()?.len() > 0 && fake.left()? == 0);
    Ok(())
}

/// Where a machine that was reset begins.
const FIRST: &str = "f0ff000000000000";

fn waits() -> Result<()> {
    let mut run = gupsync();
    let mut child = run.args(RUN).arg("--gdb").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut errors = BufReader::new(child.stderr.take().context("piped")?).lines();
    let line =
        errors.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("gdb "))).context("no line")??;
    let words: Vec<_> = line.split('\'').collect();
    let socket = words.get(1).and_then(|word| word.strip_prefix("target remote ")).context(line.clone())?;
    let kernel = line.rsplit(' ').next().context("a kernel")?;
    ensure!(line.contains("-ex 'hbreak _start'") && fs::read(kernel)?.starts_with(b"\x7fELF"), "{line}");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut stub = loop {
        match UnixStream::connect(socket) {
            Ok(stub) => break stub,
            Err(error) => ensure!(Instant::now() < deadline, "{socket}: {error}"),
        }
        sleep(Duration::from_millis(50));
    };
    // All registers; rip is the seventeenth.
    stub.write_all(b"$g#67")?;
    let mut registers = String::new();
    while !registers.contains('#') {
        let mut bytes = [0; 4096];
        let count = stub.read(&mut bytes)?;
        ensure!(count > 0, "the stub has gone: {registers}");
        registers += &String::from_utf8_lossy(&bytes[..count]);
    }
    let registers = registers.trim_start_matches(['+', '$']);
    ensure!(registers.get(16 * 16..17 * 16) == Some(FIRST), "it has begun: {registers}");
    stub.write_all(b"+$c#63")?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success() && row(&String::from_utf8_lossy(&output.stdout)).is_ok(), "{output:?}");
    Ok(())
}
