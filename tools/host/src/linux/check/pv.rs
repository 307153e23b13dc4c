//! Plays KVM for a guest under TCG: flushes that leave a preempted vCPU alone.
//!
//! # Guarantee
//!
//! The kernel flushes by its own `kvm_flush_tlb_multi()`, which it has installed itself: `pv_ops` is read back before anything
//! is called paravirtual. A vCPU that is held is marked as KVM marks one that it has preempted; when it goes on, a flush that
//! was left to the hypervisor is made.
//!
//! # Mechanism
//!
//! `__kvm_cpuid_base()`, `kvm_arch_para_features()` and `kvm_arch_para_hints()` are answered in place of CPUID, and
//! `steal_time.preempted` is written in place of KVM.

use anyhow::{Result, ensure};

use super::symbols::Symbols;
use super::view::View;
use crate::linux::gdb::Point;

/// KVM's leaves of CPUID begin there.
const BASE: u64 = 0x4000_0000;
/// `KVM_FEATURE_STEAL_TIME` and `KVM_FEATURE_PV_TLB_FLUSH`.
const FEATURES: u64 = 1 << 5 | 1 << 9;
/// Where `struct kvm_steal_time` has its `preempted`.
const PREEMPTED: u64 = 16;
/// `KVM_VCPU_PREEMPTED`, written by the hypervisor.
const IS_PREEMPTED: u8 = 1;
/// `KVM_VCPU_FLUSH_TLB`, written by a vCPU that leaves its flush to the hypervisor.
const FLUSH_TLB: u8 = 2;
/// `pv_ops` has no more bytes than this.
const OPS: usize = 1024;
/// The function that flushes.
const FLUSH: &str = "kvm_flush_tlb_multi";

/// The part.
#[derive(Debug)]
pub struct Pv {
    answers: [(u64, u64); 3],
    steal_time: u64,
    offsets: u64,
    ops: u64,
    flush: u64,
    /// How often the guest has asked.
    asked: u64,
}

impl Pv {
    /// For a kernel with these symbols.
    ///
    /// # Errors
    ///
    /// If it is built without what it needs as a guest of KVM.
    pub fn new(symbols: &Symbols) -> Result<Self> {
        let guest = |name: &str| symbols.need(name, "CONFIG_KVM_GUEST");
        let data = |name: &str| symbols.need(name, "CONFIG_KVM_GUEST and CONFIG_KALLSYMS_ALL");
        Ok(Pv {
            answers: [
                (guest("__kvm_cpuid_base")?, BASE),
                (guest("kvm_arch_para_features")?, FEATURES),
                (guest("kvm_arch_para_hints")?, 0),
            ],
            steal_time: data("steal_time")?,
            offsets: data("__per_cpu_offset")?,
            ops: data("pv_ops")?,
            flush: guest(FLUSH)?,
            asked: 0,
        })
    }

    /// Begins to answer.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn begin(&self, view: &mut View<'_>) -> Result<()> {
        self.answers.iter().try_for_each(|(function, _)| view.gdb.insert(Point::Execute(*function)))
    }

    /// Answers, if a CPU is about to ask.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn answer(&mut self, view: &mut View<'_>, cpu: usize, rip: u64) -> Result<bool> {
        let Some((_, answer)) = self.answers.iter().find(|(function, _)| *function == rip) else {
            return Ok(false);
        };
        view.come_back(cpu, Some(*answer))?;
        self.asked += 1;
        Ok(true)
    }

    /// Says whether the kernel flushes as a guest of KVM.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn demand_installed(&self, view: &mut View<'_>, cpu: usize) -> Result<()> {
        let ops = view.gdb.read(cpu, self.ops, OPS)?;
        let ops: Vec<_> =
            ops.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect();
        let flush = ops.iter().filter_map(|word| view.symbols().function(*word)).map(|(name, _)| name);
        let flush = flush.filter(|name| name.contains("flush_tlb_multi")).collect::<Vec<_>>().join(", ");
        ensure!(
            ops.contains(&self.flush),
            "--flush pv: the kernel has asked for KVM's features {} times, and its pv_ops have {}, not {FLUSH}; \
             its CPUID functions may be inlined: use a kernel by `linux build`, or --flush ipi",
            self.asked,
            if flush.is_empty() { "no flush_tlb_multi" } else { &flush }
        );
        Ok(())
    }

    fn preempted(&self, view: &mut View<'_>, cpu: usize) -> Result<u64> {
        let offset = view.gdb.read_u64(cpu, self.offsets + 8 * cpu as u64)?;
        Ok(offset.wrapping_add(self.steal_time).wrapping_add(PREEMPTED))
    }

    /// The vCPU is preempted.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn preempt(&self, view: &mut View<'_>, cpu: usize) -> Result<()> {
        let at = self.preempted(view, cpu)?;
        view.gdb.write(cpu, at, &[IS_PREEMPTED])
    }

    /// It goes on.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn let_run(&self, view: &mut View<'_>, cpu: usize) -> Result<()> {
        let at = self.preempted(view, cpu)?;
        if view.gdb.read(cpu, at, 1)?[0] & FLUSH_TLB != 0 {
            view.flush_tlb(cpu)?;
        }
        view.gdb.write(cpu, at, &[0])
    }
}
