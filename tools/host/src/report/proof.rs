//! What was proved, by what; and for each mistake the shortest execution in which it breaks, step by step.

use gupsync_checker::report::{Buffer, Step};
use maud::{Markup, html};

use super::rows::boxed;
use crate::prove::document::Document;
use crate::prove::table::{self, Kind, Line, Mistake, Verdict};
use crate::table::number;

/// What is checked, by what, and where that ends.
const CHECKS: &[(&str, &str, &str)] = &[
    (
        "the shipped library, on x86",
        "an explorer of x86-TSO: every execution of a model, store buffers and asynchronous interrupts included",
        "two to four CPUs, the acts of each model",
    ),
    (
        "the shipped library, in the memory model of C++20",
        "loom: every execution of a model up to a bound on preemptions",
        "two to four CPUs, three preemptions",
    ),
    (
        "each ordering and each fence of the library",
        "weakened or left out, one at a time: some model must fail, or it is said why it makes no difference",
        "prove --orderings",
    ),
    (
        "the same protocol in Linux's notation",
        "litmus tests under Linux's memory model and four others, by herd7",
        "excerpts, written by hand; prove --litmus",
    ),
    (
        "that the checkers would see a mistake",
        "mutants: mistakes kept as patches, each of which must be caught",
        "those that were thought of",
    ),
    (
        "the library on real page tables, interrupts and TLBs",
        "boots in QEMU with two detectors, for walkers in reused tables and for stale translations",
        "the executions that come; tools/gupsync test",
    ),
];

/// The part of the page.
pub fn all(proofs: &[Document], first: usize) -> Markup {
    html! {
        (boxed(&html! { "What is checked, by what, and where that ends." }, &html! { table {
            thead { tr { th scope="col" { "what" } th scope="col" { "how" } th scope="col" { "how far" } } }
            tbody.words { @for (what, how, far) in CHECKS { tr { th.plain scope="row" { (what) } td { (how) } td { (far) } } } }
        } }))
        @if proofs.is_empty() {
            p {
                "No document of " code { "tools/gupsync prove --json FILE" } " was given: its tables, and how each mistake "
                "breaks, would stand here."
            }
        }
        @for (index, proof) in proofs.iter().enumerate() { (one(proof, first + index)) }
    }
}

fn one(proof: &Document, source: usize) -> Markup {
    let of = |kind| {
        let mut lines: Vec<_> = proof.lines.iter().filter(|line| line.kind == kind).cloned().collect();
        lines.sort_by(|a, b| (&a.name, a.checker.name()).cmp(&(&b.name, b.checker.name())));
        lines
    };
    let [properties, mutants, orderings] = [Kind::Property, Kind::Mutant, Kind::Ordering].map(of);
    let broken: Vec<_> = mutants.iter().filter_map(|line| Some((line, line.mistake.as_ref()?))).collect();
    let broken: Vec<_> = broken.into_iter().filter(|(_, mistake)| !mistake.trace.is_empty()).collect();
    html! {
        p { b { (table::summary(&proof.lines)) } ", in " (format!("{:.0}", proof.seconds)) " s. " (super::rows::from(source)) }
        @if !properties.is_empty() {
            h3 { "Properties" }
            (self::lines(&table::by_property(&properties), true, source))
        }
        @if !broken.is_empty() {
            h3 id=(format!("broken-{source}")) { "How each mistake breaks on x86, in the fewest steps" }
            p {
                "A write goes into the store buffer of its CPU first and reaches memory later: that is a step of its own. With "
                "JavaScript, buttons and the arrow keys go from step to step; without, all steps are listed."
            }
            @for (line, mistake) in broken { (stepper(line, mistake, source)) }
        }
        @for (name, lines) in [("mutants", &mutants), ("weakened orderings", &orderings)] {
            @if !lines.is_empty() {
                details {
                    summary { (lines.len()) " " (name) " and what caught them" }
                    (self::lines(lines, false, source))
                }
            }
        }
    }
}

fn lines(lines: &[Line], are_properties: bool, source: usize) -> Markup {
    boxed(
        &super::rows::from(source),
        &html! { table {
            thead { tr {
                th scope="col" { "name" }
                @if are_properties { th.num scope="col" { "models" } } @else { th scope="col" { "step" } }
                th scope="col" { "checker" }
                th.num scope="col" { "CPUs" }
                th.num scope="col" { "explored" }
                th scope="col" { "verdict" }
                th scope="col" { @if are_properties { "bound" } @else { "by, or why" } }
            } }
            tbody { @for line in lines { tr.bad[!line.is_good()] {
                th scope="row" {
                    @if line.mistake.as_ref().is_some_and(|mistake| !mistake.trace.is_empty()) {
                        a href=(format!("#{}", id(line, source))) { (line.name) }
                    } @else { (line.name) }
                }
                @if are_properties { td.num { (line.models) } } @else { td { (line.step) } }
                td { (line.checker.name()) }
                td.num { @if line.cpus == 0 { "-" } @else { (line.cpus) } }
                td.num { (number(Some(line.explored))) }
                td { (line.verdict.word()) @if let Verdict::Unknown(why) = &line.verdict { ": " (why) } }
                td.wrap { (line.note) }
            } } }
        } },
    )
}

fn id(line: &Line, source: usize) -> String {
    format!("mutant-{source}-{}-{}", line.checker.name(), line.name)
}

/// What is in the store buffer of the CPU of each step, when that is done.
pub fn buffers(steps: &[Step]) -> Vec<Vec<String>> {
    let cpus = steps.iter().map(|step| step.cpu + 1).max().unwrap_or_default();
    let mut buffers: Vec<Vec<String>> = vec![Vec::new(); cpus];
    let after = |step: &Step| {
        let buffer = &mut buffers[step.cpu];
        match &step.buffer {
            Some(Buffer::Takes(write)) => buffer.push(write.clone()),
            Some(Buffer::Drains) if !buffer.is_empty() => drop(buffer.remove(0)),
            _ => {}
        }
        buffer.clone()
    };
    steps.iter().map(after).collect()
}

fn stepper(line: &Line, Mistake { what, stands_for, fault, trace }: &Mistake, source: usize) -> Markup {
    let cpus = trace.iter().map(|step| step.cpu + 1).max().unwrap_or_default();
    let steps = trace.iter().filter(|step| step.number.is_some()).count();
    html! {
        details.stepper id=(id(line, source)) {
            summary { code { (line.name) } ": " (steps) " steps" }
            p { (what) @if !line.step.is_empty() { " It changes: " (line.step) "." } " It stands for: " (stands_for) }
            div.scroll tabindex="0" { table.steps {
                thead { tr { th.num scope="col" { "" } @for cpu in 0..cpus { th scope="col" { "CPU " (cpu) } } } }
                tbody { @for (step, buffer) in trace.iter().zip(buffers(trace)) { tr.remark[step.number.is_none()] {
                    th.num scope="row" { @if let Some(number) = step.number { (number) } }
                    @for cpu in 0..cpus { @if cpu == step.cpu { td.act { (cell(step, &buffer)) } } @else { td {} } }
                } } }
            } }
            @if let Some(fault) = fault { p.bad { "In the end: " (fault) } }
        }
    }
}

fn cell(step: &Step, buffer: &[String]) -> Markup {
    html! {
        (step.what.trim()) " " small { (step.place) }
        @if !buffer.is_empty() { div.buffer { "buffer: " (buffer.join("; ")) } }
    }
}
