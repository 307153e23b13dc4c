//! The page: its parts in their order, and its looks.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::rows::{self, Group};
use super::source::{Source, Sources};
use super::{isolated, linux, proof, scale, timeline, tried, wins, words};

const STYLE: &str = include_str!("page.css");
const STEPS: &str = include_str!("step.js");

/// What a reader asks who has been told nothing, and the part of the page that answers.
const QUESTIONS: &[(&str, &str)] = &[
    ("What is the question?", "question"),
    ("What was found?", "found"),
    ("How much is won by the mask alone, by a flag, by tracking?", "wins"),
    ("What if the machine, the mm or the flush were another?", "try"),
    ("What do all proposals cost on the same work?", "tables"),
    ("Is broadcast what Linux does?", "linux"),
    ("How does it grow with the machine?", "scale"),
    ("What hits an isolated CPU?", "isolated"),
    ("What happens, step by step, in one operation?", "timeline"),
    ("Is it right, and who has checked that?", "proof"),
    ("Which mistakes would have been found, and how does each break?", "proof"),
    ("How do I get these figures myself, and from which revision are they?", "reproduce"),
];

/// All of it.
pub fn render(sources: &Sources) -> String {
    let groups: Vec<Group<'_>> = sources
        .shown
        .iter()
        .enumerate()
        .flat_map(|(source, from)| crate::table::groups(from.rows()).map(move |rows| Group { rows, source }))
        .collect();
    let given = sources.shown.len();
    let isolated = isolated::tables((&sources.outside, given), (&sources.member, given + 1));
    let module = sources.module.as_ref().map(String::as_str).map_err(String::as_str);
    let tried = tried::part((&sources.tried, given + 2), module);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "gupsync: per-mm tracking of pending GUP-fast synchronisation" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "gupsync" }
                    p { "Per-mm tracking of pending GUP-fast synchronisation: what was asked, what was found, how to check it" }
                }
                nav aria-label="questions" { (index()) }
                main {
                    (part("question", "The question", words::question()))
                    (part("found", "What was found", words::found()))
                    (part("wins", "Who wins what", wins_part(&groups)))
                    (part("try", "Count it yourself", tried))
                    (part("tables", "All policies on the same work", tables(&groups)))
                    (part("scale", "Growth with the machine", growth(&groups)))
                    (part("linux", "A real Linux beside broadcast", linux::table(&groups)))
                    (part("isolated", "An isolated CPU", isolated))
                    (part("timeline", "One operation, CPU by CPU", timeline::timelines()))
                    (part("proof", "Is it right?", proof::all(&sources.proofs, given + 3)))
                    (part("reproduce", "How to get these figures", reproduce(sources)))
                }
                @if !sources.proofs.is_empty() { script { (PreEscaped(STEPS)) } }
            }
        }
    };
    page.into_string()
}

fn part(id: &str, title: &str, body: Markup) -> Markup {
    html! { section id=(id) { h2 { (title) } (body) } }
}

fn index() -> Markup {
    html! { ol.questions { @for (question, part) in QUESTIONS { li { a href=(format!("#{part}")) { (question) } } } } }
}

fn wins_part(groups: &[Group<'_>]) -> Markup {
    html! {
        p {
            "The sync IPIs of mainline, taken apart: the " em { "mask" } " limits a sync to the CPUs of the mm and keeps no "
            "state; the " em { "flag" } " of a gather skips it after a flush that has interrupted them; " em { "tracking" }
            " (" code { "pending" } ") is what per-mm state adds."
        }
        (wins::table(groups))
    }
}

fn tables(groups: &[Group<'_>]) -> Markup {
    html! {
        p { "Two detectors were on in every row, for walkers in reused tables and for stale translations; " em { "status" }
            " says what they saw. " em { "held" } " counts unlinks at which a walker was held inside its walk: a row must "
            "earn its zeros." }
        @for group in groups.iter().filter(|group| !group.is_scale()) {
            @for rows in group.tables() { (rows::table(rows, group.source)) }
        }
    }
}

fn growth(groups: &[Group<'_>]) -> Markup {
    let scales: Vec<_> = groups.iter().filter(|group| group.is_scale()).collect();
    html! {
        @if scales.is_empty() { p { "No document of " code { "tools/gupsync scale" } " was given." } }
        @else { p {
            "The same code on simulated machines. Both scales are logarithmic, zero has a line of its own below; dotted: "
            "machines that exist, of 768, 1,024 and 1,792 CPUs. Policies that send the same in all sizes share a curve."
        } }
        @for group in scales { (scale::charts(group)) }
    }
}

fn reproduce(sources: &Sources) -> Markup {
    html! {
        p {
            "Debian or Ubuntu with Rust by rustup; " code { "tools/gupsync" } " installs the rest as root, or prints the line "
            "that does. Add " code { "--json FILE" } " to a command, and give the files to " code { "tools/gupsync report" } "."
        }
        @for (index, Source { name, document }) in sources.all().enumerate() {
            (made(index, name, &document.command, (&document.revision, document.dirty), &html! {
                (document.date)
                @if let Some(qemu) = &document.qemu { ", QEMU " (qemu) ", " (document.accel) }
                @else { ", simulated" }
                @if let Some(loader) = &document.loader { ", booted by " (loader) }
                @if let Some(linux) = &document.linux { ", " (linux) }
                ", " (document.rows.len()) " rows"
            }))
        }
        @for (index, proof) in sources.proofs.iter().enumerate() {
            (made(sources.all().count() + index, "what was proved", &proof.command, (&proof.revision, proof.dirty), &html! {
                (proof.date) ", " (proof.lines.len()) " explorations and mutants"
            }))
        }
    }
}

/// How one document was made.
fn made(index: usize, name: &str, command: &str, (revision, dirty): (&str, bool), rest: &Markup) -> Markup {
    html! {
        dl.source id=(format!("source-{index}")) {
            dt { (name) }
            dd { pre.scroll { code { (command) } } }
            dd { "revision " code { (revision) } @if dirty { ", with changes that are not committed" } }
            dd { (rest) }
        }
    }
}
