//! Counts calls of other CPUs, since the boot.
//!
//! # Guarantee
//!
//! Where the kernel has the trace point `csd:csd_queue_cpu`, each CPU that is called counts once for each call, by the function
//! that is called, whether or not an interrupt was needed to tell it: `smp_call_function_many_cond()` and
//! `smp_call_function_single()` pass it for every target. The histogram is set up once and only read.
//! A kernel that cannot do that, or does not name functions, has `/proc/interrupts` read: what has arrived.
//!
//! A look at what was counted gives no memory back, and takes none but what it was given once: what an allocator unmaps is
//! flushed, and would be counted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::ops::Sub;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gupsync_guest::{Calls, Counted};

const TRIGGERS: &str = "/sys/kernel/tracing/events/csd/csd_queue_cpu/trigger";
const HISTOGRAM: &str = "/sys/kernel/tracing/events/csd/csd_queue_cpu/hist";
const INTERRUPTS: &str = "/proc/interrupts";
/// What names functions: without it a histogram has their addresses.
const NAMES: &str = "/proc/kallsyms";
/// What is counted: by function and target.
const TRIGGER: &str = "hist:keys=func.sym,cpu:size=4096";

/// The function that a flush calls: `flush_tlb_multi()` and `flush_tlb_mm_range()` have it called.
const FLUSH: &str = "flush_tlb_func";
/// The function that a sync calls: by `tlb_remove_table_sync_one()`.
const SYNC: &str = "tlb_remove_table_smp_sync";

/// How often each CPU was called, by function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<(String, usize), u64>);

/// Sets the counting up, and says how it is done.
///
/// # Errors
///
/// If the kernel could count where calls are queued, and does not.
pub fn begin() -> Result<Counted> {
    begin_by(Path::new(TRIGGERS), Path::new(NAMES))
}

fn begin_by(triggers: &Path, names: &Path) -> Result<Counted> {
    let Some(set) = fs::read_to_string(triggers).ok().filter(|_| names.exists()) else {
        return Ok(Counted::Arrived);
    };
    if set.contains("hist:keys=func.sym,cpu") {
        return Ok(Counted::Queued);
    }
    match fs::write(triggers, TRIGGER) {
        // Built without CONFIG_HIST_TRIGGERS.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(Counted::Arrived),
        written => written.context("csd:csd_queue_cpu cannot be counted").map(|()| Counted::Queued),
    }
}

/// Takes away what [`begin`] has set up.
pub fn end() {
    let _ = fs::write(TRIGGERS, format!("!{TRIGGER}"));
}

/// What was read at a look, as it was.
pub struct Look {
    counted: Counted,
    text: Vec<u8>,
    len: usize,
}

/// So long are a histogram of 4,096 entries and the interrupts of 512 CPUs at most.
const ROOM: usize = 1 << 20;

impl Look {
    /// Room for one.
    pub fn new(counted: Counted) -> Self {
        Look { counted, text: vec![0; ROOM], len: 0 }
    }

    /// Looks.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn take(&mut self) -> Result<()> {
        let mut file = match self.counted {
            Counted::Queued => File::open(HISTOGRAM)?,
            Counted::Arrived => File::open(INTERRUPTS)?,
        };
        self.len = 0;
        loop {
            ensure!(self.len < ROOM, "what was counted has no room in {ROOM} bytes");
            match file.read(&mut self.text[self.len..])? {
                0 => return Ok(()),
                more => self.len += more,
            }
        }
    }

    /// What was counted until then.
    ///
    /// # Errors
    ///
    /// If it is not what the kernel writes, or some of it was lost.
    pub fn tally(&self) -> Result<Tally> {
        let text = str::from_utf8(&self.text[..self.len])?;
        match self.counted {
            Counted::Queued => Tally::of_histogram(text),
            Counted::Arrived => Tally::of_interrupts(text),
        }
    }
}

impl Tally {
    fn of_histogram(text: &str) -> Result<Self> {
        let mut tally = Tally::default();
        for line in text.lines() {
            let dropped = line.trim().strip_prefix("Dropped:").map(str::trim);
            ensure!(
                dropped.is_none_or(|dropped| dropped == "0"),
                "the histogram of csd_queue_cpu has lost calls"
            );
            if let Some((key, count)) = entry(line) {
                ensure!(
                    !key.0.starts_with('['),
                    "csd_queue_cpu names no function; build the kernel with CONFIG_KALLSYMS"
                );
                *tally.0.entry(key).or_default() += count;
            }
        }
        Ok(tally)
    }

    fn of_interrupts(text: &str) -> Result<Self> {
        let mut tally = Tally::default();
        for (name, function) in [("TLB:", FLUSH), ("CAL:", SYNC)] {
            let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
            let counts = line.with_context(|| format!("{INTERRUPTS} has no line {name}"))?;
            let counts = counts.split_whitespace().map_while(|word| word.parse().ok());
            tally.0.extend(counts.enumerate().map(|(cpu, count)| ((function.to_owned(), cpu), count)));
        }
        Ok(tally)
    }

