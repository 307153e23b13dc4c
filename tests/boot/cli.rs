//! The command line, as its users call it: broken surroundings, sudden ends of a real machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gupsync_bench::row::Status;
use gupsync_bench::spec::PolicyName;
use gupsync_host::artifacts::Tree;
use gupsync_host::document::Document;
use gupsync_host::ending::Ending;
use libtest_mimic::Trial;

use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("cli::no_qemu", no_qemu),
        trial("cli::every_command_has_help_with_examples", help),
        trial("cli::a_stress_of_no_minutes_is_one_boot", stresses),
        trial("cli::a_comparison_is_printed_and_written_down", compares),
        trial("cli::the_exit_status_says_how_the_rows_ended", statuses),
        trial("cli::a_qemu_killed_half_way_keeps_the_rows_before", killed_qemu),
        trial("cli::a_killed_host_leaves_no_qemu_behind", killed_host),
    ]
}

pub fn gupsync() -> Command {
    Command::new(Tree::own().root.join("tools/gupsync"))
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

fn no_qemu() -> Result<()> {
    // The host program itself, with nothing on its path: the start script would install what is missing.
    let output = gupsync().arg("--version").output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let host = std::env::current_exe()?.ancestors().nth(2).context("target")?.join("gupsync-host");
    let host = if host.exists() { host } else { Tree::own().root.join("target/release/gupsync-host") };
    for command in ["compare", "stress", "run"] {
        let output = Command::new(&host).arg(command).env("PATH", "/nonexistent").output()?;
        let said = said(&output);
        ensure!(
            output.status.code() == Some(3) && said.contains("qemu-system-x86_64") && said.lines().count() == 1,
            "{command}: {said}"
        );
    }
    Ok(())
}

fn help() -> Result<()> {
    for command in ["compare", "stress", "iso", "run", "test", "prove"] {
        let output = gupsync().args([command, "--help"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success() && text.contains("Examples:"), "{command}: {text}");
        // Item 15: the table of exit statuses, the same everywhere.
        ensure!(text.trim_end().ends_with(&Ending::table()), "{command}: {text}");
    }
    Ok(())
}

fn stresses() -> Result<()> {
    let output = gupsync().args(["stress", "--minutes", "0", "--cpus", "8", "--limine", "builtin"]).output()?;
    let totals = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}", said(&output));
    for words in ["boots 1, scenarios ", "violations 0, lost acks 0", " seconds"] {
        ensure!(totals.contains(words) && totals.lines().count() == 1, "{totals}");
    }
    Ok(())
}

pub fn read(json: &Path) -> Result<Document> {
    serde_json::from_str(&fs::read_to_string(json)?).context("the JSON cannot be read back")
}

fn compares() -> Result<()> {
    let work = tempfile::tempdir()?;
    let json = work.path().join("rows.json");
    let output = gupsync()
        .args(["compare", "--ops", "20", "--cpus", "4", "--limine", "builtin", "--json"])
        .arg(&json)
        .output()?;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}", said(&output));
    let safe = PolicyName::safe();
    for policy in safe.iter() {
        let of_policy = |line: &&str| line.split(' ').next() == Some(policy);
        ensure!(table.lines().filter(of_policy).count() == 2, "{policy}: {table}");
    }
    let document = read(&json)?;
    ensure!(
        document.schema == 1
            && document.rows.len() == 2 * safe.len()
            && document.loader.is_some_and(|loader| loader.starts_with("gupsync-loader"))
    );
    ensure!(document.accel == "tcg-single" && document.qemu.is_some() && !document.revision.is_empty());
    Ok(())
}

fn statuses() -> Result<()> {
    let cases = [
        ("--policy never --invlpgb on --mm-cpus 6", 0, "caught"),
        ("--policy pending --invlpgb off --fail no-flush", 1, "caught: a translation was used after its flush"),
        ("--policy pending,broadcast --invlpgb off --fail hang-late --timeout 40", 1, "timeout"),
        ("--policy pending --invlpgb off --fail panic", 3, "as asked"),
    ];
    for (words, status, reason) in cases {
        let arguments = format!("compare --ops 20 --limine builtin {words}");
        let output = gupsync().args(arguments.split(' ')).output()?;
        ensure!(output.status.code() == Some(status), "{words}: {:?}, {}", output.status, said(&output));
        ensure!(status == 0 || said(&output).contains(reason), "{words}: {}", said(&output));
    }
    Ok(())
}

/// A comparison that takes a while, and writes its rows to `json`.
fn start_long_comparison(json: &Path) -> Result<Child> {
    let arguments = "compare --cpus 16 --mm-cpus 16 --invlpgb off --limine builtin --policy pending,broadcast --ops 4000 --json";
    Ok(gupsync().args(arguments.split(' ')).arg(json).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?)
}

/// The QEMU in which `parent` has booted, once there is one.
fn qemu_of(parent: u32) -> Result<u32> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let Some((name, rest)) = stat.rsplit_once(')') else { continue };
            let is_child = rest.split_whitespace().nth(1) == Some(&parent.to_string());
            let boots =
                || fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains("-cdrom"));
            if is_child && name.contains("qemu-system") && boots() {
                return Ok(id);
            }
        }
        sleep(Duration::from_millis(50));
    }
    anyhow::bail!("no QEMU was started within a minute")
}

fn kill(id: u32) -> Result<()> {
    // The shell's own: not every system has the program.
    ensure!(Command::new("sh").args(["-c", &format!("kill -KILL {id}")]).status()?.success());
    Ok(())
}

pub fn is_alive(id: u32) -> bool {
    // A zombie is as dead as can be.
    let stat = fs::read_to_string(PathBuf::from(format!("/proc/{id}/stat"))).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn killed_qemu() -> Result<()> {
    let work = tempfile::tempdir()?;
    let json = work.path().join("rows.json");
    let mut host = start_long_comparison(&json)?;
    let qemu = qemu_of(host.id())?;
    // Until the first row is there.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(host.stderr.take().context("piped")?));
    let first = lines.next().context("no row came")??;
    ensure!(first.contains("collapse pending done, ok"), "{first}");
    kill(qemu)?;
    let errors: Vec<_> = lines.collect::<Result<_, _>>()?;
    ensure!(host.wait()?.code() == Some(1));
    ensure!(
        errors.iter().any(|line| line.contains("broadcast") && line.contains("killed by signal 9")),
        "{errors:?}"
    );
    let document = read(&json)?;
    ensure!(document.rows[0].status == Status::Ok && document.rows[0].counts.ops == Some(4000));
    ensure!(document.rows[1].status == Status::Died && document.rows[1].counts.sync_ipis.is_none());
    Ok(())
}

fn killed_host() -> Result<()> {
    let work = tempfile::tempdir()?;
    let mut host = start_long_comparison(&work.path().join("rows.json"))?;
    let qemu = qemu_of(host.id())?;
    host.kill()?;
    host.wait()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_alive(qemu) {
        ensure!(Instant::now() < deadline, "QEMU {qemu} outlived its host");
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
