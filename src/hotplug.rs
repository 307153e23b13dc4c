//! CPUs go offline and come back, whatever rounds and flushes are under way.
//!
//! # Guarantee
//!
//! A CPU that is offline has the kernel's tables loaded, walks nothing, is called by no sender and awaited by none. It
//! leaves no request unanswered. It may be in cpumasks still, as in Linux on x86. When it is back, it uses no
//! translation from before.
//!
//! # Mechanism
//!
//! *Going.* The CPU loads the kernel's tables, lazy or not (Linux: `sched_force_init_mm()`; up to 6.15
//! `idle_task_exit()`, when it was offline already). It takes itself out of the mask (`online.rs`). From here on no
//! sends *begin* that find it. Those that are under way may have found it, and may post their request after any look
//! into its inbox; a CPU that went after such a look would be awaited for ever. So it calls every other CPU, and waits
//! until each has been, since then, somewhere where no sends are under way: its handler says so at once, or the task
//! that it has interrupted does, when it has sent. Then the CPU looks into its inbox for the last time, and answers
//! what is there ([`Cpu::serve`]).
//!
//! In Linux `stop_machine()` does so: its thread runs on every CPU, and on none with preemption off, as it is from
//! the look at `cpu_online_mask` to the last send. `take_cpu_down()` changes the mask there, and answers
//! (`smpcfd_dying_cpu()`). Here no CPU is held meanwhile, and none needs to be.
//!
//! *Coming.* The CPU puts itself into the mask, then comes F9, then it drops all that its TLB holds, of every ASID
//! (Linux: `cr4_init()`, `initialize_tlbstate_and_flush()`). Whether an INVLPGB has reached it while it was offline
//! does not matter then. A sender that did not find it had changed what it flushes before: F1 or F2 for an mm, which is
//! loaded after F3, and F10 for the kernel's range, which is in use at once. For that the mask comes first: what is
//! cached between a flush and the mask would be flushed by none.
//!
//! One CPU goes or comes at a time: two that go would each look for the sends of the other, and find none.
//!
//! A slot is not its home's: a request that waits in the slot of a CPU that goes is answered and awaited as in any
//! other.

use core::ops::DerefMut;

use crate::atomic::{Ordering, fence};
use crate::event::Event;
use crate::machine::Machine;
use crate::smp_call::Call;
use crate::sync_round;
use crate::types::MmId;
use crate::world::Cpu;

/// A CPU that is offline. Its [`Cpu`], which `C` leads to, is out of reach: it walks, sends and loads nothing.
#[must_use = "the CPU stays offline until it comes online"]
pub struct Offline<C>(C);

/// `cpu` goes offline. No other task is there, or will come (Linux: `balance_push()`).
pub fn go_offline<'w, M: Machine + 'w, C: DerefMut<Target = Cpu<'w, M>>>(mut cpu: C) -> Offline<C> {
    cpu.switch_mm(None);
    cpu.pinned(leave_the_mask);
    cpu.state().quiescent.idle();
    cpu.note(MmId::KERNEL, Event::WentOffline, 1);
    cpu.world().machine.unplug(cpu.id());
    Offline(cpu)
}

fn leave_the_mask<M: Machine>(cpu: &mut Cpu<'_, M>) {
    let (world, me) = (cpu.world(), cpu.id());
    let online = &world.online;
    cpu.wait(|| online.try_lock());
    online.remove(me);
    let others = sync_round::every_other(cpu);
    sync_round::issue(cpu, Call::Stop, others, ()).wait(cpu);
    cpu.wait(|| online.are_sends_over());
    cpu.serve();
    online.unlock();
}

impl<'w, M: Machine + 'w, C: DerefMut<Target = Cpu<'w, M>>> Offline<C> {
    /// Comes back, with the kernel's tables loaded and nothing in its TLB.
    pub fn come_online(self) -> C {
        let Offline(mut cpu) = self;
        let online = &cpu.world().online;
        cpu.world().machine.plug(cpu.id());
        cpu.state().quiescent.at_work();
        cpu.wait(|| online.try_lock());
        cpu.irqs_off(|off| {
            online.insert(off.id());
            // F9: this CPU is in the mask before it drops and looks up anything. Pairs with F10 in `kernel_range`: a flush that
            // does not find it has changed the mapping before, and what is looked up from here on is as it was changed.
            fence(Ordering::SeqCst);
            off.begin_tlb_anew();
        });
        online.unlock();
        cpu
    }
}
