//! INVLPGB and TLBSYNC for CPUs that lack them, carried out behind #UD; and a hypervisor's flush of some CPUs.
//!
//! # Guarantee
//!
//! The kernel executes the same two instructions on every machine. Like the hardware, the emulator invalidates on
//! the other CPUs even while they keep interrupts off, and proves nothing about walkers: it works by NMI, and an
//! NMI does not wait for a walker's `sti`.
//!
//! It invalidates as late as the manual allows: nothing before TLBSYNC, so that a TLBSYNC that is missing, or executed
//! on another CPU, is always detected.
//!
//! # Mechanism
//!
//! INVLPGB writes the operation into the CPU's own queue. TLBSYNC sends an NMI to every other CPU and waits until
//! all have been through the queue. NMIs coalesce, so none is counted at the receiver: each CPU takes from its
//! mailbox whose queue it has still to read. The handler takes no lock and prints nothing.
//!
//! A hypervisor's flush is an INVLPGB of everything, and a TLBSYNC that reaches only the CPUs that it is told.

use alloc::boxed::Box;

use crossbeam_utils::CachePadded;
use gupsync::atomic::{AtomicU64, Ordering};
use gupsync::cpumask::CpuSet;
use gupsync::smp_call::Mailbox;
use gupsync::types::CpuId;
use gupsync_invlpgb::{EVERYTHING, Limits, Operation, Refused, Registers, decode};
use spin::Once;

use crate::trap_frame::TrapFrame;
use crate::{apic, cpu_id, tlb};

/// Operations between two TLBSYNCs; one more waits as if by TLBSYNC.
const QUEUE: usize = 64;

const INVLPGB: [u8; 3] = [0x0f, 0x01, 0xfe];
const TLBSYNC: [u8; 3] = [0x0f, 0x01, 0xff];

struct Cpu {
    /// Whose queues this CPU has still to read, and how many CPUs have not read this one's yet.
    mailbox: Mailbox,
    /// What this CPU wants invalidated: rAX, ECX and EDX of each INVLPGB.
    queue: [[AtomicU64; 3]; QUEUE],
    queued: AtomicU64,
    /// NMIs sent since they were last asked for.
    nmis_sent: AtomicU64,
    /// Whether this CPU is in its NMI handler, and takes no further NMI.
    in_nmi: AtomicU64,
    /// The PCID that this CPU's translations belong to, whether the hardware tags them or not.
    pcid: AtomicU64,
}

static CPUS: Once<Box<[CachePadded<Cpu>]>> = Once::new();

/// The most pages that one INVLPGB takes.
static MOST_PAGES: AtomicU64 = AtomicU64::new(0);

/// Makes the queues.
pub fn init(cpus: usize) {
    let zero = || AtomicU64::new(0);
    let cpu = || Cpu {
        mailbox: Mailbox::new(cpus),
        queue: core::array::from_fn(|_| core::array::from_fn(|_| zero())),
        queued: zero(),
        nmis_sent: zero(),
        in_nmi: zero(),
        pcid: zero(),
    };
    CPUS.call_once(|| (0..cpus).map(|_| CachePadded::new(cpu())).collect());
}

/// Says how many pages one INVLPGB takes: one of more is refused.
pub fn set_most_pages(pages: u64) {
    // Relaxed: before the CPUs that execute any are told to.
    MOST_PAGES.store(pages, Ordering::Relaxed);
}

fn cpus() -> &'static [CachePadded<Cpu>] {
    CPUS.get().expect("the queues were made")
}

/// Notes the PCID that is about to be loaded. Before the load: an NMI in between flushes what the load drops anyway.
pub fn set_pcid(cpu: CpuId, pcid: u64) {
    // Relaxed: read by this CPU's own NMI handler.
    cpus()[cpu.0].pcid.store(pcid, Ordering::Relaxed);
}

/// In the #UD handler: carries out the instruction if it is one of the two.
///
/// # Panics
///
/// If the instruction would fault.
pub fn try_instruction(frame: &mut TrapFrame) -> bool {
    // SAFETY: the CPU fetched from there, and nothing but the kernel's code is executable (`posture`), which is readable, and
    // followed by its read-only data: three bytes can be read wherever in it the instruction lies.
    let bytes = unsafe { (frame.rip as *const [u8; 3]).read_unaligned() };
    let me = cpu_id::get();
    match bytes {
        INVLPGB => {
            let registers = Registers { rax: frame.rax, ecx: frame.rcx as u32, edx: frame.rdx as u32 };
            if let Err(refused) = read(registers) {
                panic!("INVLPGB with {registers:x?} faults: {refused:?}");
            }
            enqueue(me, registers);
        }
        TLBSYNC => complete(me),
        _ => return false,
    }
    frame.rip += bytes.len() as u64;
    true
}

