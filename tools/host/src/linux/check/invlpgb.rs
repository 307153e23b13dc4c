//! Plays the instruction for a vCPU that is held, on a kernel that emulates INVLPGB by NMIs (step t of the series).
//!
//! # Guarantee
//!
//! The operation was flushed by INVLPGB: its process has a global ASID, which every CPU that runs it has loaded, the flush has
//! come to the emulation, and it has called no CPU. A vCPU that is held takes the NMI, as with the instruction it would lose
//! its translations: between two instructions of its walk, of which it does none.

use anyhow::{Result, bail, ensure};
use gupsync_guest::oracle::MEMBERS;

use super::calls::INVLPGB;
use super::symbols::Symbols;
use super::view::View;
use crate::linux::gdb::{Cause, Point};

/// What the kernel is told: INVLPGB needs PCID.
pub const APPEND: &str = "setcpuid=pcid,419";
/// What has the parts of the emulation.
const STEP: &str = "step t of the series (tools/gupsync linux build), and CONFIG_KALLSYMS_ALL";
/// Of CR3, the PCID: one more than the ASID.
const PCID: u64 = 0xfff;
/// The first PCID of a global ASID: each CPU has six of its own (`TLB_NR_DYN_ASIDS`).
const FIRST_GLOBAL: u64 = 7;
/// The time of day allows for a global ASID at one flush in 32 at least, if it is another each time.
const FLUSHES: u64 = 2000;

/// The part.
#[derive(Debug)]
pub struct Invlpgb {
    offsets: u64,
    /// The variables of the emulation: how many were sent, how many a CPU has done, and the CR3 that it was told to load.
    sent: u64,
    done: u64,
    cr3: u64,
}

/// Whether a process whose CPUs have these PCIDs has a global ASID, after so many flushes, `sent` of them by INVLPGB.
fn settled(flushes: u64, pcids: &[u64], sent: impl FnOnce() -> Result<u64>) -> Result<bool> {
    if flushes > 0 && pcids[0] >= FIRST_GLOBAL && pcids.iter().all(|pcid| *pcid == pcids[0]) {
        return Ok(true);
    }
    if flushes < FLUSHES {
        return Ok(false);
    }
    if sent()? == 0 {
        bail!("--flush invlpgb: the kernel has done no INVLPGB: it has not taken {APPEND}; look at --append");
    }
    bail!(
        "--flush invlpgb: a process on {MEMBERS} CPUs has got no global ASID in {FLUSHES} flushes, its PCIDs are {pcids:?}: \
         the kernel has none left, or gives none; use one by `linux build` without --patch, or --flush ipi"
    )
}

impl Invlpgb {
    /// For a kernel with these symbols.
    ///
    /// # Errors
    ///
    /// If it does not emulate INVLPGB.
    pub fn new(symbols: &Symbols) -> Result<Self> {
        symbols.need(INVLPGB, STEP)?;
        let data = |name: &str| symbols.need(name, STEP);
        Ok(Invlpgb {
            offsets: data("__per_cpu_offset")?,
            sent: data("invlpgb_sent")?,
            done: data("invlpgb_done")?,
            cr3: data("pcid_cr3")?,
        })
    }

    fn of_cpu(&self, view: &mut View<'_>, cpu: usize, variable: u64) -> Result<u64> {
        let offset = view.gdb.read_u64(cpu, self.offsets + 8 * cpu as u64)?;
        view.gdb.read_u64(cpu, offset.wrapping_add(variable))
    }

    /// Whether the process that runs on all CPUs, and has flushed so many times, has a global ASID, loaded on each.
    ///
    /// # Errors
    ///
    /// If it gets none.
    pub fn is_settled(&self, view: &mut View<'_>, flushes: u64) -> Result<bool> {
        let pcids: Result<Vec<_>> =
            (0..MEMBERS).map(|cpu| Ok(self.of_cpu(view, cpu, self.cr3)? & PCID)).collect();
        settled(flushes, &pcids?, || view.gdb.read_u64(0, self.sent))
    }

    /// Has a CPU that is held take the NMI that waits for it, if one does; says so.
    ///
    /// # Errors
    ///
    /// If it does anything else.
    pub fn let_in(&self, view: &mut View<'_>, cpu: usize) -> Result<bool> {
        let (before, place) = (self.of_cpu(view, cpu, self.done)?, view.gdb.general(cpu)?);
        let rip = view.gdb.register(cpu, "rip")?;
        view.gdb.insert(Point::Execute(rip))?;
        let stop = view.gdb.go(cpu)?;
        view.gdb.remove(Point::Execute(rip))?;
        let is_back = stop.cpu == cpu && stop.cause == Cause::Here && view.gdb.general(cpu)? == place;
        ensure!(is_back, "the CPU that was held has gone on: {stop:?}");
        Ok(self.of_cpu(view, cpu, self.done)? != before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_settled_when_all_its_cpus_have_its_global_asid() {
        let is = |flushes, pcids: &[u64]| settled(flushes, pcids, || Ok(1)).expect("it may still get one");
        assert!(is(32, &[7, 7, 7, 7]));
        // Before it has flushed; in transition; an ASID of each CPU's own.
        assert!(!is(0, &[7, 7, 7, 7]) && !is(32, &[7, 7, 2, 7]) && !is(1999, &[2, 2, 2, 2]));
    }

    #[test]
    fn one_that_never_is_says_why() {
        let error =
            |sent| settled(FLUSHES, &[2, 3, 2, 2], || Ok(sent)).expect_err("it has had its time").to_string();
        assert!(error(0).ends_with("it has not taken setcpuid=pcid,419; look at --append"), "{}", error(0));
        let none = error(9);
        assert!(none.contains("no global ASID in 2000 flushes, its PCIDs are [2, 3, 2, 2]: "), "{none}");
        assert!(none.ends_with("or --flush ipi"), "{none}");
    }
}
