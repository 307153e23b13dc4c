//! The machine: [`Machine`] for real CPUs.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use gupsync::atomic::AtomicU64 as Word;
use gupsync::cpumask::CpuSet;
use gupsync::detect::Violation;
use gupsync::event::{Cause, Event};
use gupsync::machine::Machine;
use gupsync::page::Page;
use gupsync::types::{Asid, Cached, CpuId, Frame, FrameSize, Invlpgb, MmId, Range, VirtAddr};
use gupsync_bench::counters::Counters;
use gupsync_bench::kept::Kept;
use gupsync_bench::machine::{Bench, Spin};
use gupsync_bench::record::What;
use gupsync_bench::report;
use gupsync_bench::spec::{Fail, MachineName};
use x86_64::instructions::interrupts;

use crate::apic::Command;
use crate::{apic, cpu_id, emulate, frames, paging, pit, serial, task, tlb, trace, vector};

static CPUS: AtomicU64 = AtomicU64::new(0);

/// How many CPUs are online.
pub fn cpus() -> usize {
    CPUS.load(Ordering::Relaxed) as usize
}

/// Says how many CPUs are online, once they are.
pub fn set_cpus(cpus: usize) {
    CPUS.store(cpus as u64, Ordering::Relaxed);
}

/// The CPUs, their interrupts, TLBs and memory, and what is counted of them.
pub struct Hw {
    counters: Counters,
    kept: Kept,
    invlpgb_max: u64,
    /// For a test of the detector: a flush of this CPU's TLB does nothing.
    fails_to_flush: bool,
}

impl Hw {
    /// Counts from zero, for `mms` mms. One INVLPGB takes `invlpgb_max` pages at most; 0 is the CPU's own limit.
    pub fn new(mms: usize, invlpgb_max: u64, fail: Option<Fail>) -> Self {
        let asked = (invlpgb_max > 0).then_some(invlpgb_max);
        let invlpgb_max = match tlb::native_invlpgb() {
            Some(limit) => limit.min(asked.unwrap_or(limit)),
            // The smallest limit that a CPU with INVLPGB has: QEMU's CPUID knows none.
            None => asked.unwrap_or(8),
        };
        emulate::set_most_pages(invlpgb_max);
        let fails_to_flush = fail == Some(Fail::NoFlush);
        Hw { counters: Counters::new(cpus(), mms), kept: Kept::new(cpus()), invlpgb_max, fails_to_flush }
    }

    /// Counts the NMIs that the emulator has sent for this CPU.
    fn note_nmis(&self, cpu: CpuId) {
        self.note(cpu, MmId::KERNEL, Event::EmulationNmi, emulate::take_nmis_sent(cpu));
    }
}

impl Machine for Hw {
    fn cpus(&self) -> usize {
        cpus()
    }

    #[inline(always)]
    fn irqs_off<R>(&self, _: CpuId, body: impl FnOnce() -> R) -> R {
        interrupts::without_interrupts(body)
    }

    fn wait(&self, _: CpuId, mut until: impl FnMut() -> bool) {
        debug_assert!(interrupts::are_enabled(), "waiting with interrupts off");
        while !until() {
            core::hint::spin_loop();
        }
    }

    fn preempt(&self, cpu: CpuId) -> CpuId {
        let there = task::preempt(cpu);
        self.note(there, MmId::KERNEL, Event::Kick, u64::from(there != cpu));
        there
    }

    /// What differs from a CPU that is off: it stays in its code, takes NMIs, by which INVLPGB is emulated, and keeps
    /// interrupts that come late, or wake it, until it is back.
    fn unplug(&self, cpu: CpuId) {
        assert_eq!(tlb::root(), paging::root(), "{cpu} goes offline with an mm's tables loaded");
        interrupts::disable();
    }

    fn plug(&self, _: CpuId) {
        interrupts::enable();
    }

    fn send(&self, from: CpuId, to: CpuId, cause: Cause, mm: MmId) {
        trace::add(from, What::Sent(cause, to, mm.word()));
        apic::send(to, Command::Fixed(vector::of(cause)));
        self.note(from, mm, cause.sent(), 1);
    }

    fn acked(&self, cpu: CpuId, cause: Cause, mm: MmId) {
        self.note(cpu, mm, cause.acked(), 1);
    }

    /// The hardware drops what it holds of `asid` in any case, as it may: local ASIDs are kept by [`Kept`]. (It must,
    /// for the first load of each in a row: it may hold translations of the row before.)
    fn load_root(&self, cpu: CpuId, root: Frame, asid: Asid, cached: Cached) {
        emulate::set_pcid(cpu, asid.word());
        tlb::load(root, asid);
        self.kept.load(cpu, asid, cached);
    }

    fn flush_local(&self, cpu: CpuId, range: Range) {
        if !self.fails_to_flush {
            tlb::flush(range);
            self.kept.flush(cpu, range);
        }
    }

    fn flush_all(&self, cpu: CpuId) {
        if !self.fails_to_flush {
            tlb::flush_all();
            self.kept.flush_all(cpu);
        }
    }

