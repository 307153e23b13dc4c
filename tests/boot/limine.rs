//! Boots under real Limine, BIOS and UEFI, wherever one is found.

use anyhow::{Result, ensure};
use gupsync::policy;
use gupsync_host::image::{Bootloader, Choice};
use gupsync_host::qemu::{Firmware, Machine};
use libtest_mimic::Trial;

use crate::{endings, judge, machine, posture, spec, trial};

pub fn trials() -> Vec<Trial> {
    let found = Bootloader::find(&Choice::Auto, Bootloader::Direct);
    [("bios", Firmware::Bios), ("uefi", Firmware::Uefi)]
        .into_iter()
        .map(|(name, firmware)| {
            let name = format!("limine::{name}");
            match &found {
                Ok(limine @ Bootloader::Limine(_)) => {
                    let limine = limine.clone();
                    trial(&name, move || {
                        boots(&limine, firmware)?;
                        endings::refuses(&limine, firmware, endings::NO_KERNEL, "PANIC")
                    })
                }
                Ok(_) => trial(&name, || Ok(()))
                    .with_kind("skipped: no Limine here; name its folder by LIMINE_DIR")
                    .with_ignored_flag(true),
                Err(error) => {
                    let error = format!("{error:#}");
                    trial(&name, move || anyhow::bail!(error))
                }
            }
        })
        .collect()
}

fn boots(limine: &Bootloader, firmware: Firmware) -> Result<()> {
    let specs = ["invlpgb=off", "invlpgb=on"].map(|words| spec(&format!("{words} ops=40")));
    let machine = Machine { firmware, ..machine(8) };
    let outcome = posture::boot(limine, &machine, &specs)?;
    ensure!(
        outcome.loader.as_deref().is_some_and(|loader| loader.starts_with("Limine ")),
        "{:?}",
        outcome.loader
    );
    ensure!(outcome.rows.len() == 2 * policy::safe_names().count());
    outcome.rows.iter().try_for_each(judge)
}
