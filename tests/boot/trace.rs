//! The counts against QEMU's own trace of interrupts: ICR writes, and interrupts taken.

use std::fs;

use anyhow::{Context, Result, ensure};
use gupsync_host::qemu::Machine;
use libtest_mimic::Trial;

use crate::{boot, judge, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    vec![trial("trace::counts_equal_those_of_qemu", counts_equal)]
}

/// The low half of the interrupt command register, and the register that marks where counting begins and ends.
const ICR_LOW: u64 = 0x300;
const MARK: u64 = 0x80;
const FLUSH: u64 = 0xf1;
const SYNC: u64 = 0xf2;

/// What the trace shows after a mark, up to the next.
#[derive(Default, Debug)]
struct Seen {
    flushes_sent: u64,
    syncs_sent: u64,
    taken: u64,
}

fn parse(trace: &str) -> Vec<Seen> {
    let mut seen = Vec::new();
    for line in trace.lines() {
        if let Some(rest) = line.strip_prefix("apic_mem_writel ") {
            let hex = |text: &str| u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok();
            let Some((register, value)) = rest.split_once('=') else { continue };
            let (Some(register), Some(value)) = (hex(register), hex(value)) else { continue };
            match (register, value & 0xff, seen.last_mut()) {
                (MARK, ..) => seen.push(Seen::default()),
                (ICR_LOW, FLUSH, Some(row)) => row.flushes_sent += 1,
                (ICR_LOW, SYNC, Some(row)) => row.syncs_sent += 1,
                _ => {}
            }
        } else if let Some(vector) = line.strip_prefix("Servicing hardware INT=0x")
            && let (Ok(FLUSH | SYNC), Some(row)) = (u64::from_str_radix(vector.trim(), 16), seen.last_mut())
        {
            row.taken += 1;
        }
    }
    seen
}

fn counts_equal() -> Result<()> {
    let work = tempfile::tempdir()?;
    let path = work.path().join("trace");
    let machine = Machine { trace: Some(path.clone()), ..machine(4) };
    let words = [
        "invlpgb=off mm_cpus=4",
        "invlpgb=on mm_cpus=4",
        "invlpgb=on mm_cpus=2",
        "invlpgb=off mm_cpus=3 mutator=outside",
    ];
    let specs = words.map(|words| spec(&format!("{words} ops=20")));
    let outcome = boot(&machine, &specs)?;
    let trace = String::from_utf8_lossy(&fs::read(&path).context("QEMU wrote no trace")?).into_owned();
    let marks = parse(&trace);
    // Two for each row, and what firmware has written before.
    let first = marks.len().checked_sub(2 * outcome.rows.len()).context("QEMU's trace lacks marks")?;
    for (row, seen) in outcome.rows.iter().zip(marks[first..].iter().step_by(2)) {
        judge(row)?;
        let counts = &row.counts;
        ensure!(counts.flush_ipis == Some(seen.flushes_sent), "{seen:?} in QEMU's trace, {row:#?}");
        ensure!(counts.sync_ipis == Some(seen.syncs_sent), "{seen:?} in QEMU's trace, {row:#?}");
        ensure!(counts.interrupts_taken == Some(seen.taken), "{seen:?} in QEMU's trace, {row:#?}");
    }
    Ok(())
}
