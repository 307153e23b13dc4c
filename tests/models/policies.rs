//! Property: what the policies of Linux skip may be skipped. (The trackers have a file of their own.)

use gupsync::policy::{Broadcast, Gather, GatherMask, Mask, Property};

use crate::acts::{elsewhere, running, unlink_flush_and_reuse, walk};
use crate::machine::{ONE_GLOBAL_MM, ONE_MM, explore};

#[test]
fn broadcast() {
    explore(ONE_MM, &[(running, walk::<Broadcast>), (elsewhere, unlink_flush_and_reuse::<Broadcast>)]);
}

#[test]
fn property_where_all_flushes_interrupt() {
    explore(ONE_MM, &[(running, walk::<Property>), (elsewhere, unlink_flush_and_reuse::<Property>)]);
}

#[test]
fn property_where_some_do_not() {
    explore(ONE_GLOBAL_MM, &[(running, walk::<Property>), (elsewhere, unlink_flush_and_reuse::<Property>)]);
}

#[test]
fn gather() {
    explore(ONE_MM, &[(running, walk::<Gather>), (elsewhere, unlink_flush_and_reuse::<Gather>)]);
}

#[test]
fn mask() {
    explore(ONE_GLOBAL_MM, &[(running, walk::<Mask>), (elsewhere, unlink_flush_and_reuse::<Mask>)]);
}

#[test]
fn gather_and_mask() {
    explore(ONE_MM, &[(running, walk::<GatherMask>), (elsewhere, unlink_flush_and_reuse::<GatherMask>)]);
}

#[test]
fn gather_and_mask_where_the_flush_does_not_interrupt() {
    explore(ONE_GLOBAL_MM, &[(running, walk::<GatherMask>), (elsewhere, unlink_flush_and_reuse::<GatherMask>)]);
}
