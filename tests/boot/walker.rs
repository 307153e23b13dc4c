//! What a walk costs, in the kernel's own code: no policy but a tracker orders anything, and the instrument orders nothing.
//!
//! The code of a walk is `gup_fast` and all that it calls directly, but for what only some walks do: taking a reference
//! (which is counted apart), being held or sampled, waiting in an NMI, being caught, panicking.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use gupsync_host::artifacts::Tree;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use libtest_mimic::Trial;
use object::{Object, ObjectSection, ObjectSymbol};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial("walker::has_no_fence_but_the_policys_own", no_fence_but_the_policys_own)]
}

/// Not part of every walk.
const APART: [&str; 9] = [
    "gup_fast::pin::",
    "::put_page",
    "::stay::",
    "::stay_pinned::",
    "::sample",
    "emulate::read_queues",
    "::caught",
    "panic",
    "expect_failed",
];

/// The functions of the kernel: by address, the name and the code.
struct Functions(BTreeMap<u64, (String, Vec<u8>)>);

impl Functions {
    fn of_kernel() -> Result<Self> {
        let file = std::fs::read(Tree::own().kernel()?)?;
        let file = object::File::parse(&*file)?;
        let text = file.section_by_name(".text").context("the kernel has no .text")?;
        let (base, code) = (text.address(), text.data()?);
        let symbols = file.symbols().filter(|symbol| symbol.is_definition() && symbol.size() > 0);
        let functions = symbols.filter_map(|symbol| {
            let start = usize::try_from(symbol.address().checked_sub(base)?).ok()?;
            let code = code.get(start..start + usize::try_from(symbol.size()).ok()?)?;
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?));
            Some((symbol.address(), (name, code.to_vec())))
        });
        Ok(Functions(functions.collect()))
    }

    /// Instructions that order memory: in the function at `start` and in what it calls.
    fn fences(&self, start: u64) -> Vec<String> {
        let (mut todo, mut seen, mut fences) = (vec![start], BTreeSet::new(), Vec::new());
        while let Some(address) = todo.pop() {
            let Some((name, code)) = self.0.get(&address) else { continue };
            let is_apart = address != start && APART.iter().any(|apart| name.contains(apart));
            if is_apart || !seen.insert(address) {
                continue;
            }
            for instruction in &mut Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
                if instruction.flow_control() == FlowControl::Call
                    || instruction.flow_control() == FlowControl::UnconditionalBranch
                {
                    todo.push(instruction.near_branch_target());
                }
                if orders(&instruction) {
                    fences.push(format!("{:?} at {:#x} in {name}", instruction.mnemonic(), instruction.ip()));
                }
            }
        }
        fences
    }
}

fn orders(instruction: &Instruction) -> bool {
    let is_exchange = instruction.mnemonic() == Mnemonic::Xchg
        && (0..2).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
    instruction.has_lock_prefix()
        || is_exchange
        || matches!(instruction.mnemonic(), Mnemonic::Mfence | Mnemonic::Lfence | Mnemonic::Sfence)
}

/// Policies that do nothing in a walk are built into the same function: the linker keeps one of the names.
fn no_fence_but_the_policys_own() -> Result<()> {
    let functions = Functions::of_kernel()?;
    let mut walks = BTreeMap::<(bool, &str), usize>::new();
    for (address, (name, _)) in &functions.0 {
        if !name.starts_with("gupsync::gup_fast::gup_fast::<") {
            continue;
        }
        let tracks = name.split(',').next().is_some_and(|policy| policy.contains("Targeted"));
        let fences = functions.fences(*address);
        let expected = usize::from(tracks);
        ensure!(
            fences.len() == expected,
            "{name}: {expected} fence is its policy's own, and it has {fences:?}"
        );
        let callers = [("::worker::", "worker"), ("::cost::", "cost")];
        let caller = callers.iter().find(|(part, _)| name.contains(part)).map_or("guest", |(_, caller)| caller);
        *walks.entry((tracks, caller)).or_default() += 1;
    }
    let each_once =
        [false, true].into_iter().flat_map(|tracks| ["guest", "worker", "cost"].map(|by| (tracks, by)));
    ensure!(walks == each_once.map(|walk| (walk, 1)).collect(), "codes of walks: {walks:?}");
    let pin = functions.0.iter().find(|(_, (name, _))| name.starts_with("gupsync::gup_fast::pin::<"));
    let (address, _) = pin.context("the kernel has no `pin`")?;
    let fences = functions.fences(*address);
    ensure!(!fences.is_empty(), "a reference is taken by a locked instruction, and `pin` has none");
    Ok(())
}
