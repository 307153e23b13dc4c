//! The figures of each piece, and which of its instructions a policy adds.

use std::collections::HashMap;

use anyhow::{Context, Result};
use gupsync::policy::Never;
use gupsync_bench::cost::{Piece, Sizes};
use gupsync_bench::spec::PolicyName;
use serde::{Deserialize, Serialize};
use similar::{Algorithm, ChangeTag, capture_diff_slices};

use super::Boot;
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

/// What `executed` has and `nothing` has not, each instruction once, in the order in which they come.
fn differences(nothing: &[Executed], executed: &[Executed]) -> Vec<Difference> {
    let keys = |executed: &[Executed]| -> Vec<(String, String)> {
        executed.iter().map(|one| (one.text.clone(), one.place.clone())).collect()
    };
    let (old, new) = (keys(nothing), keys(executed));
    let (mut differences, mut places) = (Vec::<Difference>::new(), HashMap::new());
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        for change in op.iter_changes(&old, &new) {
            let times = match change.tag() {
                ChangeTag::Equal => continue,
                ChangeTag::Insert => 1,
                ChangeTag::Delete => -1,
            };
            let (instruction, place) = change.value();
            let index = *places.entry((instruction.clone(), place.clone())).or_insert(differences.len());
            match differences.get_mut(index) {
                Some(known) => known.times += times,
                None => differences.push(Difference { times, instruction, place }),
            }
        }
    }
    differences.retain(|difference| difference.times != 0);
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
