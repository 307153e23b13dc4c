//! Property: a CPU whose tracker does not name the mm may be left out.

use gupsync::policy::{PendingTargeted, Targeted};

use crate::acts::{elsewhere, flush, running, unlink_and_reuse, walk};
use crate::machine::{ONE_MM, explore};

#[test]
fn a_tracked_walker() {
    explore(ONE_MM, &[(running, walk::<Targeted>), (elsewhere, unlink_and_reuse::<Targeted>)]);
}

/// The flush may cover the ticket first.
#[test]
fn a_tracked_walker_and_a_flush() {
    explore(
        ONE_MM,
        &[
            (running, walk::<PendingTargeted>),
            (elsewhere, unlink_and_reuse::<PendingTargeted>),
            (elsewhere, flush),
        ],
    );
}
