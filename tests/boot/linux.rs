//! A real Linux beside this kernel: Debian's, where it can be had. Where it cannot, its tests are skipped with the reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use gupsync_host::linux::kernel::Kernel;
use libtest_mimic::Trial;

use crate::cli::{gupsync, parse, read, said};
use crate::trial;

/// Whether Debian's kernel can be had, or why not. A list asks for none.
pub fn kernel(is_list: bool) -> Result<(), String> {
    if is_list { Ok(()) } else { Kernel::find(None).map(drop).map_err(|error| format!("{error:#}")) }
}

/// A file that begins as a bzImage does, and holds nothing.
pub fn no_kernel(folder: &Path) -> Result<PathBuf> {
    let mut image = vec![0; 4096];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    image[0x300..0x304].copy_from_slice(b"0.0 ");
    let path = folder.join("bzImage");
    fs::write(&path, image)?;
    Ok(path)
}

/// A test.
pub type Test = fn() -> Result<()>;

/// A test that needs that kernel.
pub fn needs(kernel: &Result<(), String>, name: &str, test: Test) -> Trial {
    match kernel {
        Ok(()) => trial(name, test),
        Err(reason) => trial(name, || Ok(())).with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
    }
}

/// All of them.
pub fn trials(kernel: &Result<(), String>) -> Vec<Trial> {
    let with_kernel: [(&str, Test); 5] = [
        ("linux::broadcast_costs_what_linux_costs", costs_the_same),
        ("linux::khugepaged_costs_what_broadcast_from_outside_costs", by_khugepaged),
        ("linux::what_has_no_row_is_told_beside_the_document", without_a_row),
        ("linux::a_machine_that_lacks_something_says_what", lacks),
        ("linux::the_exported_program_counts_and_holds_its_bound", exported),
    ];
    let mut trials: Vec<_> = with_kernel.into_iter().map(|(name, test)| needs(kernel, name, test)).collect();
    trials.push(trial("linux::what_it_cannot_be_told_is_refused", refuses));
    trials
}

const COMPARE: [&str; 9] =
    ["compare", "--with-linux", "--policy", "broadcast,pending", "--cpus", "2", "--mm-cpus", "2", "--ops"];

/// Each operation that both do: collapse, unshare, unmap and protect on two CPUs, a sibling running on the other.
fn costs_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let json = folder.path().join("rows.json");
    let mut compare = gupsync();
    compare.args(COMPARE).args(["8", "--workload", "collapse,unshare,unmap,protect"]);
    let output = compare.args(["--invlpgb", "off", "--json"]).arg(&json).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let lines = said(&output);
    let agree =
        lines.lines().filter(|line| line.starts_with("linux-") && line.contains(": agree: flush 1, sync "));
    ensure!(agree.count() == 4, "{lines}");
    let document = read(&json)?;
    ensure!(document.linux.is_some_and(|linux| linux.starts_with("Linux ")), "which Linux is written down");
    let of_linux = document.rows.iter().filter(|row| row.policy.is_linux());
    let counted: Vec<_> = of_linux.map(|row| (row.workload.to_string(), row.counts.ops)).collect();
    let expected = ["collapse", "unshare", "unmap", "protect"].map(|name| (name.to_owned(), Some(8)));
    ensure!(counted == expected, "{counted:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.lines().filter(|line| line.starts_with("linux-")).count() == 4, "{text}");
    Ok(())
}

/// mTHPs, made by khugepaged on a CPU that does not run the mm. Each is flushed and synced for.
fn by_khugepaged() -> Result<()> {
    let mut compare = gupsync();
    compare.args("compare --with-linux --policy broadcast --invlpgb off --cpus 2 --mm-cpus 1".split(' '));
    let output = compare.args("--mutator outside --ops 4 --order 6".split(' ')).output()?;
    let agree = "and broadcast, collapse: agree: flush 8, sync 8 an operation";
    ensure!(output.status.success() && said(&output).contains(agree), "{}", said(&output));
    Ok(())
}

fn without_a_row() -> Result<()> {
    let output = count(&["--workload", "protect", "--dontneed", "--json", "-"])?;
    let said = said(&output);
    ensure!(output.status.success(), "{}: {said}", output.status);
    let document = parse(&output.stdout)?;
    ensure!(document.rows.len() == 1, "{} rows", document.rows.len());
    let found = said.lines().find(|line| line.starts_with("dontneed: "));
    ensure!(found.is_some_and(|line| line.contains("dontneed: flush 3, sync 0 in ")), "{said}");
    Ok(())
}

