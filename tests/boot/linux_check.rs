//! `linux check`: what Debian's kernel does, as it is and with its sync made a no-op; and each way in which a kernel or a QEMU
//! cannot be looked at, which is one line and never a pass.
//!
//! Some need no kernel: their QEMU is a script.

use std::process::Output;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use crate::cli::{gupsync, said};
use crate::fake;
use crate::linux::{Test, needs, no_kernel};
use crate::trial;

/// All of them; those that boot need `kernel`.
pub fn trials(kernel: &Result<(), String>) -> Vec<Trial> {
    let broken = [
        (
            "a_qemu_without_a_gdb_stub",
            "echo 'qemu-system-x86_64: -gdb: invalid option' >&2; exit 1",
            "-gdb: invalid option; use a QEMU with a gdb stub",
        ),
        (
            "a_kernel_that_panics_at_once",
            "echo '[    0.1] Kernel panic - not syncing: no init'; exit 0",
            "; Linux said: Kernel panic - not syncing: no init",
        ),
        (
            "a_machine_that_resets",
            "echo 'a last word'; exit 0",
            "switched off; the console ends with: a last word",
        ),
        ("a_qemu_that_hangs", "exec sleep 60", "--timeout 2: the time was over; QEMU offers no gdb stub"),
    ];
    let mut trials: Vec<_> = broken
        .into_iter()
        .map(|(name, script, reason)| {
            trial(&format!("linux::check_{name}"), move || cannot_be_looked_at(script, reason))
        })
        .collect();
    let booted: [(&str, Test); 5] = [
        ("a_collapse_waits_and_a_missing_sync_is_seen", collapses),
        ("the_flush_of_an_ipi_kernel_waits_by_itself", flushes),
        ("the_last_sharer_waits_for_a_walker_of_the_first", leaks),
        ("a_kernel_that_does_not_flush_as_asked_is_not_said_to", refuses),
        ("a_kernel_that_panics_or_hangs_is_no_pass", dies),
    ];
    trials.extend(booted.map(|(name, test)| needs(kernel, &format!("linux::check_{name}"), test)));
    trials
}

/// The answer to a check with a QEMU that is a script.
fn cannot_be_looked_at(script: &str, reason: &str) -> Result<()> {
    let work = tempfile::tempdir()?;
    let path = fake::install(work.path(), script)?;
    let mut check = gupsync();
    check
        .args("linux check --test collapse --flush ipi --timeout 2 --kernel".split(' '))
        .arg(no_kernel(work.path())?);
    let output = check.env("PATH", path).output()?;
    let said = said(&output);
    ensure!(output.status.code() == Some(3) && output.stdout.is_empty(), "{}: {said}", output.status);
    ensure!(said.starts_with("error: ") && said.contains(reason) && said.lines().count() == 1, "{said}");
    Ok(())
}

fn check(arguments: &str) -> Result<(Output, String)> {
    let mut check = gupsync();
    check.args(["linux", "check"]).args(arguments.split(' '));
    let output = check.output()?;
    let text = String::from_utf8(output.stdout.clone())?;
    Ok((output, text))
}

/// All lines are there, and the status is that of a pass. A round that was inconclusive, and was done again, is said behind.
fn passes(arguments: &str, lines: &[&str]) -> Result<()> {
    let (output, text) = check(arguments)?;
    ensure!(output.status.code() == Some(0), "{}: {text}{}", output.status, said(&output));
    let plain = |line| str::split(line, "; done again, ").next().unwrap_or_default();
    let results: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(plain).collect();
    let plan = format!("1..{}", lines.len());
    ensure!(results[..2] == ["KTAP version 1", plan.as_str()] && results[2..] == *lines, "{text}");
    Ok(())
}

fn collapses() -> Result<()> {
    passes(
        "--test collapse --flush pv --rounds 4 --self-test",
        &[
            "ok 1 collapse.pv # waits in tlb_remove_table_sync_one, 4 of 4 rounds",
            "ok 2 collapse.pv.self-test # MISSING SYNC, 4 of 4 rounds",
        ],
    )
}

fn flushes() -> Result<()> {
    passes(
        "--test collapse,unshare --flush ipi --rounds 2 --self-test",
        &[
            "ok 1 collapse.ipi # waits in flush_tlb_mm_range, 2 of 2 rounds",
            "ok 2 collapse.ipi.self-test # waits in flush_tlb_mm_range, 2 of 2 rounds",
            "ok 3 unshare.ipi # waits in flush_tlb_mm_range, 2 of 2 rounds",
            "ok 4 unshare.ipi.self-test # waits in flush_tlb_mm_range, 2 of 2 rounds",
        ],
    )
}

fn leaks() -> Result<()> {
    passes(
        "--test three,leak --flush pv --rounds 2 --self-test",
        &[
            "ok 1 three.pv # waits in tlb_remove_table_sync_one, 2 of 2 rounds",
            "ok 2 three.pv.self-test # MISSING SYNC, 2 of 2 rounds",
            "ok 3 leak.pv # waits in tlb_remove_table_sync_one, 2 of 2 rounds",
            "ok 4 leak.pv.self-test # MISSING SYNC, and the walker read what another process wrote, 2 of 2 rounds",
        ],
    )
}

/// A check that is not a pass, for this reason.
fn is_inconclusive(arguments: &str, reason: &str) -> Result<()> {
    let (output, text) = check(arguments)?;
    ensure!(output.status.code() == Some(3), "{}: {text}{}", output.status, said(&output));
    ensure!(said(&output).lines().count() == 1 && !text.lines().any(|line| line.starts_with("ok")), "{text}");
    ensure!(text.contains(reason) || said(&output).contains(reason), "{text}{}", said(&output));
    Ok(())
}

fn refuses() -> Result<()> {
    let reason = "the kernel has no symbol emulate_invlpgb; build it with step t of the series";
    is_inconclusive("--test collapse --flush invlpgb --rounds 1", reason)?;
    let arguments = "--test collapse --flush pv --rounds 1 --qemu-arg -cpu --qemu-arg max,la57=off";
    is_inconclusive(arguments, "not kvm_flush_tlb_multi")
}

fn dies() -> Result<()> {
    let cases = [
        ("--append rdinit=/none", "; Linux said: Kernel panic"),
        ("--timeout 1", "--timeout 1: the time was over; "),
    ];
    cases.into_iter().try_for_each(|(arguments, reason)| {
        is_inconclusive(&format!("--test collapse --flush ipi --rounds 1 {arguments}"), reason)
    })
}
