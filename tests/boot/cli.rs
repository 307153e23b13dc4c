//! The command line, as its users call it: broken surroundings, sudden ends of a real machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gupsync::policy;
use gupsync_bench::row::Status;
use gupsync_bench::spec::{PolicyName, Workload};
use gupsync_host::artifacts::Tree;
use gupsync_host::document::{self, Document};
use gupsync_host::ending::Ending;
use gupsync_host::flat;
use libtest_mimic::Trial;

use crate::fake::Fake;
use crate::{trial, waiting_trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("cli::no_qemu", no_qemu),
        trial("cli::every_command_has_help_with_examples", help),
        trial("cli::a_stress_of_no_minutes_is_one_boot", stresses),
        trial("cli::item_17_names_are_in_help_and_completion", names),
        trial("cli::item_17_a_dry_run_prints_two_command_lines_and_boots_nothing", dry_run),
        trial("cli::item_17_doctor_names_what_is_missing", doctor),
        trial("cli::item_17_the_console_is_logged_and_shown", console),
        trial("cli::item_17_csv_is_json", csv),
        trial("cli::a_comparison_is_printed_and_written_down", compares),
        waiting_trial("cli::the_exit_status_says_how_the_rows_ended", statuses),
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

/// The host program itself, which installs nothing, as the start script would.
pub fn host() -> Result<PathBuf> {
    let host = std::env::current_exe()?.ancestors().nth(2).context("target")?.join("gupsync-host");
    Ok(if host.exists() { host } else { Tree::own().root.join("target/release/gupsync-host") })
}

fn no_qemu() -> Result<()> {
    let output = gupsync().arg("--version").output()?;
    ensure!(output.status.success(), "{}", said(&output));
    for command in ["compare", "stress", "run"] {
        let output = Command::new(host()?).arg(command).env("PATH", "/nonexistent").output()?;
        let said = said(&output);
        ensure!(
            output.status.code() == Some(3) && said.contains("qemu-system-x86_64") && said.lines().count() == 1,
            "{command}: {said}"
        );
    }
    Ok(())
}

fn help() -> Result<()> {
    let commands = [
        "compare",
        "diff",
        "cost",
        "stress",
        "iso",
        "run",
        "test",
        "prove",
        "report",
        "linux count",
        "linux export",
        "doctor",
        "completions",
        "man",
        "schema",
    ];
    for command in commands {
        let output = gupsync().args(command.split(' ')).arg("--help").output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success() && text.contains("Examples:"), "{command}: {text}");
        // Item 15: the table of exit statuses, the same everywhere.
        ensure!(text.trim_end().ends_with(&Ending::table()), "{command}: {text}");
    }
    Ok(())
}

fn stresses() -> Result<()> {
    let output = gupsync().args(["stress", "--minutes", "0", "--cpus", "8", "--limine", "direct"]).output()?;
    let totals = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}", said(&output));
    for words in ["boots 1, scenarios ", "violations 0, lost acks 0", " seconds"] {
        ensure!(totals.contains(words) && totals.lines().count() == 1, "{totals}");
    }
    Ok(())
}

pub fn printed(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{}: {}", output.status, said(&output));
    Ok(String::from_utf8(output.stdout)?)
}

fn names() -> Result<()> {
    let help = printed(gupsync().args(["compare", "--help"]))?;
    let help: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for names in [Workload::all_names().join(", "), policy::NAMES.join(", ")] {
        ensure!(help.contains(&format!("possible values: {names}]")), "{names}: {help}");
    }
    let script = printed(gupsync().args(["completions", "bash"]))?;
    ensure!(script.contains("COMPLETE=\"bash\"") && script.contains("/tools/gupsync"), "{script}");
    // As bash asks: the words so far, and which of them is completed.
    let asked = |words: &[&str]| {
        let mut gupsync = gupsync();
        gupsync.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
        gupsync.env("_CLAP_IFS", "\n").arg("--").args(words);
        printed(&mut gupsync)
    };
    let offered = asked(&["gupsync", "compare", "--policy", "pending,tar"])?;
    let lines: Vec<_> = offered.lines().collect();
    ensure!(lines == ["pending,targeted-posted", "pending,targeted"], "{offered}");
    let offered = asked(&["gupsync", "compare", "--flush", ""])?;
    ensure!(offered.lines().eq(["ipi", "hypercall", "hypercall-all", "none"]), "{offered}");
    Ok(())
}

/// A QEMU that can only say its version, and writes down that it was started otherwise.
fn no_boot() -> Result<Fake> {
    Fake::new("echo started >>\"$(dirname \"$0\")/started\"")
}

