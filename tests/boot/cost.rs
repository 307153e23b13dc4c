//! What the protocol costs, to the instruction: the same in two boots, as promised, and seen if it is more.

use std::fs;
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow, ensure};
use gupsync::policy::{Never, Pending, Targeted};
use gupsync_bench::cost::{Group, PIECES, Piece};
use gupsync_bench::spec::PolicyName;
use gupsync_host::artifacts::Tree;
use gupsync_host::cost::boot::{self, Boot};
use gupsync_host::cost::code::Code;
use gupsync_host::cost::row::{CostRow, Costs};
use gupsync_host::cost::{explain, promise};
use gupsync_host::document::Document;
use libtest_mimic::Trial;

use crate::cli::{gupsync, said};
use crate::{PATIENCE, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("cost::item_13_two_boots_count_the_same_instructions", twice),
        trial("cost::item_13_figures_are_as_promised", as_promised),
        trial("cost::item_13_a_fence_in_a_walk_is_shown_with_its_line", explained),
        trial("cost::item_13_what_costs_more_than_is_promised_is_seen", more_is_seen),
        trial("cost::item_13_a_machine_that_counts_no_instructions_is_refused", not_counting),
    ]
}

const PENDING: Option<PolicyName> = Some(PolicyName::of::<Pending>());
const TARGETED: Option<PolicyName> = Some(PolicyName::of::<Targeted>());
const NEVER: Option<PolicyName> = Some(PolicyName::of::<Never>());

fn boot() -> Result<Boot> {
    boot::run(&Tree::own(), &boot::machine(None), PATIENCE, |_| ())
}

/// One boot for the tests that look at its figures.
static ONE: LazyLock<Result<Boot>> = LazyLock::new(boot);

fn one() -> Result<Boot> {
    let boot = ONE.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    Ok(Boot { measured: boot.measured.clone(), sizes: boot.sizes.clone(), loader: boot.loader.clone() })
}

fn costs(boot: &Boot) -> Result<Costs> {
    let tree = Tree::own();
    Costs::new(&Code::read(&tree.kernel()?, &tree.root)?, boot)
}

/// Addresses, too: what was executed, and not only how much.
fn twice() -> Result<()> {
    let (first, second) = (one()?, boot()?);
    for (first, second) in first.measured.iter().zip(&second.measured) {
        ensure!(first == second, "{} under {:?}", first.piece, first.policy);
    }
    ensure!(first.measured.len() == second.measured.len() && first.sizes == second.sizes);
    Ok(())
}

/// By the command, which says so by its status.
fn as_promised() -> Result<()> {
    let work = tempfile::tempdir()?;
    let json = work.path().join("cost.json");
    let output = gupsync().args(["cost", "--json"]).arg(&json).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout)?;
    ensure!(printed.lines().all(|line| line.chars().count() <= 80), "{printed}");
    let document: Document<CostRow> = serde_json::from_slice(&fs::read(&json)?).context("JSON")?;
    ensure!(
        document.command == format!("tools/gupsync cost --json {}", json.display()),
        "{}",
        document.command
    );
    let row = |piece, policy| {
        let found = document.rows.iter().find(|row| row.piece == piece && row.policy == policy);
        found.with_context(|| format!("{piece} under {policy:?}"))
    };
    for piece in PIECES.iter().copied().filter(|piece| piece.group() == Group::Walk) {
        let (pending, never) = (row(piece, PENDING)?, row(piece, NEVER)?);
        ensure!(pending.is_that_of_never && pending.code == never.code, "{pending:#?}");
        ensure!((pending.instructions, pending.fences) == (never.instructions, 0), "{pending:#?}");
        ensure!(!row(piece, TARGETED)?.is_that_of_never, "{piece}");
    }
    ensure!(row(Piece::redeem, None)?.instructions <= 10);
    ensure!(row(Piece::sync_covered, PENDING)?.instructions <= 20);
    let (unlink, clear) = (row(Piece::unlink, None)?, row(Piece::clear, None)?);
    ensure!(unlink.instructions <= clear.instructions + 6, "{unlink:#?}{clear:#?}");
    // F1 and the ticket; F3; F4. Going lazy needs none.
    ensure!((unlink.atomics, unlink.fences) == (clear.atomics + 1, clear.fences + 1), "{unlink:#?}");
    for (piece, fences) in [(Piece::switch_again, 1), (Piece::switch_to_kernel, 0), (Piece::lazy_enter, 0)] {
        ensure!(row(piece, None)?.fences == fences, "{:#?}", row(piece, None)?);
    }
    // Each walk more costs the same.
    let walks = [Piece::walk_1, Piece::walk_8, Piece::walk_64]
        .map(|piece| row(piece, PENDING).map(|row| row.instructions));
    let [one, eight, all] = walks;
    let (one, eight, all) = (one?, eight?, all?);
    ensure!((eight - one) * 9 == all - one && one > 50, "{one}, {eight}, {all}");
    Ok(())
}

