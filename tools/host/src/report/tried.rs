//! The simulator in the page: what it counts by itself, and what moves it.
//!
//! # Guarantee
//!
//! The rows that are shown at first are read without JavaScript. The module counts what the simulator counts, since it is
//! the same code: `tests/page/` compares them. Where there is no module, the page says why.

use gupsync_bench::Row;
use gupsync_bench::spec::{PolicyName, SETTINGS, Spec, Workload};
use maud::{Markup, PreEscaped, html};

use super::rows::{boxed, from};
use super::scale::{each, said};
use super::source::{Source, TRIED};
use crate::scale::curves;
use crate::table::number;

const SCRIPT: &str = include_str!("tried.js");
/// What the worker does with a request.
const WORKER: &str = include_str!("worker.js");

const CPUS: &[u64] = &[
    1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1792, 2048, 3072, 4096,
    6144, 8192,
];
const MEMBERS: &[u64] = &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];
const THRESHOLDS: &[u64] = &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];
const ORDERS: &[u64] = &[2, 3, 4, 5, 6, 7, 8, 9];
const OPERATIONS: &[u64] = &[10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/// What is moved along a line: a setting, what it is called, and the values that it takes.
const LINES: &[(&str, &str, &[u64])] = &[
    ("cpus", "CPUs of the machine", CPUS),
    ("mm_cpus", "threads of the mm, a CPU each", MEMBERS),
    ("threshold", "global ASID from so many CPUs", THRESHOLDS),
    ("order", "what a collapse makes", ORDERS),
    ("ops", "operations", OPERATIONS),
];

const WORKLOADS: &[Workload] = &[Workload::Collapse, Workload::Unshare, Workload::Unmap, Workload::Protect];

/// This part of the page.
pub fn part(shown: (&Source, usize), module: Result<&str, &str>) -> Markup {
    let [low, _, high] = curves::handler().values;
    html! {
        p {
            "The simulator is the library and the bench as they are, on a machine that is not there; so a page can run it. "
            "This table is what it has counted beforehand, where everything stands at first."
        }
        @match module {
            Ok(_) => {
                p.note #tried-without { "With JavaScript and WebAssembly, what moves it stands here." }
                (controls())
            }
            Err(lack) => p.bad { "The simulator itself is not in this page: " (lack) }
        }
        (table(shown.0.rows(), shown.1))
        p.note { "CPU time is modelled: the targets of all interrupts times a handler of " (low) " to " (high)
            " ns, which is an assumption. All other figures are counted." }
        @if let Ok(module) = module {
            script type="application/octet-stream" #tried-module { (PreEscaped(module)) }
            script #tried-run type="text/plain" { @for part in gupsync_web::RUN { (PreEscaped(part)) } (PreEscaped(WORKER)) }
            script { (PreEscaped(SCRIPT)) }
        }
    }
}

/// All that can be moved; shown by the script.
fn controls() -> Markup {
    let usual = Spec::default();
    let doc = |key: &str| SETTINGS.iter().find(|setting| setting.key == key).map_or("", |setting| setting.doc);
    let at = |key: &str| match key {
        "cpus" => 8,
        "ops" => 200,
        key => {
            let setting = SETTINGS.iter().find(|setting| setting.key == key).expect("it is a setting");
            setting.number(&usual).expect("it is a number") as u64
        }
    };
    html! {
        form #tried hidden {
            @for (key, name, values) in LINES {
                label title=(doc(key)) {
                    span { (name) }
                    output { (number(Some(at(key)))) }
                    input type="range" name=(key) min="0" max=(values.len() - 1)
                        value=(values.iter().position(|value| *value == at(key)).unwrap_or_default())
                        data-values=(values.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
                }
            }
            label { span { "operation" } select name="workload" { @for workload in WORKLOADS {
                option value=(workload) { (workload) }
            } } }
            label { span { "flushes by INVLPGB" } input type="checkbox" name="invlpgb" checked; }
            fieldset {
                legend { "policies" }
                @for policy in PolicyName::all().iter() {
                    @let is_safe = PolicyName::safe().contains(policy);
                    label { input type="checkbox" name="policy" value=(policy) checked[is_safe]; " " (policy)
                        @if !is_safe { small { " unsafe" } } }
                }
            }
            p.tried-said {
                progress max="1" value="1" aria-label="counted" {}
                span role="status" { "counted beforehand" }
                button type="reset" { "as at first" }
            }
        }
        pre.scroll #tried-command tabindex="0" { code { "tools/gupsync " (TRIED) } }
    }
}

fn table(rows: &[Row], source: usize) -> Markup {
    let most = rows.iter().filter_map(|row| row.counts.sync_ipis).max().unwrap_or_default();
    let [low, _, high] = curves::handler().values;
    boxed(
        &html! { "Counted on: " b { "simulator" } ". " (from(source)) },
        &html! {
            table #tried-table data-handler=(format!("{low} {high}")) {
                thead { tr {
                    th scope="col" { "policy" }
                    @for header in ["sync IPIs", "each operation", "flush IPIs", "syncs skipped", "CPU time, us"] {
                        th.num scope="col" { (header) }
                    }
                    th scope="col" { "status" }
                    th.bar scope="col" { "sync IPIs" }
                } }
                tbody { @for row in rows {
                    @let c = &row.counts;
                    tr.bad[row.judge().is_err()] {
                        th scope="row" { (row.policy) }
                        td.num { (number(c.sync_ipis)) }
                        td.num { (each(c.sync_ipis, c.ops).map_or("-".to_owned(), said)) }
                        td.num { (number(c.flush_ipis)) }
                        td.num { (number(c.syncs_skipped)) }
                        td.num { (time(row)) }
                        td { (row.status) }
                        td.bar { @if let Some(sent) = c.sync_ipis.filter(|sent| *sent > 0) {
                            i style=(format!("width:{:.1}%", 100.0 * sent as f64 / most as f64)) {}
                        } }
                    }
                } }
            }
        },
    )
}

/// The CPU time that each operation interrupts.
fn time(row: &Row) -> String {
    match curves::interrupted(row) {
        Some([low, high]) if high > 0.0 => format!("{low:.1} to {high:.1}"),
        Some(_) => "0".to_owned(),
        None => "-".to_owned(),
    }
}
