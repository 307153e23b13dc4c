//! Property: what the policies of Linux skip may be skipped. (The trackers have a file of their own.)

use gupsync::policy::{Broadcast, Gather, GatherMask, Mask, Policy, Property};

use crate::acts::{elsewhere, running, unlink_flush_and_reuse, walk};
use crate::machine::{ONE_GLOBAL_MM, ONE_MM, Setting, explore};

fn a_walker_and_an_unlinker<P: Policy>(setting: Setting) {
    explore(setting, &[(running, walk::<P>), (elsewhere, unlink_flush_and_reuse::<P>)]);
}

#[test]
fn broadcast() {
    a_walker_and_an_unlinker::<Broadcast>(ONE_MM);
}

#[test]
fn property_where_all_flushes_interrupt() {
    a_walker_and_an_unlinker::<Property>(ONE_MM);
}

#[test]
fn property_where_some_do_not() {
    a_walker_and_an_unlinker::<Property>(ONE_GLOBAL_MM);
}

#[test]
fn gather() {
    a_walker_and_an_unlinker::<Gather>(ONE_MM);
}

#[test]
fn mask() {
    a_walker_and_an_unlinker::<Mask>(ONE_GLOBAL_MM);
}

#[test]
fn gather_and_mask() {
    a_walker_and_an_unlinker::<GatherMask>(ONE_MM);
}

#[test]
fn gather_and_mask_where_the_flush_does_not_interrupt() {
    a_walker_and_an_unlinker::<GatherMask>(ONE_GLOBAL_MM);
}
