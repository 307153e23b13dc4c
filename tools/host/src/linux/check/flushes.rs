//! How the kernel flushes, and what the host plays so that it does.

use anyhow::Result;
use gupsync_guest::oracle::MEMBERS;

use super::calls::Flushed;
use super::invlpgb::{self, Invlpgb};
use super::pv::Pv;
use super::symbols::Symbols;
use super::view::View;
use crate::args::linux::check::Flush;
use crate::linux::machine::CPU;

/// The kind, and the host's part in it.
#[derive(Debug)]
pub enum Flushes {
    /// By interrupts: none.
    Ipi,
    /// It plays KVM.
    Pv(Pv),
    /// It plays the instruction.
    Invlpgb(Invlpgb),
}

/// What is booted for a kind.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// How many vCPUs.
    pub cpus: usize,
    /// QEMU's model of one.
    pub cpu: &'static str,
    /// What the kernel is told.
    pub append: &'static str,
}

/// What most need: a CPU for the mutator, and one for the walker.
pub const USUAL: Needs = Needs { cpus: 2, cpu: CPU, append: "" };
/// What a guest of KVM needs: without MWAIT, too, its flush is its own.
const GUEST: Needs = Needs { cpu: "max,la57=off,-monitor", ..USUAL };

/// What `flush` needs.
pub fn needs(flush: Flush) -> Needs {
    match flush {
        Flush::Ipi => USUAL,
        Flush::Pv => GUEST,
        Flush::Invlpgb => Needs { cpus: MEMBERS, append: invlpgb::APPEND, ..USUAL },
    }
}

impl Flushes {
    /// Of a kernel with these symbols.
    ///
    /// # Errors
    ///
    /// If it cannot flush so.
    pub fn new(flush: Flush, symbols: &Symbols) -> Result<Self> {
        Ok(match flush {
            Flush::Ipi => Flushes::Ipi,
            Flush::Pv => Flushes::Pv(Pv::new(symbols)?),
            Flush::Invlpgb => Flushes::Invlpgb(Invlpgb::new(symbols)?),
        })
    }

    fn pv(&self) -> Option<&Pv> {
        if let Flushes::Pv(pv) = self { Some(pv) } else { None }
    }

    /// Begins, before the kernel's first instruction.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn begin(&self, view: &mut View<'_>) -> Result<()> {
        self.pv().map_or(Ok(()), |pv| pv.begin(view))
    }

    /// Answers, if a CPU is about to ask for what a hypervisor says.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn answer(&mut self, view: &mut View<'_>, cpu: usize, rip: u64) -> Result<bool> {
        if let Flushes::Pv(pv) = self { pv.answer(view, cpu, rip) } else { Ok(false) }
    }

    /// Whether the process that has flushed so many times is flushed as it is to be.
    ///
    /// # Errors
    ///
    /// If it never is.
    pub fn is_settled(&self, view: &mut View<'_>, flushes: u64) -> Result<bool> {
        if let Flushes::Invlpgb(invlpgb) = self { invlpgb.is_settled(view, flushes) } else { Ok(true) }
    }

    /// Says whether the kernel has taken what was played, before the first walk.
    ///
    /// # Errors
    ///
    /// If it has not.
    pub fn demand_installed(&self, view: &mut View<'_>, cpu: usize) -> Result<()> {
        self.pv().map_or(Ok(()), |pv| pv.demand_installed(view, cpu))
    }

    /// A vCPU is held.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn hold(&self, view: &mut View<'_>, cpu: usize) -> Result<()> {
        self.pv().map_or(Ok(()), |pv| pv.preempt(view, cpu))
    }

    /// It goes on.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn let_run(&self, view: &mut View<'_>, cpu: usize) -> Result<()> {
        self.pv().map_or(Ok(()), |pv| pv.let_run(view, cpu))
    }

    /// Has a vCPU that is held do what it does all the same; says whether there was anything.
    ///
    /// # Errors
    ///
    /// If it does more.
    pub fn let_in(&self, view: &mut View<'_>, cpu: usize) -> Result<bool> {
        if let Flushes::Invlpgb(invlpgb) = self { invlpgb.let_in(view, cpu) } else { Ok(false) }
    }

    /// Why an operation that was flushed so tells nothing of this kind, if it does not.
    pub fn fault(&self, flushed: Flushed) -> Option<&'static str> {
        match (self, flushed) {
            (Flushes::Invlpgb(_), Flushed { by_calls: true, .. }) => {
                Some("its flush has called CPUs: the process has no global ASID, or is in transition to it")
            }
            (Flushes::Invlpgb(_), Flushed { by_invlpgb: false, .. }) => Some("it was not flushed by INVLPGB"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the parts of the emulation, but the one that is left out.
    fn symbols(without: &str) -> Symbols {
        let names = ["emulate_invlpgb", "__per_cpu_offset", "invlpgb_sent", "invlpgb_done", "pcid_cr3"];
        let names = names.iter().filter(|name| **name != without);
        let lines = names.map(|name| format!("ffffffff81000100 T {name}\n"));
        Symbols::parse(&format!("ffffffff81000000 T _stext\n{}", lines.collect::<String>())).expect("symbols")
    }

    #[test]
    fn a_kernel_that_does_not_emulate_invlpgb_is_refused() {
        assert!(Flushes::new(Flush::Invlpgb, &symbols("none")).is_ok());
        for name in ["emulate_invlpgb", "pcid_cr3"] {
            let error = Flushes::new(Flush::Invlpgb, &symbols(name)).expect_err("it lacks one").to_string();
            assert!(
                error.starts_with(&format!("the kernel has no symbol {name}; build it with step t")),
                "{error}"
            );
        }
    }

    #[test]
    fn what_was_flushed_otherwise_is_not_called_invlpgb() {
        let invlpgb = Flushes::new(Flush::Invlpgb, &symbols("none")).expect("it has all");
        let fault = |by_calls, by_invlpgb| invlpgb.fault(Flushed { by_calls, by_invlpgb });
        assert_eq!(fault(false, true), None);
        assert_eq!(fault(false, false), Some("it was not flushed by INVLPGB"));
        for by_invlpgb in [false, true] {
            assert!(
                fault(true, by_invlpgb).is_some_and(|fault| fault.starts_with("its flush has called CPUs"))
            );
        }
        assert_eq!(Flushes::Ipi.fault(Flushed { by_calls: true, by_invlpgb: false }), None);
    }
}
