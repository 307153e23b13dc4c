//! Items 13, 14 and 15: ways to die, most of them of a QEMU that is a shell script. Whatever happens, the rows that were
//! finished are written down, the reason is named, the exit status is the documented one, and no ISO and no QEMU is left.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gupsync_bench::row::Status;
use gupsync_host::document::Document;
use libtest_mimic::Trial;

use crate::cli::{is_alive, parse, said};
use crate::fake::Fake;
use crate::trial;

/// A way to die: what QEMU does, more arguments, the exit status, the status of both rows, and what is said.
struct Way {
    name: &'static str,
    qemu: &'static str,
    arguments: &'static str,
    code: i32,
    rows: [Status; 2],
    reason: &'static str,
}

use Status::{Died, Panic, Timeout, Violation};

/// In the scripts, `first` and `second` write the rows, and `begin` what comes before them.
const WAYS: &[Way] = &[
    Way {
        name: "killed",
        qemu: "begin; first; echo boom >&2; kill -KILL $$",
        arguments: "",
        code: 1,
        rows: [Violation, Died],
        reason: "QEMU was killed by signal 9; QEMU: boom",
    },
    Way {
        name: "refused_by_qemu",
        qemu: "echo 'qemu: no such machine' >&2; exit 1",
        arguments: "",
        code: 3,
        rows: [Died, Died],
        reason: "QEMU: qemu: no such machine",
    },
    Way {
        name: "talking_on_standard_error",
        qemu: "head -c 300000 /dev/zero | tr '\\0' x >&2; begin; first; second; exit 65",
        arguments: "",
        code: 0,
        rows: [Violation, Violation],
        reason: "",
    },
    Way {
        name: "hanging",
        qemu: "begin; first; echo 'the last line'; sleep 100",
        arguments: "--timeout 3",
        code: 1,
        rows: [Violation, Timeout],
        reason: "timeout: stopped: the time was over; console: the last line",
    },
    Way {
        name: "silent_and_alive",
        qemu: "begin; first; exec >&- 2>&-; sleep 100",
        arguments: "--timeout 3",
        code: 1,
        rows: [Violation, Timeout],
        reason: "timeout: stopped: the time was over",
    },
    Way {
        name: "refused_by_the_loader",
        qemu: "printf '\\033[2Jgupsync-loader: limine.conf: no entries\\r\\nPress a key\\r\\n'; sleep 100",
        arguments: "",
        code: 3,
        rows: [Died, Died],
        reason: "the bootloader refuses: gupsync-loader: limine.conf: no entries",
    },
    Way {
        name: "refused_by_limine",
        qemu: "printf '\\033[31mPANIC\\033[37;1m\\033[0m: limine: no such file\\r\\nPress a key\\r\\n'; sleep 100",
        arguments: "",
        code: 3,
        rows: [Died, Died],
        reason: "the bootloader refuses: PANIC: limine: no such file",
    },
    Way {
        name: "a_cut_row",
        qemu: "begin; first | cut -c 1-40; echo '@begin gather-posted'; second; exit 65",
        arguments: "",
        code: 1,
        rows: [Died, Violation],
        reason: "unshare never invlpgb=on: died: a row that cannot be read:",
    },
    Way {
        name: "a_lost_row",
        qemu: "begin; echo '@begin gather-posted'; second; exit 65",
        arguments: "",
        code: 1,
        rows: [Died, Violation],
        reason: "unshare never invlpgb=on: died: no row came",
    },
    Way {
        name: "a_row_that_ends_with_the_machine",
        qemu: "begin; first; echo '@begin gather-posted'; printf '@row {\"workload\":'; exit 65",
        arguments: "",
        code: 1,
        rows: [Violation, Died],
        reason: "unshare gather-posted invlpgb=on: died: a row that cannot be read:",
    },
    Way {
        name: "a_row_of_another_question",
        qemu: "begin; first | sed 's/\"seed\":1/\"seed\":2/'; echo '@begin gather-posted'; second; exit 65",
        arguments: "",
        code: 1,
        rows: [Violation, Violation],
        reason: "a row that answers another question: seed=2 where seed=1 was asked for; it was violation",
    },
    Way {
        name: "a_panic_after_a_finding",
        qemu: "begin; first; echo '@begin gather-posted'; echo '@caught a walker'; echo '@fatal panic: boom'; exit 71",
        arguments: "",
        code: 1,
        rows: [Violation, Violation],
        reason: "unshare gather-posted invlpgb=on: violation: a walker; then panic: panic: boom",
    },
    Way {
        name: "a_panic",
        qemu: "begin; first; echo '@begin gather-posted'; echo '@fatal panic on CPU 0: as asked'; exit 71",
        arguments: "",
        code: 1,
        rows: [Violation, Panic],
        reason: "panic: panic on CPU 0: as asked",
    },
    Way {
        name: "refused_by_the_kernel",
        qemu: "echo '@loader fake 1'; echo '@fatal backend=native: this CPU has no INVLPGB; use backend=auto'; exit 67",
        arguments: "",
        code: 2,
        rows: [Died, Died],
        reason: "backend=native: this CPU has no INVLPGB",
    },
    Way {
        name: "hanging_before_the_first_row",
        qemu: "sleep 100",
        arguments: "--timeout 3",
        code: 3,
        rows: [Timeout, Timeout],
        reason: "timeout: stopped: the time was over",
    },
    Way {
        name: "a_guest_that_resets_the_machine",
        qemu: "begin; first; exit 0",
        arguments: "",
        code: 1,
        rows: [Violation, Died],
        reason: "died: the machine was reset or switched off",
    },
    Way {
        name: "a_console_that_is_no_text",
        qemu: "begin; head -c 3000000 /dev/zero; printf '\\377\\n'; first; echo '@begin gather-posted'; second; exit 65",
        arguments: "",
        code: 0,
        rows: [Violation, Violation],
        reason: "",
    },
    Way {
        name: "a_row_that_is_read_late",
        qemu: "begin; first; echo '@begin gather-posted'; { sleep 4; second; } & exit 65",
        arguments: "",
        code: 0,
        rows: [Violation, Violation],
        reason: "",
    },
    Way {
        name: "a_log_disk_that_is_full",
        qemu: GOOD,
        arguments: "--log /dev/full",
        code: 3,
        rows: [Violation, Violation],
        reason: "--log /dev/full: cannot be written: No space left on device",
    },
    Way {
        name: "a_json_disk_that_is_full",
        qemu: "begin; first; second; exit 65",
        arguments: "--json /dev/full",
        code: 3,
        rows: [Violation, Violation],
        reason: "--json /dev/full: cannot be written: No space left on device",
    },
];

