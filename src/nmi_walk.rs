//! A walk from an NMI handler: what `perf_get_page_size()` does when a sample asks how large the page at an address is.
//!
//! # Guarantee
//!
//! With [`Guard::On`], an NMI handler walks an mm only while its CPU has the mm loaded, and not lazily. So the two grounds on
//! which a round or a flush leaves a CPU out ([`crate::sync_round`]) hold for its walks too.
//!
//! With [`Guard::Off`], as in Linux 7.3, they do not, and no policy that [trusts](Policy::TRUSTS_LOADED_MM) them is safe.
//!
//! # Mechanism
//!
//! An NMI handler walks the mm of the task that runs: `current->mm`. `context_switch()` loads the next mm, or goes lazy,
//! *before* `current` follows. An NMI in between walks an mm that this CPU has said it would not walk. The handler can see
//! that as any other CPU can: by what this CPU has loaded.
//!
//! In Linux the walks are those of `perf_virt_to_phys()`, which is GUP-fast, and of `perf_get_page_size()` with
//! `perf_get_pgtable_size()`. They keep maskable interrupts off, as a GUP-fast walk does, whatever the NMI has interrupted;
//! that may be another walk.

use crate::event::Event;
use crate::gup_fast::{self, Found};
use crate::machine::Machine;
use crate::policy::Policy;
use crate::types::{CpuId, Frame, FrameSize, MmId, VirtAddr};
use crate::world::{IrqsOff, World};

/// Whether an NMI handler looks at what is loaded before it walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It does not, as in Linux 7.3.
    Off,
    /// It gives up unless the mm is loaded, and not lazily.
    On,
}

/// What a sample has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// A page of this size.
    Page(FrameSize),
    /// Nothing is mapped there.
    NotMapped,
    /// The task that runs has no mm.
    NoMm,
    /// Its mm is not loaded, or lazily: the handler has given up.
    Refused,
    /// A table that has another owner by now: a sync was missing.
    Caught,
}

/// In the NMI handler of `cpu`: looks how large the page at `va` is, in the mm of the task that runs.
///
/// `inside` is as in [`gup_fast`](crate::gup_fast::gup_fast), but no page is pinned.
pub fn page_size<'w, P: Policy, M: Machine>(
    world: &'w World<M>,
    cpu: CpuId,
    va: VirtAddr,
    guard: Guard,
    mut inside: impl FnMut(&IrqsOff<'w, M>, u32, Frame),
) -> Sampled {
    let off = &world.in_nmi(cpu);
    let state = off.state();
    let current = state.own_current();
    if current == MmId::KERNEL {
        return Sampled::NoMm;
    }
    if guard == Guard::On && (state.own_loaded_mm() != current || state.own_is_lazy()) {
        off.note(current, Event::NmiRefused, 1);
        return Sampled::Refused;
    }
    let was_idle = state.quiescent.nmi_enter();
    let (outer, outer_figures) = (state.own_tracker(), state.walk.begin_nested(&world.unlink_clock, current));
    P::walk_begin(off, current);
    let sampled = match gup_fast::descend(off, world.mm(current), va, &mut inside) {
        Found::Page(entry, _) if entry.is_huge() => Sampled::Page(FrameSize::Huge),
        Found::Page(..) => Sampled::Page(FrameSize::Small),
        Found::Nothing => Sampled::NotMapped,
        Found::OtherOwner => Sampled::Caught,
    };
    P::walk_end(off, outer);
    state.walk.end_nested(outer_figures);
    state.quiescent.nmi_exit(was_idle);
    off.note(current, Event::NmiWalk, 1);
    sampled
}