fn count(arguments: &[&str]) -> Result<Output> {
    Ok(gupsync().args(["linux", "count", "--ops", "3"]).args(arguments).output()?)
}

/// One line each, with the cause, and no row that looks like a zero.
fn lacks() -> Result<()> {
    let cases: [(&[&str], u8, &str); 4] = [
        (&["--timeout", "1"], 3, ": timeout: "),
        (&["--append", "rdinit=/none root=/dev/none"], 3, "Linux said: Kernel panic"),
        (&["--append", "maxcpus=1"], 3, "Linux runs 1 CPUs of 2"),
        (&["--qemu-arg", "-device", "--qemu-arg", "none"], 3, "QEMU said: "),
    ];
    for (arguments, status, reason) in cases {
        let output = count(&[arguments, &["--cpus", "2", "--mm-cpus", "2"]].concat())?;
        let (said, shown) = (said(&output), String::from_utf8_lossy(&output.stdout).into_owned());
        let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        let is_right = output.status.code() == Some(status.into()) && errors.len() == 1;
        ensure!(is_right && errors[0].contains(reason), "{arguments:?}: {:?}: {said}\n{shown}", output.status);
        ensure!(!shown.contains(" 0  "), "a failure is no zero: {shown}");
    }
    Ok(())
}

/// On the host's own Linux, whatever that is: it says what it counted or why it could not, in KTAP; never nothing.
fn exported() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let output = gupsync().args(["linux", "export", "--out"]).arg(&out).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    for file in ["run.sh", "Makefile", "config", "gupsync.yaml", "README"] {
        ensure!(out.join(file).is_file(), "{file} is missing");
    }
    let program = out.join("gupsync-guest");
    let kind = Command::new(&program).arg("--help").output().context("it runs here")?;
    ensure!(kind.status.success() && String::from_utf8_lossy(&kind.stdout).contains("--bound N"));
    for (arguments, reason) in [
        (["--operation", "hope"], "--operation hope: is none of collapse"),
        (["--siblings", "100000"], "--siblings 100000: there are"),
        (["--ops", "few"], "--ops few: is no number"),
    ] {
        let output = Command::new(&program).args(arguments).output()?;
        ensure!(output.status.code() == Some(2) && said(&output).contains(reason), "{}", said(&output));
    }
    let output = Command::new(&program).args(["--operation", "protect", "--ops", "2"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (is_ok, is_broken) = (text.contains("\nok 1 protect"), text.contains("\nnot ok 1 protect"));
    ensure!(text.starts_with("KTAP version 1\n1..1\n") && (is_ok || is_broken), "{text}");
    let is_passed =
        output.status.code() == Some(0) || text.contains("# SKIP") && output.status.code() == Some(4);
    ensure!(is_ok == is_passed, "{:?}: {text}", output.status);
    Ok(())
}

fn refuses() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("vmlinux");
    fs::write(&file, "\x7fELF")?;
    let file = file.display().to_string();
    let cases: [(&[&str], &str); 7] = [
        (&["--order", "4"], "--order 4: MADV_COLLAPSE makes huge pages alone"),
        (&["--mutator", "outside", "--mm-cpus", "2", "--cpus", "2"], "--cpus 2: the threads need 3"),
        (&["--kernel", &file], "vmlinux: is no bzImage"),
        (&["--kernel", "/none/bzImage"], "--kernel /none/bzImage: "),
        (&["--hotplug", "1"], "--hotplug 1: a real Linux cannot be told that"),
        (&["--workload", "reclaim"], "--workload reclaim: "),
        (&["--cpus", "2", "--mm-cpus", "5"], "--cpus 2: the threads need 5; use --cpus 5 or more"),
    ];
    for (arguments, reason) in cases {
        let output = count(arguments)?;
        let said = said(&output);
        let is_right = output.status.code() == Some(2) && said.lines().count() == 1 && said.contains(reason);
        ensure!(is_right, "{arguments:?}: {:?}: {said}", output.status);
    }
    let config = file.replace("vmlinux", "config");
    fs::write(&config, "THP=n\n")?;
    for (arguments, reason) in [
        (["selftests", "--test", "hope"], "--test hope: is not in tools/linux/selftests"),
        (["build", "--config", config.as_str()], "config: `THP=n` is no CONFIG_NAME=value"),
    ] {
        let output = gupsync().arg("linux").args(arguments).output()?;
        let said = said(&output);
        ensure!(output.status.code() == Some(2) && said.contains(reason), "{:?}: {said}", output.status);
        ensure!(said.lines().count() == 1, "{said}");
    }
    Ok(())
}
