//! Kernels with mistakes in them, booted.
//!
//! # Guarantee
//!
//! Rows are those of a boot in which the code of the chosen mutant was run, and no mutant's where none is chosen.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use gupsync_bench::cast::Cast;
use gupsync_bench::{Row, Spec};

use super::{KERNEL_ENTERED, Schema, WORD};
use crate::artifacts::Tree;
use crate::boot::{self, Word};
use crate::image::Bootloader;
use crate::mutants::{self, Mutant};
use crate::qemu::Machine;

/// A boot ends after this time at the latest.
const PATIENCE: Duration = Duration::from_secs(200);

/// The kernel of a tree, as the mutant of that number where it holds several.
#[derive(Clone, Debug)]
pub struct Kernel {
    tree: Tree,
    number: Option<u32>,
}

impl Kernel {
    /// That of `tree`, which holds one mutant.
    pub fn of(tree: Tree) -> Self {
        Kernel { tree, number: None }
    }

    /// The kernel that holds all mutants that can be chosen when it boots, as none of them.
    ///
    /// # Errors
    ///
    /// If there is no such kernel.
    pub fn without_mistake() -> Result<Self> {
        Ok(Kernel { tree: all_at_once()?.1.clone(), number: Some(0) })
    }

    /// The same, as this mutant; nothing if that cannot be chosen.
    ///
    /// # Errors
    ///
    /// If there is no such kernel.
    pub fn holding(mutant: &str) -> Result<Option<Self>> {
        let (schema, tree) = all_at_once()?;
        Ok(schema.number(mutant).map(|number| Kernel { tree: tree.clone(), number: Some(number) }))
    }

    /// The rows of one boot.
    ///
    /// # Errors
    ///
    /// If it cannot be booted, or the code of the mutant was not run.
    pub fn rows(&self, specs: &[Spec]) -> Result<Vec<Row>> {
        let need = specs.iter().map(Cast::need).max().unwrap_or_default();
        let machine = Machine::for_counting(need + 1);
        let mutant = self.number.map_or(String::new(), |number| format!("{WORD}{number} "));
        let cmdline = format!("{mutant}{}", boot::cmdline(specs));
        let mut has_entered = false;
        let listen = |word: Word<'_>| {
            has_entered |= matches!(word, Word::Line(line) if line.trim_end() == KERNEL_ENTERED);
        };
        let bootloader = Bootloader::Direct;
        let outcome = boot::with_cmdline(&self.tree, &bootloader, &machine, specs, &cmdline, PATIENCE, listen)?;
        if let Some(number) = self.number {
            ensure!(has_entered == (number != 0), "the code of mutant {number}: run is {has_entered}");
        }
        Ok(outcome.rows)
    }
}

/// The tree of that kernel, which is built once; or why there is none.
fn all_at_once() -> Result<&'static (Schema, Tree)> {
    static ALL: OnceLock<Result<(Schema, Tree), String>> = OnceLock::new();
    let make = || {
        let work = Tree::own().target_of("mutants");
        let mutants: Vec<_> = mutants::all()?.into_iter().filter(Mutant::is_booted).collect();
        let schema = Schema::make(&mutants, &work.join("tree"))?;
        let tree = Tree::at(work.join("tree"), work.join("boot")).quick();
        tree.kernel()?;
        Ok((schema, tree))
    };
    let made = ALL.get_or_init(|| make().map_err(|error: anyhow::Error| format!("all at once: {error:#}")));
    made.as_ref().map_err(|error| anyhow!("{error}"))
}
