//! Ends that are failures are seen as such, with their reason, and cost none of the rows before.

use std::time::Duration;

use anyhow::{Result, ensure};
use gupsync_bench::report::ExitCode;
use gupsync_bench::row::Status;
use gupsync_host::artifacts::Tree;
use gupsync_host::image::{self, Bootloader};
use gupsync_host::qemu::{End, Firmware, Machine};
use libtest_mimic::Trial;

use crate::together::boot_alone;
use crate::{PATIENCE, machine, spec, trial, waiting_trial};

pub fn trials() -> Vec<Trial> {
    let ending = |name, words, end, reason| {
        trial(&format!("endings::{name}"), move || {
            let outcome = boot_alone(&machine(2), &[spec(words)], PATIENCE)?;
            let row = &outcome.rows[0];
            ensure!(outcome.end == End::Kernel(end), "{}", outcome.end);
            ensure!(row.judge().is_err() && row.counts.ops.is_none(), "{row:#?}");
            // The kernel's own line, not what stands around it.
            let said = row.detail.as_deref().and_then(|detail| detail.split("; console: ").next());
            ensure!(said.is_some_and(|said| said.contains(reason)), "{row:#?}");
            Ok(())
        })
    };
    vec![
        ending("a_panic", "mm_cpus=2 fail=panic", ExitCode::Panic, "panic on CPU 0: panicked at"),
        // Item 13: the message, which stands on a line of its own, is part of the reason.
        ending("a_panic_with_its_message", "mm_cpus=2 fail=panic", ExitCode::Panic, "as asked"),
        ending("an_exception", "mm_cpus=2 fail=fault", ExitCode::Exception, "page fault"),
        ending("a_stack_overflow", "mm_cpus=2 fail=overflow", ExitCode::Exception, "stack overflow"),
        ending("a_refused_command_line", "mm_cpus=3", ExitCode::Refused, "mm_cpus=3"),
        trial("endings::item_13_a_loader_that_refuses_ends_the_boot", || {
            refuses(&Bootloader::Builtin, Firmware::Uefi, NO_KERNEL, "boot/nothing: not found")
        }),
        trial("endings::item_13_a_direct_loader_that_refuses_ends_the_boot", || {
            let other = ("protocol: limine", "protocol: linux");
            refuses(&Bootloader::Direct, Firmware::Bios, other, "gupsync-loader-direct: limine.conf: ")
        }),
        waiting_trial("endings::a_hang_keeps_the_rows_before_it", hang),
        trial("endings::too_little_memory", memory),
    ]
}

/// A configuration that names a kernel which is not there.
pub const NO_KERNEL: (&str, &str) = ("/boot/gupsync", "/boot/nothing");

/// Boots with a configuration in which something stands in the place of something else.
pub fn refuses(
    bootloader: &Bootloader,
    firmware: Firmware,
    (right, wrong): (&str, &str),
    reason: &str,
) -> Result<()> {
    let work = tempfile::tempdir()?;
    let tree = Tree::own();
    let config = image::one_entry(&image::menu(&tree)?, "").replace(right, wrong);
    let medium = image::write(&tree, bootloader, &config, work.path())?;
    let (specs, machine) = ([spec("mm_cpus=2")], Machine { firmware, ..machine(2) });
    let outcome = gupsync_host::boot::from(&specs, &medium, &machine, Duration::from_secs(200), |_| ())?;
    ensure!(outcome.end == End::Cut && !outcome.has_begun, "{}", outcome.end);
    let detail = outcome.rows[0].detail.as_deref().unwrap_or_default();
    ensure!(detail.starts_with("the bootloader refuses: ") && detail.contains(reason), "{detail}");
    Ok(())
}

fn hang() -> Result<()> {
    let timeout = Duration::from_secs(30);
    let outcome = boot_alone(&machine(2), &[spec("mm_cpus=2 ops=10 fail=hang-late")], timeout)?;
    ensure!(outcome.end == End::Timeout, "{}", outcome.end);
    let (last, before) = outcome.rows.split_last().expect("rows");
    ensure!(before.len() >= 2 && before.iter().all(|row| row.judge().is_ok()), "{before:#?}");
    ensure!(last.status == Status::Timeout && last.counts.ops.is_none() && last.judge().is_err(), "{last:#?}");
    Ok(())
}

fn memory() -> Result<()> {
    // Enough for the bootloader; then enough for the kernel.
    for (memory, reason) in [(24, "not enough memory"), (30, "no page was left")] {
        let small = Machine { memory, ..machine(2) };
        let outcome = boot_alone(&small, &[spec("mm_cpus=2 ops=10")], PATIENCE)?;
        let row = &outcome.rows[0];
        ensure!(row.status == Status::Memory, "{}: {row:#?}", outcome.end);
        ensure!(row.judge().is_err_and(|fault| fault.contains(reason)), "{reason} in {row:#?}");
    }
    Ok(())
}
