//! The counts against QEMU's own trace of interrupts: ICR writes by cause and by target, and interrupts taken.
//!
//! Each test runs with xAPIC, and again with x2APIC where this QEMU has it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gupsync::types::CpuId;
use gupsync_bench::cast::{Cast, Role};
use gupsync_bench::spec::MmName;
use gupsync_bench::{Row, Spec};
use gupsync_host::artifacts::Tree;
use gupsync_host::boot::{self, Word};
use gupsync_host::image::Bootloader;
use gupsync_host::qemu::abilities::{self, ApicWrites};
use gupsync_host::qemu::{Machine, Tuning};
use libtest_mimic::Trial;

use crate::{judge, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    type Test = fn(bool) -> Result<()>;
    let tests: [(&str, Test); 2] =
        [("counts_equal_those_of_qemu", counts_equal), ("mixed_counts_each_mm_and_each_cause", mixed)];
    let modes = tests.into_iter().flat_map(|test| [("xapic", false, test), ("x2apic", true, test)]);
    modes
        .map(|(mode, x2apic, (name, test))| {
            let trial = trial(&format!("trace::{name}_{mode}"), move || test(x2apic));
            if x2apic { where_x2apic_is(trial) } else { trial }
        })
        .collect()
}

/// Ignored where there is no x2APIC.
pub fn where_x2apic_is(trial: Trial) -> Trial {
    if matches!(abilities::has_x2apic(), Ok(false)) {
        return trial.with_kind("skipped: no x2APIC under TCG before QEMU 9").with_ignored_flag(true);
    }
    trial
}

/// Registers, by their xAPIC offset; the last marks where counting begins and ends.
const ICR_LOW: u64 = 0x300;
const ICR_HIGH: u64 = 0x310;
const MARK: u64 = 0x80;

/// Vectors.
const FLUSH: u64 = 0xf1;
const SYNC: u64 = 0xf2;
const KICK: u64 = 0xf3;
const OTHER: u64 = 0xf4;
const REQUESTS: [u64; 3] = [FLUSH, SYNC, OTHER];

/// Fields of an interrupt command.
const DELIVERY: u64 = 7 << 8;
const NMI: u64 = 4 << 8;
const ALL_BUT_SELF: u64 = 3 << 18;

/// What the trace shows after a mark, up to the next.
#[derive(Default, Debug)]
struct Seen {
    /// Requests sent, by vector and by the APIC ID of the target.
    requests: BTreeMap<(u64, u64), u64>,
    /// CPUs that wake-ups were sent to.
    kicked: u64,
    nmis: u64,
    taken: u64,
    /// Commands whose target is unclear: the two halves of the register were written by two CPUs in turn.
    unclear: u64,
}

impl Seen {
    fn command(&mut self, value: u64, target: Option<u64>, others: u64) {
        if value & DELIVERY == NMI {
            self.nmis += 1;
        } else if value & 0xff == KICK {
            self.kicked += if value & ALL_BUT_SELF == ALL_BUT_SELF { others } else { 1 };
        } else if REQUESTS.contains(&(value & 0xff)) {
            self.unclear += u64::from(target.is_none());
            *self.requests.entry((value & 0xff, target.unwrap_or(u64::MAX))).or_default() += 1;
        }
    }

    fn sent(&self, vector: u64, is_target: impl Fn(u64) -> bool) -> u64 {
        let of = self.requests.iter().filter(|((sent, target), _)| *sent == vector && is_target(*target));
        of.map(|(_, count)| count).sum()
    }
}

/// What was seen of each row: after its first mark, up to its second.
fn parse(trace: &str, writes: ApicWrites, x2apic: bool, machine: &Machine, rows: usize) -> Result<Vec<Seen>> {
    let (mut seen, mut high) = (Vec::new(), None);
    for line in trace.lines() {
        if let Some(rest) = line.strip_prefix(writes.event) {
            let hex = |text: &str| {
                let word = text.split_whitespace().last()?;
                u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
            };
            let (register, value) = rest.split_once('=').context("a trace without values")?;
            let (Some(register), Some(value)) = (hex(register), hex(value)) else { continue };
            match register << writes.shift {
                MARK => seen.push(Seen::default()),
                // It is what another CPU wrote, if that was not followed by its own command.
                ICR_HIGH => high = if high.is_none() { Some(value >> 24) } else { None },
                ICR_LOW => {
                    let target = if x2apic { Some(value >> 32) } else { high.take() };
                    let others = machine.cpus as u64 - 1;
                    if let Some(row) = seen.last_mut() {
                        row.command(value & 0xffff_ffff, target, others);
                    }
                }
                _ => {}
            }
        } else if let Some(vector) = line.strip_prefix("Servicing hardware INT=0x") {
            let vector = u64::from_str_radix(vector.trim(), 16).unwrap_or(0);
            if let Some(row) = seen.last_mut().filter(|_| REQUESTS.contains(&vector)) {
                row.taken += 1;
            }
        }
    }
    // Two marks for each policy, and what firmware has written before.
    let first = seen.len().checked_sub(2 * rows).context("QEMU's trace lacks marks")?;
    Ok(seen.drain(first..).step_by(2).collect())
}

/// What a boot gave, and what QEMU's trace has of it.
struct Traced {
    rows: Vec<Row>,
    /// One for each policy of each spec.
    seen: Vec<Seen>,
    /// By CPU.
    apic_ids: Vec<u64>,
}

