//! Item 10: before the first row the kernel walks its own tables, and ends the boot if a page is not as it must be. That each
//! rule is seen to be broken is shown by the mutants `posture-*`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gupsync_bench::Spec;
use gupsync_bench::report;
use gupsync_host::artifacts::Tree;
use gupsync_host::boot::{self, Outcome, Word};
use gupsync_host::image::Bootloader;
use gupsync_host::qemu::{Firmware, Machine};
use libtest_mimic::Trial;

use crate::{judge, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    let of = |name: &str, bootloader, firmware| {
        trial(&format!("posture::item_10_holds_before_the_first_row_{name}"), move || {
            let machine = Machine { firmware, ..machine(3) };
            boot(&bootloader, &machine, &[spec("mm_cpus=2 ops=2")])?.rows.iter().try_for_each(judge)
        })
    };
    vec![
        of("after_uefi", Bootloader::Builtin, Firmware::Uefi),
        of("after_a_direct_boot", Bootloader::Direct, Firmware::Bios),
    ]
}

/// Boots, and fails unless the kernel has looked at its posture before the first row.
pub fn boot(bootloader: &Bootloader, machine: &Machine, specs: &[Spec]) -> Result<Outcome> {
    let mut lines = Vec::new();
    let outcome = boot::run(&Tree::own(), bootloader, machine, specs, Duration::from_secs(100), |word| {
        if let Word::Line(line) = word {
            lines.push(line.to_owned());
        }
    })?;
    let before = lines.iter().take_while(|line| !line.starts_with(report::BEGIN));
    let said = before.filter_map(|line| Some(line.split_once("boot posture: ")?.1)).last();
    let said = said.with_context(|| format!("no posture before the first row: {}: {lines:#?}", outcome.end))?;
    let words: Vec<_> = said.split_whitespace().collect();
    let [pages, "pages", "and", stacks, "stacks", "are", "as", "they", "must", "be"] = words[..] else {
        anyhow::bail!("{said}");
    };
    // All but what the firmware keeps.
    ensure!(pages.parse::<usize>()? > machine.memory as usize * 256 * 9 / 10, "{said}");
    ensure!(stacks.parse::<usize>()? == 3 * machine.cpus, "{said}");
    Ok(outcome)
}