fn dry_run() -> Result<()> {
    let fake = no_boot()?;
    let arguments = "--dry-run --cpus 12 --cpu-model EPYC-v4 --qemu-arg -device --qemu-arg nec-usb-xhci --ovmf tools/gupsync,README.md";
    let printed = printed(fake.command(arguments)?.current_dir(Tree::own().root))?;
    let lines: Vec<_> = printed.lines().collect();
    let &[kernel, qemu] = lines.as_slice() else { anyhow::bail!("{printed}") };
    ensure!(kernel.starts_with("kernel: workload=unshare policy=never,gather-posted invlpgb=on"), "{kernel}");
    for part in [
        "qemu: qemu-system-x86_64 ",
        " -smp 12 ",
        " -cpu EPYC-v4 ",
        ",unit=0,readonly=on,file=tools/gupsync' ",
        ",unit=1,snapshot=on,file=README.md' ",
    ] {
        ensure!(qemu.contains(part), "{part}: {qemu}");
    }
    ensure!(qemu.ends_with(" -cdrom gupsync.iso -device nec-usb-xhci"), "{qemu}");
    ensure!(!fake.work.path().join("started").exists() && !fake.json.exists() && fake.left()? == 0);
    let direct = self::printed(gupsync().args("compare --dry-run --limine direct --invlpgb on".split(' ')))?;
    ensure!(direct.ends_with(" -kernel gupsync-loader-direct -initrd gupsync.bundle\n"), "{direct}");
    ensure!(!direct.contains("pflash"), "{direct}");
    Ok(())
}

fn doctor() -> Result<()> {
    let output = Command::new(host()?).arg("doctor").env("PATH", "/nonexistent").output()?;
    let text = String::from_utf8(output.stdout.clone())?;
    ensure!(output.status.code() == Some(3) && said(&output).lines().count() == 1, "{}", said(&output));
    for (what, remedy) in [
        ("qemu-system-x86_64", "apt-get install qemu-system-x86"),
        ("xorriso", "apt-get install xorriso"),
        ("mcopy", "apt-get install mtools"),
        ("x86_64-unknown-uefi", "rustup target add x86_64-unknown-uefi"),
    ] {
        let line = text.lines().find(|line| line.starts_with(&format!("missing  {what} "))).context(what)?;
        ensure!(line.contains(remedy), "{line}");
    }
    // All is here that the tests themselves need; what one command alone needs may not be.
    let text = printed(gupsync().arg("doctor"))?;
    let is_fine = |line: &str| line.starts_with("ok ") || line.starts_with("- ");
    ensure!(text.lines().all(is_fine) && text.lines().any(|line| line.starts_with("ok ")), "{text}");
    Ok(())
}

fn console() -> Result<()> {
    let fake = Fake::new("begin; first; second; echo 'a last \u{1b}[31mword'; exit 33")?;
    let log = fake.work.path().join("log");
    let output = fake.command("--verbose")?.arg("--log").arg(&log).output()?;
    let (log, said) = (fs::read_to_string(&log)?, said(&output));
    for line in ["invlpgb=on: @loader fake 1", "invlpgb=on: @begin never"] {
        ensure!(
            log.lines().any(|logged| logged == line) && said.lines().any(|shown| shown == line),
            "{log}{said}"
        );
    }
    ensure!(log.contains("a last \u{1b}[31mword"), "{log}");
    ensure!(said.contains("invlpgb=on: a last word"), "{said}");
    Ok(())
}

fn csv() -> Result<()> {
    let fake = Fake::new("begin; first; second; exit 33")?;
    let output = fake.command("--format csv")?.output()?;
    let text = String::from_utf8(output.stdout.clone())?;
    let document = fake.document()?;
    ensure!(text.trim_end() == flat::render(&document.rows)? && text.lines().count() == 3, "{text}");
    ensure!(said(&output).contains(&document.footer()), "{}", said(&output));
    Ok(())
}

pub fn read(json: &Path) -> Result<Document> {
    parse(&fs::read(json)?)
}

/// A document, which is what its schema says.
pub fn parse(json: &[u8]) -> Result<Document> {
    let value = serde_json::from_slice(json).context("no JSON, or not JSON alone")?;
    let schema = jsonschema::validator_for(&document::schema::schema())?;
    let faults: Vec<_> =
        schema.iter_errors(&value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    ensure!(faults.is_empty(), "not as the schema says: {faults:?}");
    serde_json::from_value(value).context("the JSON cannot be read back")
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
    // Item 17: no line is longer than a terminal, and the last ones say where it comes from.
    ensure!(table.lines().all(|line| line.len() <= 80), "{table}");
    let (commit, dirty) = document::revision(&Tree::own().root);
    ensure!(document.revision == commit && document.dirty == dirty, "{commit}");
    ensure!(document.command.starts_with("tools/gupsync compare --ops 20 --cpus 4 "), "{}", document.command);
    let footer = table.rsplit("\n\n").next().context("a footer")?;
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(words(footer) == words(&document.footer()), "{footer}");
    ensure!(footer.contains(&commit.chars().take(12).collect::<String>()), "{footer}");
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
        let arguments = format!("compare --ops 20 --limine direct {words}");
        let output = gupsync().args(arguments.split(' ')).output()?;
        ensure!(output.status.code() == Some(status), "{words}: {:?}, {}", output.status, said(&output));
        ensure!(status == 0 || said(&output).contains(reason), "{words}: {}", said(&output));
    }
    Ok(())
}

/// A comparison that takes a while, and writes its rows to `json`.
fn start_long_comparison(json: &Path) -> Result<Child> {
    let arguments = "compare --cpus 16 --mm-cpus 16 --invlpgb off --limine direct --policy pending,broadcast --ops 4000 --json";
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
                || fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains("-kernel"));
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
