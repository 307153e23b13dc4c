//! What the figures must be.

use gupsync::policy::Pending;
use gupsync_bench::cost::{Group, PIECES, Piece};
use gupsync_bench::spec::PolicyName;

use super::row::{Costs, NOTHING};

/// A ticket takes so many instructions at most beyond the clear.
pub const TICKET: u64 = 6;
/// A ticket that is covered is redeemed by so many at most.
pub const REDEEM: u64 = 10;
/// `pending` skips a sync by so many at most.
pub const SKIP: u64 = 20;

const PENDING: PolicyName = PolicyName::of::<Pending>();

/// What is not as promised, a line each.
#[must_use]
pub fn broken(costs: &Costs) -> Vec<String> {
    let mut broken = Vec::new();
    for piece in PIECES.iter().copied().filter(|piece| piece.group() == Group::Walk) {
        let [own, nothing] = [PENDING, NOTHING].map(|policy| costs.row(piece, Some(policy)));
        if !own.is_that_of_never || own.instructions != nothing.instructions {
            broken.push(format!(
                "{piece}: {PENDING} walks by {} instructions at {:#x}, and {NOTHING} by {} at {:#x}; it is to be the same code",
                own.instructions, own.code, nothing.instructions, nothing.code
            ));
        }
    }
    let [ticket, ..] = costs.ticket();
    let limits = [
        ("a ticket, beyond the clear", ticket, TICKET),
        ("a redeem that finds the ticket covered", costs.row(Piece::redeem, None).instructions, REDEEM),
        ("a sync that `pending` skips", costs.row(Piece::sync_covered, Some(PENDING)).instructions, SKIP),
    ];
    for (what, instructions, limit) in limits {
        if instructions > limit {
            broken.push(format!("{what} takes {instructions} instructions, more than {limit}"));
        }
    }
    broken
}
