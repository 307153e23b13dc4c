//! What belongs to one CPU: its number, its GDT and TSS, and its stacks. An NMI and a double fault have stacks of
//! their own, in order whatever has happened to the one in use.

use alloc::boxed::Box;
use alloc::vec::Vec;

use gupsync::types::CpuId;
use spin::Mutex;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::SegmentSelector;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::cpu_id::{self, PerCpu};
use crate::paging;

/// Index of the NMI's stack in the TSS.
pub const NMI_STACK: u16 = 0;
/// Index of the double fault's.
pub const FAULT_STACK: u16 = 1;

/// Ordinary, NMI and double fault.
const STACKS: u64 = 3;

/// What every CPU that was set up has loaded.
static LOADED: Mutex<Vec<(CpuId, &'static TaskStateSegment)>> = Mutex::new(Vec::new());

/// Maps the stacks of a CPU that is about to start.
pub fn map_stacks(id: CpuId) {
    for which in 0..STACKS {
        paging::map_stack(id.0 as u64 * STACKS + which);
    }
}

/// Maps one more stack of a CPU, out of `cpus`, for what runs there while its task is away. Its upper end.
pub fn map_stand_in_stack(id: CpuId, cpus: usize) -> u64 {
    let index = cpus as u64 * STACKS + id.0 as u64;
    paging::map_stack(index);
    paging::stack_top(index)
}

/// The upper end of a CPU's ordinary stack.
pub fn stack_top(id: CpuId) -> u64 {
    paging::stack_top(id.0 as u64 * STACKS)
}

/// The upper ends of the stacks in use, and what each is for: of every CPU that was set up, as its TSS has them.
pub fn stacks() -> Vec<(CpuId, &'static str, u64)> {
    let of_cpu = |(id, tss): &(CpuId, &'static TaskStateSegment)| {
        let own = |index: u16| tss.interrupt_stack_table[usize::from(index)].as_u64();
        [("", stack_top(*id)), (" for NMIs", own(NMI_STACK)), (" for double faults", own(FAULT_STACK))]
            .map(|(what, top)| (*id, what, top))
    };
    LOADED.lock().iter().flat_map(of_cpu).collect()
}

/// Sets up this CPU, whose stacks are mapped.
pub fn init(id: CpuId) {
    let mut tss = TaskStateSegment::new();
    for (which, index) in [(1, NMI_STACK), (2, FAULT_STACK)] {
        let top = paging::stack_top(id.0 as u64 * STACKS + which);
        tss.interrupt_stack_table[usize::from(index)] = VirtAddr::new(top);
    }
    let tss: &'static TaskStateSegment = Box::leak(Box::new(tss));
    let gdt = Box::leak(Box::new(GlobalDescriptorTable::new()));
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let task = gdt.append(Descriptor::tss_segment(tss));
    gdt.load();
    // SAFETY: `code` is a 64-bit code segment of the GDT just loaded.
    unsafe { CS::set_reg(code) };
    // SAFETY: `data` is a data segment of the GDT just loaded.
    unsafe { SS::set_reg(data) };
    for set in [DS::set_reg, ES::set_reg] {
        // SAFETY: 64-bit code does not use these segments.
        unsafe { set(SegmentSelector::NULL) };
    }
    // SAFETY: `task` is the descriptor of a TSS that is never freed.
    unsafe { load_tss(task) };
    LOADED.lock().push((id, tss));
    cpu_id::set(Box::leak(Box::new(PerCpu::new(id))));
}
