//! Ends that are failures are seen as such, with their reason, and cost none of the rows before.

use std::time::Duration;

use anyhow::{Result, ensure};
use gupsync_bench::report::ExitCode;
use gupsync_bench::row::Status;
use gupsync_host::image::Bootloader;
use gupsync_host::qemu::{End, Machine};
use libtest_mimic::Trial;

use crate::{boot, boot_under, machine, spec, trial};

pub fn trials() -> Vec<Trial> {
    let ending = |name, words, end, reason| {
        trial(&format!("endings::{name}"), move || {
            let outcome = boot(&machine(2), &[spec(words)])?;
            let row = &outcome.rows[0];
            ensure!(outcome.end == End::Kernel(end), "{}", outcome.end);
            ensure!(row.judge().is_err() && row.counts.ops.is_none(), "{row:#?}");
            ensure!(row.detail.as_deref().is_some_and(|detail| detail.contains(reason)), "{row:#?}");
            Ok(())
        })
    };
    vec![
        ending("a_panic", "mm_cpus=2 fail=panic", ExitCode::Panic, "panic on CPU 0"),
        ending("an_exception", "mm_cpus=2 fail=fault", ExitCode::Exception, "page fault"),
        ending("a_stack_overflow", "mm_cpus=2 fail=overflow", ExitCode::Exception, "stack overflow"),
        ending("a_refused_command_line", "mm_cpus=3", ExitCode::Refused, "mm_cpus=3"),
        trial("endings::a_hang_keeps_the_rows_before_it", hang),
        trial("endings::too_little_memory", memory),
    ]
}

fn hang() -> Result<()> {
    let timeout = Duration::from_secs(30);
    let outcome =
        boot_under(&Bootloader::Builtin, &machine(2), &[spec("mm_cpus=2 ops=10 fail=hang-late")], timeout)?;
    ensure!(outcome.end == End::Timeout, "{}", outcome.end);
    let (last, before) = outcome.rows.split_last().expect("rows");
    ensure!(before.len() >= 2 && before.iter().all(|row| row.judge().is_ok()), "{before:#?}");
    ensure!(last.status == Status::Timeout && last.counts.ops.is_none() && last.judge().is_err(), "{last:#?}");
    Ok(())
}

fn memory() -> Result<()> {
    // Enough for firmware and bootloader.
    let small = Machine { memory: 48, ..machine(2) };
    let outcome = boot(&small, &[spec("mm_cpus=2 ops=10")])?;
    let row = &outcome.rows[0];
    ensure!(row.status == Status::Memory && row.judge().is_err(), "{}: {row:#?}", outcome.end);
    ensure!(row.detail.as_deref().is_some_and(|detail| detail.contains("not enough memory")), "{row:#?}");
    Ok(())
}