pub fn trials() -> Vec<Trial> {
    let ways = WAYS.iter().map(|way| trial(&format!("dying::item_13_{}", way.name), || die(way)));
    let others = vec![
        trial("dying::item_13_sigterm", || signalled("TERM")),
        trial("dying::item_13_sigint", || signalled("INT")),
        trial("dying::item_13_a_terminal_that_is_closed", || signalled("HUP")),
        trial("dying::item_13_a_terminal_that_is_closed_under_nohup", nohup),
        trial("dying::item_13_sigterm_before_the_first_row", signalled_early),
        trial("dying::item_13_a_full_disk_behind_standard_output", full_stdout),
        small_disk_trial(),
        trial("dying::item_13_a_folder_for_results_that_is_gone", no_folder),
        trial("dying::item_13_readers_that_have_left", no_readers),
        trial("dying::item_13_results_on_standard_output_and_in_pipes", piped),
        trial("dying::item_14_provenance_only_of_boots_that_happened", provenance),
    ];
    ways.chain(others).collect()
}

fn statuses(document: &Document) -> Vec<Status> {
    document.rows.iter().map(|row| row.status).collect()
}

fn die(way: &Way) -> Result<()> {
    let fake = Fake::new(way.qemu)?;
    let output = fake.command(way.arguments)?.output()?;
    let said = said(&output);
    ensure!(output.status.code() == Some(way.code), "{}: {said}", output.status);
    let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    // One cause, one line.
    ensure!(errors.len() == usize::from(way.code != 0), "{said}");
    ensure!(errors.iter().all(|line| line.contains(way.reason)), "{said}");
    ensure!(!said.contains("panicked at"), "{said}");
    let table = String::from_utf8_lossy(&output.stdout);
    for (policy, status) in ["never", "gather-posted"].into_iter().zip(way.rows) {
        let is_row = |line: &str| line.starts_with(policy) && line.ends_with(&status.to_string());
        ensure!(table.lines().any(is_row), "{policy} {status}: {table}");
    }
    ensure!(fake.left()? == 0, "files are left");
    if !way.arguments.contains("--json") {
        ensure!(statuses(&fake.document()?) == way.rows, "{:#?}", fake.document()?.rows);
    }
    Ok(())
}

