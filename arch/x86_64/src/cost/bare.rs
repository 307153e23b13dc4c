//! A machine that does what the protocol does, and nothing else: no notes, no figures, no detectors.

use core::arch::asm;

use gupsync::atomic::AtomicU64 as Word;
use gupsync::cpumask::CpuSet;
use gupsync::detect::Violation;
use gupsync::event::{Cause, Event};
use gupsync::machine::Machine;
use gupsync::page::Page;
use gupsync::types::{Asid, Cached, CpuId, Frame, FrameSize, Invlpgb, MmId, Range};
use gupsync::world::World;
use gupsync_invlpgb::Registers;
use spin::Mutex;
use x86_64::instructions::interrupts;

use super::count;
use crate::apic::Command;
use crate::{apic, frames, paging, tlb, vector};

/// The most pages that one INVLPGB takes: what the smallest CPU has that has it.
const INVLPGB_MAX: u64 = 8;

/// Of so many CPUs, all but one played.
pub struct Bare {
    pub cpus: usize,
}

/// The world whose CPUs are played.
pub static PLAYED: Mutex<Option<&'static World<Bare>>> = Mutex::new(None);

/// All CPUs that `caller` waits for answer, in their handlers. No part of a piece: the host leaves out what it executes
/// itself, by its name.
#[inline(never)]
pub fn answer(caller: CpuId) {
    count::aside(|| {
        let world = PLAYED.lock().expect("a world is on stage");
        let others = (0..world.machine.cpus).map(CpuId).filter(|cpu| *cpu != caller);
        others.filter(|cpu| world.is_called(*cpu)).for_each(|cpu| {
            interrupts::without_interrupts(|| world.interrupt(cpu));
        });
    });
}

impl Machine for Bare {
    const INSTRUMENTED: bool = false;

    fn cpus(&self) -> usize {
        self.cpus
    }

    #[inline(always)]
    fn irqs_off<R>(&self, _: CpuId, body: impl FnOnce() -> R) -> R {
        interrupts::without_interrupts(body)
    }

    fn wait(&self, cpu: CpuId, mut until: impl FnMut() -> bool) {
        answer(cpu);
        while !until() {
            core::hint::spin_loop();
        }
    }

    fn unplug(&self, cpu: CpuId) {
        unreachable!("{cpu} stays online")
    }

    fn plug(&self, cpu: CpuId) {
        unreachable!("{cpu} has stayed online")
    }

    fn send(&self, _: CpuId, to: CpuId, cause: Cause, _: MmId) {
        apic::send(to, Command::Fixed(vector::of(cause)));
    }

    fn acked(&self, _: CpuId, _: Cause, _: MmId) {}

    fn load_root(&self, _: CpuId, root: Frame, asid: Asid, _: Cached) {
        tlb::load(root, asid);
    }

    fn flush_local(&self, _: CpuId, range: Range) {
        tlb::flush(range);
    }

    fn flush_all(&self, _: CpuId) {
        tlb::flush_all();
    }

    fn flush_by_hypercall(&self, cpu: CpuId, _: &CpuSet) {
        unreachable!("{cpu} has no hypervisor")
    }

    /// With an instruction that does nothing in the place of INVLPGB, which QEMU lacks.
    fn invlpgb(&self, _: CpuId, what: Invlpgb) {
        let Registers { rax, ecx, edx } = tlb::operands(what);
        // SAFETY: does nothing.
        unsafe { asm!("nop", in("rax") rax, in("ecx") ecx, in("edx") edx, options(nostack)) };
    }

    /// Likewise.
    fn tlbsync(&self, _: CpuId) {
        // SAFETY: does nothing.
        unsafe { asm!("nop", options(nostack)) };
    }

    fn invlpgb_max(&self) -> u64 {
        INVLPGB_MAX
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

    fn note(&self, _: CpuId, _: MmId, _: Event, _: u64) {}

    fn caught(&self, violation: &Violation) {
        unreachable!("no detector looks: {violation:?}")
    }
}