/// How many NMIs `cpu` has sent since this was last asked, by that CPU.
pub fn take_nmis_sent(cpu: CpuId) -> u64 {
    // Relaxed: its own.
    cpus()[cpu.0].nmis_sent.swap(0, Ordering::Relaxed)
}

/// What the registers say to the CPU that is emulated: one without guests.
fn read(registers: Registers) -> Result<Operation, Refused> {
    // Relaxed: see `set_most_pages`.
    decode(registers, Limits { pages: MOST_PAGES.load(Ordering::Relaxed), asid: 0 })
}

fn enqueue(me: CpuId, registers: Registers) {
    let own = &cpus()[me.0];
    if own.queued.load(Ordering::Relaxed) == QUEUE as u64 {
        complete(me);
    }
    let at = own.queued.load(Ordering::Relaxed);
    let words = [registers.rax, registers.ecx.into(), registers.edx.into()];
    for (word, value) in own.queue[at as usize].iter().zip(words) {
        // Relaxed, all of the queue: published by the mailbox.
        word.store(value, Ordering::Relaxed);
    }
    own.queued.store(at + 1, Ordering::Relaxed);
}

/// Flushes everything on the CPUs of `to`, `me` perhaps among them, interrupts off.
pub fn hypercall(me: CpuId, to: &CpuSet) {
    complete(me);
    enqueue(me, EVERYTHING);
    complete_on(me, |cpu| to.contains(cpu));
}

fn complete(me: CpuId) {
    if cpus()[me.0].queued.load(Ordering::Relaxed) != 0 {
        complete_on(me, |_| true);
    }
}

/// Has the CPUs that are meant carry out what `me` has queued, and empties the queue.
fn complete_on(me: CpuId, is_meant: impl Fn(CpuId) -> bool) {
    let all = cpus();
    let own = &all[me.0];
    let others = || (0..all.len()).map(CpuId).filter(|cpu| *cpu != me && is_meant(*cpu));
    let count = others().count();
    let number = own.mailbox.claim(count).expect("the last was answered");
    for cpu in others() {
        all[cpu.0].mailbox.post(me);
        apic::send(cpu, apic::Command::Nmi);
    }
    // Relaxed: its own.
    own.nmis_sent.fetch_add(count as u64, Ordering::Relaxed);
    if is_meant(me) {
        carry_out(me, me);
    }
    // Two CPUs that wait here serve each other: neither #UD nor interrupts off hold off an NMI.
    while !own.mailbox.is_answered(number) {
        core::hint::spin_loop();
    }
    own.queued.store(0, Ordering::Relaxed);
}

/// In the NMI handler: reads the queues that wait for this CPU, then does `besides`.
pub fn on_nmi(me: CpuId, besides: impl FnOnce(CpuId)) {
    let own = &cpus()[me.0];
    read_queues(me);
    // Relaxed, both: read on this CPU alone.
    own.in_nmi.store(1, Ordering::Relaxed);
    besides(me);
    own.in_nmi.store(0, Ordering::Relaxed);
}

/// In a wait of this CPU, interrupts off: in its NMI handler it reads the queues here, since the hardware would
/// invalidate there too, and no NMI comes.
pub fn while_waiting(me: CpuId) {
    // Relaxed: written on this CPU alone.
    if cpus()[me.0].in_nmi.load(Ordering::Relaxed) != 0 {
        read_queues(me);
    }
}

/// Not inlined: a walker that waits executes none of it, unless it is in an NMI handler.
#[inline(never)]
fn read_queues(me: CpuId) {
    let all = cpus();
    all[me.0].mailbox.take(|from| {
        carry_out(me, from);
        all[from.0].mailbox.ack();
    });
}

/// Invalidates on this CPU what `from` has queued.
fn carry_out(me: CpuId, from: CpuId) {
    let (own, from) = (&cpus()[me.0], &cpus()[from.0]);
    for operation in &from.queue[..from.queued.load(Ordering::Relaxed) as usize] {
        let [rax, ecx, edx] = operation.each_ref().map(|word| word.load(Ordering::Relaxed));
        let operation = read(Registers { rax, ecx: ecx as u32, edx: edx as u32 });
        let Operation { asid: _, pcid, global, range } = operation.expect("it was read before it was queued");
        let own_pcid = own.pcid.load(Ordering::Relaxed);
        // The kernel marks no page global.
        if global || pcid.is_none_or(|pcid| u64::from(pcid) == own_pcid) {
            tlb::flush(range);
        }
    }
}