fn traced(machine: Machine, x2apic: bool, specs: &[Spec]) -> Result<Traced> {
    let work = tempfile::tempdir()?;
    let path = work.path().join("trace");
    let cpu_model = (!x2apic).then(|| "max,-x2apic".to_owned());
    let tuning = Tuning { cpu_model, ..Tuning::default() };
    let machine = Machine { trace: Some(path.clone()), tuning, ..machine };
    let mut said = Vec::new();
    let listen = |word: Word<'_>| {
        if let Word::Line(line) = word {
            said.push(line.to_owned());
        }
    };
    let timeout = Duration::from_secs(200);
    let rows = boot::run(&Tree::own(), &Bootloader::Direct, &machine, specs, timeout, listen)?.rows;
    rows.iter().try_for_each(judge)?;
    let mode = if x2apic { ", x2APIC," } else { ", xAPIC," };
    ensure!(said.iter().any(|line| line.contains(mode)), "the kernel does not say `{mode}`: {said:#?}");
    let ids = said.iter().find_map(|line| line.split_once("APIC IDs: [")).context("no APIC IDs")?.1;
    let apic_ids = ids.trim_end_matches(']').split(", ").map(str::parse).collect::<Result<_, _>>()?;
    let trace = String::from_utf8_lossy(&fs::read(&path).context("QEMU wrote no trace")?).into_owned();
    let policies = specs.iter().map(|spec| spec.policy.len()).sum();
    let seen = parse(&trace, ApicWrites::find()?, x2apic, &machine, policies)?;
    Ok(Traced { rows, seen, apic_ids })
}

/// The counts of all mms together.
fn equal(row: &Row, seen: &Seen) -> Result<()> {
    let counts = &row.counts;
    let pairs = [
        ("flush IPIs", counts.flush_ipis, seen.sent(FLUSH, |_| true)),
        ("sync IPIs", counts.sync_ipis, seen.sent(SYNC, |_| true)),
        ("other IPIs", counts.other_ipis, seen.sent(OTHER, |_| true)),
        ("kicks", counts.kicks, seen.kicked),
        ("NMIs", counts.emulation_nmis, seen.nmis),
        ("interrupts taken", counts.interrupts_taken, seen.taken),
    ];
    for (what, counted, traced) in pairs {
        ensure!(counted == Some(traced), "{what}: {traced} in QEMU's trace, {counted:?} in {row:#?}\n{seen:?}");
    }
    Ok(())
}

fn counts_equal(x2apic: bool) -> Result<()> {
    let words = [
        "invlpgb=off mm_cpus=4",
        "invlpgb=on mm_cpus=4",
        "invlpgb=on mm_cpus=2",
        "invlpgb=off mm_cpus=3 mutator=outside",
        "workload=piggyback-kernel mm_cpus=3 flush=hypercall preempted=1",
        "mm_cpus=3 lazy=1 flush=hypercall-all",
    ];
    let specs = words.map(|words| spec(&format!("{words} ops=20")));
    let Traced { rows, seen, .. } = traced(machine(4), x2apic, &specs)?;
    ensure!(rows.len() == seen.len());
    rows.iter().zip(&seen).try_for_each(|(row, seen)| equal(row, seen))
}

/// Several mms: each cause's requests in all, and, where an mm's requests go to its own CPUs only, those of each mm.
fn mixed(x2apic: bool) -> Result<()> {
    const MMS: [MmName; 5] =
        [MmName::Global, MmName::Ipi, MmName::Transition, MmName::Exhausted, MmName::Hypercall];
    let common = "workload=mixed threshold=3 invlpgb=on ops=40 policy=broadcast,gather,pending";
    let specs = ["flushers=1 isolated=1", "flushers=1 isolated=1 switchers=2 lazy=1"]
        .map(|words| spec(&format!("{common} {words}")));
    let cpus = 20;
    let Traced { rows, seen, apic_ids } = traced(machine(cpus), x2apic, &specs)?;
    let rows: Vec<_> = rows.chunks(MMS.len() + 1).collect();
    ensure!(rows.len() == seen.len() && rows.len() == 6);
    let mut coalesced = 0;
    for (at, (rows, seen)) in rows.iter().zip(&seen).enumerate() {
        let total = &rows[MMS.len()];
        equal(total, seen)?;
        let counts = &total.counts;
        let requests =
            [counts.flush_ipis, counts.sync_ipis, counts.other_ipis].into_iter().flatten().sum::<u64>();
        coalesced += requests - seen.taken;
        // A switcher is a target on behalf of several mms.
        let spec = &specs[at / 3];
        if spec.switchers > 0 {
            continue;
        }
        let cast = Cast::new(spec, cpus);
        for (team, row) in rows[..MMS.len()].iter().enumerate() {
            ensure!(row.mm == MMS[team], "{row:#?}");
            let is_own = |id: u64| {
                let cpu = apic_ids.iter().position(|own| *own == id);
                cpu.is_some_and(|cpu| {
                    matches!(cast.role(CpuId(cpu)), Role::Mutator(of) | Role::Worker(of) | Role::Flusher(of) if of == team)
                })
            };
            let same = |vector, counted: Option<u64>| {
                let traced = seen.sent(vector, is_own);
                let is_same = counted.is_some_and(|counted| counted.abs_diff(traced) <= seen.unclear);
                ensure!(is_same, "{vector:#x}: {traced} in QEMU's trace, in {row:#?}\n{seen:?}");
                Ok(())
            };
            same(FLUSH, row.counts.flush_ipis)?;
            if *row.policy == *"pending" {
                same(SYNC, row.counts.sync_ipis)?;
            }
        }
    }
    ensure!(coalesced > 0, "no interrupt served two requests: that it may is not shown here");
    Ok(())
}
