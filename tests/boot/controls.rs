//! Item 9: negative controls, one for every detector and, under every safe policy, one for every kind of sync. Each
//! fault is a mutant, chosen when a kernel that holds all of them is booted; no row in which it is made may be `ok`.
//!
//! The unsafe policies are controls too: `policies.rs` and `unshare.rs` have them.

use anyhow::{Context, Result, ensure};
use gupsync_bench::row::Status;
use gupsync_host::schema::booted::Kernel;
use libtest_mimic::Trial;

use crate::{spec, trial};

/// A fault: its mutant, the comparisons in which it is made, and what the detector says that must see it.
struct Control {
    name: &'static str,
    mutant: &'static str,
    words: &'static [&'static str],
    finding: &'static str,
}

const IN_TABLE: &str = "a walker was inside a table taken out of use";

const CONTROLS: &[Control] = &[
    Control {
        name: "a_lost_sync_is_caught_under_each",
        mutant: "no-policy-is-asked-to-sync",
        words: &["invlpgb=on", "invlpgb=on order=4 batch=4", "invlpgb=on ranges=3", "flush=hypercall-all"],
        finding: IN_TABLE,
    },
    Control {
        name: "a_lost_sync_of_shared_tables_is_caught_under_each",
        mutant: "no-policy-is-asked-to-settle",
        words: &["workload=unshare sharers=4 invlpgb=on"],
        finding: IN_TABLE,
    },
    Control {
        name: "inside_reused_table_fires_where_nothing_is_waited_for",
        mutant: "sync-omitted-on-unmap",
        words: &["workload=unmap invlpgb=on"],
        finding: IN_TABLE,
    },
    Control {
        name: "inside_reused_table_fires_where_an_upper_table_is_not_waited_for",
        mutant: "exit-frees-at-once",
        words: &["workload=unshare exit=on invlpgb=on", "workload=unshare exit=on flush=hypercall-all"],
        finding: IN_TABLE,
    },
    Control {
        name: "stale_translation_fires_under_each",
        mutant: "flush-omitted",
        words: &["workload=protect"],
        finding: "a translation was used after its flush had completed",
    },
    Control {
        name: "stale_translation_fires_under_each_where_asids_are_kept",
        mutant: "kept-although-behind",
        words: &["workload=protect visits=on", "workload=unmap visits=on", "visits=on pcids=2"],
        finding: "a translation was used after its flush had completed",
    },
    Control {
        name: "stale_translation_fires_under_each_where_an_asid_goes_to_another_mm",
        mutant: "asid-taken-without-a-drop",
        words: &["workload=protect visits=on pcids=1"],
        finding: "a translation was used after its flush had completed",
    },
    Control {
        name: "stale_kernel_mapping_fires_under_each_where_asids_are_kept",
        mutant: "kernel-flush-of-the-loaded-asid",
        words: &["remap=on visits=on"],
        finding: "a kernel mapping was used after the flush of the kernel's range",
    },
    Control {
        name: "used_after_free_fires_under_each",
        mutant: "page-freed-before-the-flush",
        words: &["workload=unmap touch=on"],
        finding: "a page was used after it had been freed",
    },
    Control {
        name: "stale_kernel_mapping_fires_under_each",
        mutant: "kernel-invlpgb-not-awaited",
        words: &["remap=on invlpgb=on"],
        finding: "a kernel mapping was used after the flush of the kernel's range",
    },
];

pub fn trials() -> Vec<Trial> {
    let controls = CONTROLS.iter();
    controls
        .map(|control| trial(&format!("controls::item_9_{}", control.name), || is_caught(control)))
        .collect()
}

fn is_caught(control: &Control) -> Result<()> {
    let kernel = Kernel::holding(control.mutant)?;
    let kernel = kernel.with_context(|| format!("{} cannot be chosen at boot", control.mutant))?;
    let specs: Vec<_> = control.words.iter().map(|words| spec(&format!("{words} mm_cpus=4 ops=40"))).collect();
    let rows = kernel.rows(&specs)?;
    let asked = specs.iter().flat_map(|spec| spec.policy.iter().copied());
    ensure!(rows.iter().map(|row| row.policy).eq(asked), "{rows:#?}");
    for row in &rows {
        let said = row.detail.as_deref().unwrap_or("nothing");
        ensure!(row.status == Status::Violation && said.starts_with(control.finding), "{said}: {row:#?}");
        ensure!(row.judge().is_err_and(|fault| fault.starts_with("caught: ")), "{row:#?}");
    }
    Ok(())
}
