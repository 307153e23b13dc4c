//! Property: a lazy CPU may be left out of a round.

use gupsync::config::FlushConfig;
use gupsync::policy::Pending;
use gupsync::world::Cpu;

use crate::acts::{elsewhere, flush_the_walker, lazy, running, unlink_and_reuse, walk};
use crate::machine::{BY_INVLPGB, Model, ONE_GLOBAL_MM, ONE_MM, Setting, Stage, explore};

fn come_back_and_walk(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    cpu.exit_lazy_tlb(stage.mm(1));
    walk::<Pending>(stage, cpu);
}

fn walk_and_go_lazy(stage: &Stage, cpu: &mut Cpu<'_, Model>) {
    walk::<Pending>(stage, cpu);
    cpu.enter_lazy_tlb();
}

#[test]
fn a_walker_that_was_lazy() {
    explore(ONE_MM, &[(lazy, come_back_and_walk), (elsewhere, unlink_and_reuse::<Pending>)]);
}

/// As in Linux, it passes no fence on its way back; so it is interrupted.
#[test]
fn a_walker_that_was_lazy_and_passes_no_fence() {
    const UNFENCED: Setting =
        Setting { config: FlushConfig { unlazy_fence: false, ..BY_INVLPGB }, ..ONE_GLOBAL_MM };
    explore(UNFENCED, &[(lazy, come_back_and_walk), (elsewhere, unlink_and_reuse::<Pending>)]);
}

#[test]
fn a_walker_that_goes_lazy() {
    explore(ONE_MM, &[(running, walk_and_go_lazy), (elsewhere, unlink_and_reuse::<Pending>)]);
}

/// A flush makes the walker drop the mm: the round finds another one loaded, and does not look whether it is lazy.
#[test]
fn a_walker_that_goes_lazy_and_is_made_to_drop_the_mm() {
    explore(
        ONE_MM,
        &[(running, walk_and_go_lazy), (elsewhere, unlink_and_reuse::<Pending>), (elsewhere, flush_the_walker)],
    );
}

/// A flush makes the walker drop the mm, before it comes back or after.
#[test]
fn a_walker_that_was_lazy_and_is_made_to_drop_the_mm() {
    explore(
        ONE_MM,
        &[(lazy, come_back_and_walk), (elsewhere, unlink_and_reuse::<Pending>), (elsewhere, flush_the_walker)],
    );
}