    fn flush_by_hypercall(&self, cpu: CpuId, to: &CpuSet) {
        if !self.fails_to_flush {
            emulate::hypercall(cpu, to);
            self.kept.flush_all_of(to);
            self.note_nmis(cpu);
        }
    }

    fn invlpgb(&self, cpu: CpuId, what: Invlpgb) {
        tlb::invlpgb(what);
        if matches!(what, Invlpgb::NonGlobal | Invlpgb::Everything) {
            self.kept.start_everywhere(cpu);
        }
        self.note_nmis(cpu);
    }

    fn tlbsync(&self, cpu: CpuId) {
        tlb::tlbsync();
        self.kept.complete(cpu);
        self.note_nmis(cpu);
    }

    fn invlpgb_max(&self) -> u64 {
        self.invlpgb_max
    }

    fn kernel_root(&self) -> Frame {
        paging::root()
    }

    fn words(&self, frame: Frame) -> &[Word] {
        frames::words(frame)
    }

    fn page(&self, frame: Frame) -> &Page {
        frames::page(frame)
    }

    fn alloc(&self, size: FrameSize) -> Option<Frame> {
        frames::alloc(size)
    }

    fn free(&self, frame: Frame, size: FrameSize) {
        frames::free(frame, size);
    }

    fn copy(&self, from: Frame, to: Frame) {
        frames::copy(from, to);
    }

    fn note(&self, cpu: CpuId, mm: MmId, event: Event, n: u64) {
        let cell = self.counters.cell(cpu, mm, event).as_ptr();
        // SAFETY: the cell lives as long as the counters, and this CPU is the only one that writes it: `note` is called on
        // `cpu`. One instruction, so that an interrupt that counts too comes before it or after it. No lock: it would order
        // what is counted.
        unsafe { asm!("add qword ptr [{}], {}", in(reg) cell, in(reg) n, options(nostack)) };
        if n > 0 {
            trace::add(cpu, What::Noted(event, mm.word(), n));
        }
    }

    fn caught(&self, violation: &Violation) {
        serial::line(format_args!("{}{violation:x?}", report::CAUGHT));
    }
}

impl Spin for Hw {
    fn spin(&self, mut until: impl FnMut() -> bool) {
        let me = cpu_id::get();
        while !until() {
            core::hint::spin_loop();
            emulate::while_waiting(me);
        }
    }
}

impl Bench for Hw {
    const NAME: MachineName = MachineName::Kernel;

    fn park(&self, _: CpuId, until: impl FnMut() -> bool) {
        task::park(until);
    }

    /// Looks at the clock as often as it can: how long it was away shows there.
    fn run_undisturbed(&self, cpu: CpuId, mut look: impl FnMut(), mut until: impl FnMut() -> bool) -> u64 {
        let (mut last, mut longest) = (self.clock(), 0);
        self.wait(cpu, || {
            let now = self.clock();
            longest = longest.max(now - last);
            last = now;
            look();
            until()
        });
        longest
    }

    /// By one command if it is every other CPU: to QEMU each command is a reason to look at every CPU.
    fn wake(&self, from: CpuId, sleepers: impl Iterator<Item = CpuId> + Clone, mm: MmId) {
        let count = sleepers.clone().count();
        if count == cpus() - 1 {
            apic::send_to_others(Command::Fixed(vector::KICK));
        } else {
            sleepers.for_each(|sleeper| apic::send(sleeper, Command::Fixed(vector::KICK)));
        }
        self.note(from, mm, Event::Kick, count as u64);
    }

    fn let_migrate(&self, own: CpuId, route: [Option<CpuId>; 2]) {
        task::let_migrate(own, route);
    }

    fn send_nmi(&self, own: CpuId) {
        apic::send(own, Command::Nmi);
    }

    fn touch(&self, cpu: CpuId, va: VirtAddr) -> Option<u64> {
        interrupts::without_interrupts(|| self.kept.touch(cpu, va, || tlb::touch(va)))
    }

    fn kept(&self) -> &Kept {
        &self.kept
    }

    const KERNEL_WINDOW: VirtAddr = VirtAddr(paging::WINDOW);

    fn map_kernel_window(&self, value: u64) {
        paging::map_window(value);
    }

    fn kernel_window(&self) -> u64 {
        paging::window()
    }

    fn write(&self, va: VirtAddr, value: u64) -> bool {
        tlb::write(va, value)
    }

    fn counted(&self, mm: MmId, event: Event) -> u64 {
        self.counters.sum(mm, event)
    }

    fn counted_on(&self, cpu: CpuId, mm: MmId, event: Event) -> u64 {
        self.counters.on(cpu, mm, event)
    }

    fn forget_counts(&self) {
        self.counters.begin();
        apic::mark_trace();
        trace::count(true);
    }

    fn end_counts(&self) {
        trace::count(false);
        apic::mark_trace();
    }

    fn clock(&self) -> u64 {
        pit::ticks()
    }
}
