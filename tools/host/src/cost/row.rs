//! The figures of each piece, and which of its instructions a policy adds.

use std::collections::HashMap;

use anyhow::{Context, Result};
use gupsync::policy::Never;
use gupsync_bench::cost::{Piece, Sizes};
use gupsync_bench::spec::PolicyName;
use serde::{Deserialize, Serialize};

use super::boot::Boot;
use super::code::{Code, Executed, Kind};

/// What the others are compared with: a policy that does nothing.
pub const NOTHING: PolicyName = PolicyName::of::<Never>();

/// A piece under a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostRow {
    /// Which.
    pub piece: Piece,
    /// Under which policy; none, if none is part of it.
    pub policy: Option<PolicyName>,
    /// How many CPUs the machine is taken to have.
    pub cpus: usize,
    /// How many of them have the mm loaded.
    pub mm_cpus: usize,
    /// Whether INVLPGB is used.
    pub invlpgb: bool,
    /// Instructions executed, less those of an empty function.
    pub instructions: u64,
    /// Those of them that are atomic updates of memory.
    pub atomics: u64,
    /// Those that are fences.
    pub fences: u64,
    /// The address of the first.
    pub code: u64,
    /// Whether it is the code of `never`, at the same addresses.
    pub is_that_of_never: bool,
    /// What it executes that `never` does not, and what it does not.
    pub differs: Vec<Difference>,
}

/// An instruction that is executed more often, or less, than under `never`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// How much more often.
    pub times: i64,
    /// The instruction.
    pub instruction: String,
    /// The line of the sources.
    pub place: String,
}

/// All figures.
pub struct Costs {
    /// In the order of the pieces and policies.
    pub rows: Vec<CostRow>,
    /// The sizes of what an mm has.
    pub sizes: Sizes,
}

impl Costs {
    /// The figures of a boot.
    ///
    /// # Errors
    ///
    /// If what was executed is not what the kernel's file holds.
    pub fn new(code: &Code, boot: &Boot) -> Result<Self> {
        let mut executed = Vec::new();
        for measured in &boot.measured {
            executed.push((measured.piece, measured.policy, code.executed(measured)?));
        }
        let find = |piece, policy| {
            let found = executed.iter().find(|(own, under, _)| *own == piece && *under == policy);
            found.map(|(.., executed)| executed.as_slice())
        };
        let empty = find(Piece::empty, None).context("the kernel has no empty function")?;
        let row = |(piece, policy, executed): &(Piece, Option<PolicyName>, Vec<Executed>)| {
            let nothing = policy.and_then(|_| find(*piece, Some(NOTHING))).unwrap_or(executed);
            let count = |kind| executed.iter().filter(|one| one.kind == kind).count() as u64;
            let scene = piece.scene();
            let addresses = |executed: &[Executed]| executed.iter().map(|one| one.address).collect::<Vec<_>>();
            let is_that_of_never = policy.is_some() && addresses(executed) == addresses(nothing);
            CostRow {
                piece: *piece,
                policy: *policy,
                cpus: scene.cpus,
                mm_cpus: scene.mm_cpus,
                invlpgb: scene.invlpgb,
                instructions: (executed.len() - empty.len()) as u64,
                atomics: count(Kind::Atomic),
                fences: count(Kind::Fence),
                code: executed.first().map_or(0, |first| first.address),
                is_that_of_never,
                differs: if is_that_of_never { Vec::new() } else { differences(nothing, executed) },
            }
        };
        Ok(Costs { rows: executed.iter().map(row).collect(), sizes: boot.sizes.clone() })
    }

    /// The row of a piece under a policy, if one is part of it.
    ///
    /// # Panics
    ///
    /// If there is none: a boot that lacks one is refused.
    pub fn row(&self, piece: Piece, policy: Option<PolicyName>) -> &CostRow {
        let found = self.rows.iter().find(|row| row.piece == piece && row.policy == policy);
        found.expect("each piece has a row under each policy")
    }

    /// The instructions, atomics and fences of a ticket: what an unlink has beyond the clear.
    pub fn ticket(&self) -> [u64; 3] {
        let [unlink, clear] = [Piece::unlink, Piece::clear].map(|piece| self.row(piece, None));
        [unlink.instructions - clear.instructions, unlink.atomics - clear.atomics, unlink.fences - clear.fences]
    }
}

/// What `executed` has more of than `nothing`, and less, in the order in which it comes. Which registers the compiler has
/// chosen makes no difference.
fn differences(nothing: &[Executed], executed: &[Executed]) -> Vec<Difference> {
    let mut times: HashMap<&str, i64> = HashMap::new();
    let mut at: HashMap<(&str, &str), i64> = HashMap::new();
    for (executed, count) in [(executed, 1), (nothing, -1)] {
        for one in executed {
            *times.entry(&one.text).or_default() += count;
            *at.entry((&one.text, &one.place)).or_default() += count;
        }
    }
    let mut differences = Vec::new();
    for one in executed.iter().chain(nothing) {
        let (all, here) = (times.get_mut(&*one.text), at.get_mut(&(&*one.text, &*one.place)));
        let (Some(all), Some(here)) = (all, here) else { continue };
        // As many of them as there are more in all, where there are more.
        let count = if *all > 0 { (*here).min(*all).max(0) } else { (*here).max(*all).min(0) };
        if count != 0 {
            (*all, *here) = (*all - count, *here - count);
            let (instruction, place) = (one.text.clone(), one.place.clone());
            differences.push(Difference { times: count, instruction, place });
        }
    }
    differences
}

/// The rows as CSV, but for the differences.
///
/// # Errors
///
/// None: a row is plain data.
pub fn csv(rows: &[CostRow]) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record([
        "piece",
        "policy",
        "cpus",
        "mm_cpus",
        "invlpgb",
        "instructions",
        "atomics",
        "fences",
        "code",
        "is_that_of_never",
    ])?;
    for row in rows {
        csv.write_record([
            row.piece.to_string(),
            row.policy.map_or_else(String::new, |policy| policy.to_string()),
            row.cpus.to_string(),
            row.mm_cpus.to_string(),
            row.invlpgb.to_string(),
            row.instructions.to_string(),
            row.atomics.to_string(),
            row.fences.to_string(),
            format!("{:#x}", row.code),
            row.is_that_of_never.to_string(),
        ])?;
    }
    let bytes = csv.into_inner().context("it is written to memory")?;
    Ok(String::from_utf8(bytes)?.trim_end().to_owned())
}