/// Waits for `path`, which holds a process id, and reads it.
fn wait_for_id(path: &Path) -> Result<u32> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(id) = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()) {
            return Ok(id);
        }
        sleep(Duration::from_millis(20));
    }
    anyhow::bail!("QEMU was not started within a minute")
}

/// Starts the host by `env` with this argument, waits until its QEMU has written what it has to, and sends the signal.
/// Returns the process of QEMU, and how the host ended.
fn send(fake: &Fake, signal: &str, env: &str) -> Result<(u32, Output)> {
    let command = fake.command("")?;
    let mut host = Command::new("env");
    host.arg(format!("--{env}-signal={signal}")).args(line(&command).split(' ')).envs(environment(&command));
    let host = host.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let qemu = wait_for_id(&fake.work.path().join("id"))?;
    // The host has a moment to read the row.
    sleep(Duration::from_millis(500));
    ensure!(fake.left()? > 0, "there is no ISO to leave behind");
    ensure!(Command::new("sh").args(["-c", &format!("kill -{signal} {}", host.id())]).status()?.success());
    Ok((qemu, Child::wait_with_output(host)?))
}

/// The same; returns what the host said. It does not ignore the signal, though these tests may have been told to.
fn interrupt(fake: &Fake, signal: &str, code: i32) -> Result<String> {
    let (qemu, output) = send(fake, signal, "default")?;
    let said = said(&output);
    ensure!(output.status.code() == Some(code), "{}: {said}", output.status);
    ensure!(said.contains("stopped by a signal"), "{said}");
    ensure!(fake.left()? == 0, "an ISO is left");
    ensure!(!is_alive(qemu), "QEMU is left");
    Ok(said)
}

const SAYS_ITS_ID: &str = "echo $$ >\"$(dirname \"$0\")/id\"; exec sleep 100";

fn signalled(signal: &str) -> Result<()> {
    let fake = Fake::new(&format!("begin; first; echo '@begin gather-posted'; {SAYS_ITS_ID}"))?;
    interrupt(&fake, signal, 1)?;
    ensure!(statuses(&fake.document()?) == [Violation, Died], "{:#?}", fake.document()?.rows);
    Ok(())
}

fn nohup() -> Result<()> {
    let rest = "sleep 2; echo '@begin gather-posted'; second; exit 65";
    let fake = Fake::new(&format!("begin; first; echo $$ >\"$(dirname \"$0\")/id\"; {rest}"))?;
    let (_, output) = send(&fake, "HUP", "ignore")?;
    ensure!(output.status.code() == Some(0), "{}: {}", output.status, said(&output));
    ensure!(statuses(&fake.document()?) == [Violation, Violation], "{:#?}", fake.document()?.rows);
    Ok(())
}

fn signalled_early() -> Result<()> {
    let fake = Fake::new(SAYS_ITS_ID)?;
    let said = interrupt(&fake, "TERM", 3)?;
    ensure!(said.lines().count() == 1, "{said}");
    Ok(())
}

const GOOD: &str = "begin; first; echo '@begin gather-posted'; second; exit 65";

fn full_stdout() -> Result<()> {
    let fake = Fake::new(GOOD)?;
    let full = fs::File::options().write(true).open("/dev/full")?;
    let output = fake.command("")?.stdout(full).output()?;
    let said = said(&output);
    ensure!(output.status.code() == Some(3), "{}: {said}", output.status);
    ensure!(said.contains("error: standard output cannot be written: No space left on device"), "{said}");
    ensure!(statuses(&fake.document()?) == [Violation, Violation]);
    Ok(())
}

/// Makes a shell that may mount, for itself alone.
const MAY_MOUNT: [&str; 3] = ["unshare", "--mount", "--map-root-user"];

fn small_disk_trial() -> Trial {
    let [program, arguments @ ..] = MAY_MOUNT;
    let may = Command::new(program).args(arguments).arg("true").stderr(Stdio::null()).status();
    let test = trial("dying::item_13_a_full_disk_keeps_the_file_that_was_there", small_disk);
    if may.is_ok_and(|status| status.success()) {
        test
    } else {
        test.with_kind("skipped: no mounts here").with_ignored_flag(true)
    }
}

