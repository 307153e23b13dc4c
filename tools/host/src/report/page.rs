//! The page: its parts in their order, its words and its looks.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::rows::{self, Group};
use super::source::{Source, Sources};
use super::{isolated, linux, proof, scale, timeline, wins};

const STYLE: &str = include_str!("page.css");
const STEPS: &str = include_str!("step.js");

/// What a reader asks who has been told nothing, and the part of the page that answers.
const QUESTIONS: &[(&str, &str)] = &[
    ("What is the question?", "question"),
    ("What was found?", "found"),
    ("How much is won by the mask alone, by a flag, by tracking?", "wins"),
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
                header { h1 { "gupsync" } p { "Per-mm tracking of pending GUP-fast synchronisation: what was asked, what was found, how to check it" } }
                nav aria-label="questions" { (index()) }
                main {
                    (part("question", "The question", question()))
                    (part("found", "What was found", found()))
                    (part("wins", "Who wins what", wins_part(&groups)))
                    (part("tables", "All policies on the same work", tables(&groups)))
                    (part("scale", "Growth with the machine", growth(&groups)))
                    (part("linux", "A real Linux beside broadcast", linux::table(&groups)))
                    (part("isolated", "An isolated CPU", isolated::tables((&sources.outside, given), (&sources.member, given + 1))))
                    (part("timeline", "One operation, CPU by CPU", timeline::timelines()))
                    (part("proof", "Is it right?", proof::all(&sources.proofs, given + 2)))
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

fn question() -> Markup {
    html! {
        p { "A GUP-fast walker reads page tables without a lock, with interrupts off. After a page table is unlinked, and before it "
            "is reused, every walker that could have seen it must be gone. Linux makes sure of that by a " em { "sync" }
            " interrupt to every other CPU (" code { "tlb_remove_table_sync_one()" } "), after each khugepaged collapse of "
            "anonymous memory and each full hugetlb unshare; even when the TLB flush has just interrupted every CPU that could "
            "have been walking." }
        p { b { "What does per-mm tracking of pending GUP-fast synchronisation look like, is it right, and what does it save?" } }
        p { "The rule: each mm has a " code { "pending_gup_sync" } ". Unlinking page tables sets it; a real interrupt that reaches "
            "all CPUs of the mm clears it, from any sender, for any reason. A sync is skipped when nothing is pending; otherwise "
            "only the CPUs of that mm are interrupted. INVLPGB, hypercalls and NMIs clear nothing, so any mix of flush methods is "
            "exact." }
    }
}

fn found() -> Markup {
    html! {
        ul {
            li { b { "Where a flush is an interrupt" } ", it has reached the CPUs of the mm, and no sync is due: " code { "pending" }
                ", a flag in the gather and a boot-time property all skip it. Only " code { "mask" } ", which remembers nothing, "
                "still sends one, to the CPUs of the mm. A flag does as well as per-mm state here." }
            li { b { "Where INVLPGB flushes" } ", no CPU is interrupted, so no sync is covered beforehand, and " code { "pending" }
                " skips none. What it saves there it saves by asking the CPUs of the mm in place of all of the machine. That is the "
                "work of the mask, not of the tracking." }
            li { code { "targeted" } " interrupts only CPUs that are inside a walk. Its price is a full fence in every walk." }
            li { b { "Most of what is saved is saved by the mask" } ", the rest by any flag. What per-mm state adds to a flag is "
                "that no call site has to carry it, and that the interrupts of other senders count too." }
            li { b { "An isolated CPU" } " that runs a thread of the mm and never walks is interrupted by each sync of " code { "pending" }
                " as by one of " code { "broadcast" } ", where INVLPGB flushes. Only " code { "targeted" } ", "
                code { "pending+targeted" } " and " code { "rcu" } " spare it." }
            li { b { "Guests" } " of Xen and Hyper-V flush by a hypercall, which interrupts no vCPU and proves as little as INVLPGB." }
        }
        p.note { "Counts are exact where they are called so: the same seed gives the same count on any machine. Interrupted CPU time is "
            "modelled, and no latency is claimed anywhere on this page." }
    }
}

fn wins_part(groups: &[Group<'_>]) -> Markup {
    html! {
        p { "The sync IPIs of mainline, taken apart: the " em { "mask" } " limits a sync to the CPUs of the mm and keeps no state; the "
            em { "flag" } " of a gather skips it after a flush that has interrupted them; " em { "tracking" } " (" code { "pending" }
            ") is what per-mm state adds." }
        (wins::table(groups))
    }
}

fn tables(groups: &[Group<'_>]) -> Markup {
    html! {
        p { "Two detectors were on in every row, for walkers in reused tables and for stale translations; " em { "status" }
            " says what they saw. " em { "held" } " counts unlinks at which a walker was held inside its walk: a row must earn its zeros." }
        @for group in groups.iter().filter(|group| !group.is_scale()) {
            @for rows in group.tables() { (rows::table(rows, group.source)) }
        }
    }
}

fn growth(groups: &[Group<'_>]) -> Markup {
    let scales: Vec<_> = groups.iter().filter(|group| group.is_scale()).collect();
    html! {
        @if scales.is_empty() { p { "No document of " code { "tools/gupsync scale" } " was given." } }
        @else { p { "The same code on simulated machines. Both scales are logarithmic, zero has a line of its own below; dotted: machines "
            "that exist, of 768, 1,024 and 1,792 CPUs. Policies that send the same in all sizes share a curve." } }
        @for group in scales { (scale::charts(group)) }
    }
}

fn reproduce(sources: &Sources) -> Markup {
    html! {
        p { "Debian or Ubuntu with Rust by rustup; " code { "tools/gupsync" } " installs the rest as root, or prints the line that does. Add "
            code { "--json FILE" } " to a command, and give the files to " code { "tools/gupsync report" } "." }
        @for (index, Source { name, document }) in sources.all().enumerate() {
            (made(index, name, &document.command, (&document.revision, document.dirty), &html! { (document.date) @if let Some(qemu) = &document.qemu { ", QEMU " (qemu) ", " (document.accel) }
                    @else { ", simulated" }
                    @if let Some(loader) = &document.loader { ", booted by " (loader) }
                    @if let Some(linux) = &document.linux { ", " (linux) }
                ", " (document.rows.len()) " rows" }))
        }
        @for (index, proof) in sources.proofs.iter().enumerate() {
            (made(sources.all().count() + index, "what was proved", &proof.command, (&proof.revision, proof.dirty), &html! {
                (proof.date) ", " (proof.lines.len()) " explorations and mutants" }))
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