fn explained() -> Result<()> {
    let costs = costs(&one()?)?;
    let row = costs.row(Piece::walk_1, TARGETED);
    let fence =
        row.differs.iter().find(|one| one.instruction.starts_with("lock or ") || one.instruction == "mfence");
    let fence = fence.with_context(|| format!("no fence: {row:#?}"))?;
    ensure!(fence.times == 1 && fence.place.starts_with("src/policy/targeted.rs:"), "{fence:?}");
    ensure!(row.fences == 1 && costs.row(Piece::walk_1, PENDING).fences == 0, "{row:#?}");
    let text = explain::piece(&costs, Piece::walk_1);
    ensure!(text.contains(&fence.place) && text.contains("those of never"), "{text}");
    Ok(())
}

/// Each promise, broken once: what `pending` executes is taken from where more is done.
fn more_is_seen() -> Result<()> {
    let cases = [
        ((Piece::walk_1, PENDING), (Piece::walk_1, TARGETED), "walk_1: pending walks by "),
        ((Piece::walk_huge, PENDING), (Piece::walk_1, NEVER), "walk_huge: pending walks by "),
        ((Piece::unlink, None), (Piece::lazy_exit, None), "a ticket, beyond the clear takes "),
        ((Piece::redeem, None), (Piece::switch_again, None), "a redeem that finds the ticket covered takes "),
        (
            (Piece::sync_covered, PENDING),
            (Piece::sync_due_2_of_8, PENDING),
            "a sync that `pending` skips takes ",
        ),
    ];
    ensure!(promise::broken(&costs(&one()?)?) == Vec::<String>::new());
    for (own, other, fault) in cases {
        let mut boot = one()?;
        let find = |(piece, policy)| {
            let mut all = boot.measured.iter();
            all.position(|one| one.piece == piece && one.policy == policy).context("it was measured")
        };
        let (own, other) = (find(own)?, find(other)?);
        boot.measured[own].steps = boot.measured[other].steps.clone();
        let broken = promise::broken(&costs(&boot)?);
        ensure!(broken.len() == 1 && broken[0].starts_with(fault), "{fault}: {broken:?}");
    }
    // An instruction that is missing is no figure at all.
    let is_seen = |index: usize| {
        let mut boot = one()?;
        let lost = boot.measured[0].steps.remove(index);
        boot.measured[0].steps[index] += lost;
        Ok::<_, anyhow::Error>(costs(&boot).is_err_and(|error| error.to_string().contains("does not follow")))
    };
    let middle = one()?.measured[0].steps.len() / 2;
    // What a branch leads to is not known: of some, one at least is behind no branch.
    let seen = (middle..middle + 5).map(is_seen).collect::<Result<Vec<_>>>()?;
    ensure!(seen.contains(&true), "a trace with a gap was taken");
    Ok(())
}

fn not_counting() -> Result<()> {
    for (args, reason) in [("", "the machine does not count instructions"), ("2", "needs a machine of one CPU")]
    {
        let mut machine = boot::machine(None);
        if args.is_empty() {
            machine.tuning.args.clear();
        } else {
            machine.cpus = args.parse()?;
        }
        let error = boot::run(&Tree::own(), &machine, PATIENCE, |_| ());
        let error = error.err().context("it was taken")?;
        ensure!(error.to_string().contains(reason), "{error:#}");
    }
    Ok(())
}