/// The disk holds the old file, and has no room for the new one.
fn small_disk() -> Result<()> {
    let mut fake = Fake::new(GOOD)?;
    let disk = fake.work.path().join("disk");
    fs::create_dir(&disk)?;
    fake.json = disk.join("rows.json");
    let host = line(&fake.command("")?);
    let name = disk.display();
    let script = format!(
        "mount -t tmpfs -o size=4k none {name} && echo as it was >{name}/rows.json && {{ {host} >&2; echo $?; \
         cat {name}/rows.json; ls -A {name}; }}"
    );
    let [program, arguments @ ..] = MAY_MOUNT;
    let mut shell = Command::new(program);
    shell.args(arguments).args(["sh", "-c", &script]);
    let output = shell.envs(environment(&fake.command("")?)).output()?;
    let said = said(&output);
    ensure!(output.stdout == b"3\nas it was\nrows.json\n", "{}{said}", String::from_utf8_lossy(&output.stdout));
    ensure!(said.contains("rows.json: cannot be written: No space left on device"), "{said}");
    Ok(())
}

/// What a shell has to run to run `command`; no word of it has a space.
fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn environment(command: &Command) -> Vec<(OsString, OsString)> {
    let set = command.get_envs().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
    set.collect()
}

/// The folder is removed while the machine runs.
fn no_folder() -> Result<()> {
    let mut fake = Fake::new(&format!("rm -r \"$(dirname \"$0\")/gone\"; {GOOD}"))?;
    fake.json = fake.work.path().join("gone/rows.json");
    fs::create_dir(fake.work.path().join("gone"))?;
    let output = fake.command("")?.output()?;
    let (said, table) = (said(&output), String::from_utf8_lossy(&output.stdout));
    ensure!(output.status.code() == Some(3), "{}: {said}", output.status);
    ensure!(said.contains("rows.json: cannot be written: No such file or directory"), "{said}");
    // They are still printed.
    ensure!(table.matches(" violation").count() == 2, "{table}");
    Ok(())
}

fn no_readers() -> Result<()> {
    for closed in ["1>&-", "2>&-", "1>&- 2>&-", "| true", "2>&1 | true"] {
        let fake = Fake::new(GOOD)?;
        let command = fake.command("")?;
        let status = fake.work.path().join("status");
        let text = format!("{{ {}; echo $? >{}; }} {closed}", line(&command), status.display());
        let mut shell = Command::new("sh");
        shell.envs(environment(&command));
        shell.args(["-c", &text]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        let code = fs::read_to_string(status)?;
        ensure!(code.trim() == "0", "{closed}: {code}");
        ensure!(statuses(&fake.document()?) == [Violation, Violation], "{closed}");
    }
    Ok(())
}

fn piped() -> Result<()> {
    for name in ["-", "/dev/stdout"] {
        let fake = Fake::new(GOOD)?;
        let output = fake.command(&format!("--json {name}"))?.output()?;
        let document = parse(&output.stdout)?;
        ensure!(output.status.code() == Some(0) && document.rows.len() == 2);
        let words: Vec<_> = said(&output).split_whitespace().map(str::to_owned).collect();
        ensure!(words.join(" ").ends_with("| QEMU 0, tcg-single | booted by fake 1"), "{words:?}");
    }
    let fake = Fake::new(GOOD)?;
    ensure!(Command::new("mkfifo").arg(&fake.json).status()?.success());
    let reader = Command::new("cat").arg(&fake.json).stdout(Stdio::piped()).spawn()?;
    ensure!(fake.command("")?.stdout(Stdio::null()).status()?.success());
    let document = parse(&reader.wait_with_output()?.stdout)?;
    ensure!(document.rows.len() == 2);
    Ok(())
}

fn provenance() -> Result<()> {
    let fake = Fake::new(GOOD)?;
    ensure!(fake.command("")?.stdout(Stdio::null()).status()?.success());
    let document = fake.document()?;
    ensure!((document.loader.as_deref(), document.qemu.as_deref()) == (Some("fake 1"), Some("0")));
    let fake = Fake::new("exit 1")?;
    let output = fake.command("")?.output()?;
    let document = fake.document()?;
    ensure!(document.loader.is_none() && document.qemu.is_none(), "{document:?}");
    ensure!(!String::from_utf8_lossy(&output.stdout).contains("booted by"));
    Ok(())
}
