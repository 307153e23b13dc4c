//! `diff`: two documents, row by row: what a robot runs for each patch.
//!
//! # Guarantee
//!
//! It ends well only if both have the same rows, each row of the second ended as in the first or as promised, and every count
//! that is exact there is the same in both. Rows belong together if all that was asked is the same: settings, policy, mm,
//! CPUs, and what executes them. A count that is not exact never fails by itself, unless that was asked for.

mod compared;
mod shown;
mod side;

use anyhow::Result;
use gupsync_bench::Row;

use crate::args::DiffArgs;
use crate::ending::Ending;
use crate::qemu::Accel;
use crate::say;
use compared::Diff;
use side::{Side, Written};

/// Compares, and says what differs.
///
/// # Errors
///
/// If one of the documents cannot be read.
pub fn run(args: &DiffArgs) -> Result<Ending> {
    let [base, new] = [Written::read(&args.base)?, Written::read(&args.new)?];
    if base.schema != new.schema {
        let (base, new) = (base.schema, new.schema);
        say::err(format_args!("error: schema was {base}, is {new}: the same field may mean something else"));
        return Ok(Ending::Broken);
    }
    let [base, new] = [base.side()?, new.side()?];
    let diff = Diff::of(&base, &new, args.tolerance);
    say::out(shown::text(&base, &new, &diff));
    let mut faults = diff.faults();
    if args.fail_on_timing {
        faults.extend(diff.changes(false));
    }
    faults.iter().for_each(|fault| say::err(format_args!("error: {fault}")));
    Ok(Ending::of(faults.is_empty()))
}

/// The exact counts of `new` that are not as in `base`, both from boots that `accel` executes: a line for each.
pub fn exact(base: &[Row], new: &[Row], accel: Accel) -> Vec<String> {
    Diff::of(&Side::of("base", base, accel), &Side::of("new", new, accel), u64::MAX).changes(true)
}

#[cfg(test)]
mod tests;