    /// The flushes and syncs that it has, those of CPUs outside apart: CPUs of this number and higher are outside.
    pub fn calls(&self, first_outside: usize) -> Calls {
        let mut calls = Calls::default();
        for ((function, cpu), count) in &self.0 {
            match function.as_str() {
                FLUSH => calls.flush += count,
                SYNC => calls.sync += count,
                _ => {}
            }
            if *cpu >= first_outside && [FLUSH, SYNC].contains(&function.as_str()) {
                calls.outside += count;
            }
        }
        calls
    }

    /// The calls that are neither a flush nor a sync, by function.
    pub fn others(&self) -> impl Iterator<Item = (&str, u64)> {
        let of = self.0.iter().map(|((function, _), count)| (function.as_str(), *count));
        of.filter(|(function, _)| ![FLUSH, SYNC].contains(function))
    }
}

impl Sub for &Tally {
    type Output = Tally;

    fn sub(self, before: &Tally) -> Tally {
        let grown = self.0.iter().map(|(key, count)| (key, count - before.0.get(key).unwrap_or(&0)));
        Tally(grown.filter(|(_, count)| *count > 0).map(|(key, count)| (key.clone(), count)).collect())
    }
}

/// An entry of the histogram: `{ func: [ffffffff81000000] flush_tlb_func , cpu: 3 } hitcount: 12`.
fn entry(line: &str) -> Option<((String, usize), u64)> {
    let (key, count) = line.strip_prefix('{')?.split_once('}')?;
    let count = count.split_once("hitcount:")?.1.trim().parse().ok()?;
    let (function, cpu) = key.split_once("func:")?.1.split_once(", cpu:")?;
    let name = function.trim().rsplit(' ').next()?.split('+').next()?;
    Some(((name.to_owned(), cpu.trim().parse().ok()?), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "\
# event histogram
#
# trigger info: hist:keys=func.sym,cpu:vals=hitcount:sort=hitcount:size=4096 [active]
#

{ func: [ffffffff81289c20] tlb_remove_table_smp_sync                    , cpu:          7 } hitcount:          1
{ func: [ffffffff81079fd0] flush_tlb_func                               , cpu:          1 } hitcount:          3
{ func: [ffffffff81079fd0] flush_tlb_func                               , cpu:          2 } hitcount:          4
{ func: [ffffffff8110dd10] rcu_exp_handler                              , cpu:          2 } hitcount:          2

Totals:
    Hits: 10
    Entries: 4
    Dropped: 0
";

    #[test]
    fn a_histogram_is_read_by_function_and_target() {
        let tally = Tally::of_histogram(SHOWN).expect("nothing was lost");
        assert_eq!(tally.calls(2), Calls { flush: 7, sync: 1, outside: 5 });
        assert_eq!(tally.others().collect::<Vec<_>>(), [("rcu_exp_handler", 2)]);
        let later = SHOWN.replace("hitcount:          4", "hitcount:          9");
        let later = Tally::of_histogram(&later).expect("nothing was lost");
        assert_eq!((&later - &tally).calls(0), Calls { flush: 5, sync: 0, outside: 5 });
    }

    #[test]
    fn a_histogram_that_has_lost_calls_is_refused() {
        let error = Tally::of_histogram(&SHOWN.replace("Dropped: 0", "Dropped: 1")).expect_err("it is full");
        assert!(error.to_string().contains("has lost calls"), "{error}");
    }

    #[test]
    fn a_histogram_without_names_is_no_count_of_zero() {
        let nameless = SHOWN.replace("flush_tlb_func", "").replace("tlb_remove_table_smp_sync", "");
        let error = Tally::of_histogram(&nameless).expect_err("whose calls they are is not said");
        assert!(error.to_string().ends_with("build the kernel with CONFIG_KALLSYMS"), "{error}");
    }

    #[test]
    fn a_kernel_that_names_no_function_is_counted_by_what_arrives() {
        let folder = tempfile::tempdir().expect("a folder");
        let (triggers, names) = (folder.path().join("trigger"), folder.path().join("kallsyms"));
        let begin = || begin_by(&triggers, &names).expect("it can be counted");
        assert_eq!(begin(), Counted::Arrived, "no trace point");
        fs::write(&triggers, "# Available triggers:\n# hist\n").expect("a file");
        assert_eq!(begin(), Counted::Arrived, "no names");
        let set = || fs::read_to_string(&triggers).expect("a file");
        assert!(!set().contains("keys"), "what cannot be read is not counted");
        fs::write(&names, "").expect("a file");
        for _ in 0..2 {
            assert_eq!(begin(), Counted::Queued);
            assert_eq!(set(), TRIGGER);
        }
    }

    #[test]
    fn interrupts_that_arrived_are_read_where_nothing_else_is() {
        let text = "           CPU0       CPU1\n LOC:  5 6   Local timer interrupts\n \
                    CAL:          4          8   Function call interrupts\n TLB:  1  2   TLB shootdowns\n";
        let tally = Tally::of_interrupts(text).expect("both are there");
        assert_eq!(tally.calls(1), Calls { flush: 3, sync: 12, outside: 10 });
        let error = Tally::of_interrupts("TLB: 1 2 TLB shootdowns").expect_err("one is not");
        assert!(error.to_string().contains("has no line CAL:"), "{error}");
    }
}
