//! Rows as a table for people.

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};
use gupsync::policy::Broadcast;
use gupsync_bench::counts::{COUNTERS, Counter, Show, When};
use gupsync_bench::spec::{Mark, MmName, PolicyName, SETTINGS, Setting};
use gupsync_bench::{Row, Spec};

use crate::args::Format;
use crate::document::Document;

/// So many columns of a terminal a narrow table takes at most.
const WIDTH: usize = 80;
/// And so many of a mail, where it is to be quoted.
pub const MAIL_WIDTH: usize = 72;
/// So many of them are free after each column of a table.
const BETWEEN: usize = 2;
/// A space at which no line is broken.
const UNBROKEN: &str = "\u{a0}";

/// How tables look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// All columns in lines as long as they are; else what fits.
    pub is_wide: bool,
    /// As Markdown.
    pub is_markdown: bool,
    /// In the lines of a mail.
    pub is_mail: bool,
}

impl Look {
    /// That of a format.
    pub fn of(format: Format, is_wide: bool) -> Self {
        Look { is_wide, is_markdown: format == Format::Markdown, is_mail: format == Format::Mail }
    }

    /// How wide a narrow table is at most.
    pub fn width(self) -> usize {
        if self.is_mail { MAIL_WIDTH } else { WIDTH }
    }
}

/// A number with its thousands apart, or a dash for what was not counted.
pub fn number(value: Option<u64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// What the rows of one table have in common: every setting that shaped them.
pub fn title(rows: &[Row], row: &Row) -> String {
    let invlpgb = if row.invlpgb.is_on() {
        format!("on ({}, global ASID from {} CPUs)", row.backend, row.threshold)
    } else {
        row.invlpgb.to_string()
    };
    let mms = mms(rows).len();
    let mm = if mms > 1 { format!("{} mms", mms - 1) } else { format!("mm on {}", row.mm_cpus) };
    let mut said = format!(
        "{}, {} CPUs, {mm}, mutator {}, invlpgb={invlpgb}, flush={}",
        row.workload, row.cpus, row.mutator, row.flush
    );
    let usual = Spec { workload: row.workload, ..Spec::default() };
    let usual = Row::new(&usual, usual.policy[0], row.mm, row.cpus, row.status);
    for ((key, value), (_, usual)) in row.settings().into_iter().zip(usual.settings()) {
        let is_named = |setting: &&Setting| setting.key == key && setting.is(Mark::Title);
        if let Some(setting) = SETTINGS.iter().find(is_named).filter(|_| value != usual) {
            said += &format!(", {key}{}{value}", setting.join);
        }
    }
    format!("{said}, seed {}", row.seed)
}

/// The mms of a table, in order; that of all together is the last one.
fn mms(rows: &[Row]) -> Vec<MmName> {
    let mut mms = Vec::new();
    for row in rows {
        if !mms.contains(&row.mm) {
            mms.push(row.mm);
        }
    }
    mms.sort_by_key(|mm| *mm == MmName::Total);
    mms
}

/// The rows of each table: one workload, with INVLPGB off or on.
pub fn groups(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|a, b| a.workload == b.workload && a.invlpgb == b.invlpgb)
}

/// A column: its header, when it is shown, whether in the narrow table, and what stands there in the line of a row.
struct Column<'a> {
    header: &'a str,
    when: When,
    is_narrow: bool,
    show: Box<dyn Fn(&Row) -> String + 'a>,
}

impl Column<'_> {
    /// Whether it says of which row a line is, or how that ended.
    fn is_name(&self) -> bool {
        ["policy", "mm", "status"].contains(&self.header)
    }

    /// What stands in a line: what all runs say, or the least, the median and the most. What is no figure, or was not counted
    /// in some run, is named as often as it differs.
    fn cell(&self, runs: &[&Row]) -> String {
        let mut cells: Vec<_> = runs.iter().map(|row| (self.show)(row)).collect();
        let figure = |cell: &String| cell.replace(',', "").parse::<f64>().ok();
        if cells.iter().all(|cell| figure(cell).is_some()) {
            cells.sort_by(|a, b| figure(a).partial_cmp(&figure(b)).expect("figures can be compared"));
            if cells.first() != cells.last() {
                cells = [0, (cells.len() - 1) / 2, cells.len() - 1].map(|at| cells[at].clone()).into();
                return cells.join("/");
            }
        }
        cells.dedup();
        cells.join("/")
    }

    /// What all lines say, if it is the same.
    fn shared(&self, lines: &[Vec<&Row>]) -> Option<String> {
        let first = self.cell(lines.first()?);
        lines.iter().all(|runs| self.cell(runs) == first).then_some(first)
    }

    fn width(&self, lines: &[Vec<&Row>]) -> usize {
        lines.iter().map(|runs| self.cell(runs).len()).fold(self.header.len(), usize::max) + BETWEEN
    }
}

/// The lines of a table, in order: of each, its runs.
fn lines(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut lines: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        match lines.iter_mut().find(|runs| runs[0].asks_the_same(row)) {
            Some(runs) => runs.push(row),
            None => lines.push(vec![row]),
        }
    }
    lines
}

/// All columns. Each counter's is in its place.
fn columns(rows: &[Row]) -> Vec<Column<'_>> {
    let several = mms(rows).len() > 1;
    let mm = move |row: &Row| if several { row.mm.to_string() } else { "-".to_owned() };
    let named = |header, when, show| Column { header, when, is_narrow: true, show };
    let mut columns = vec![
        named("policy", When::Always, Box::new(|row: &Row| row.policy.to_string())),
        named("mm", When::IfAny, Box::new(mm)),
    ];
    let column = |counter: &'static Counter| Some((counter, counter.column()?));
    let mut counters: Vec<_> = COUNTERS.iter().filter_map(column).collect();
    counters.sort_by_key(|(_, (_, place, _))| *place);
    for (counter, (header, _, when)) in counters {
        let is_narrow = counter.shows.contains(&Show::Narrow);
        let show = Box::new(|row: &Row| number((counter.get)(&row.counts)));
        columns.push(Column { header, when, is_narrow, show });
        if counter.key == "sync_ipis" {
            columns.push(named("/broadcast", When::IfAny, Box::new(|row| to_broadcast(rows, row))));
        }
    }
    columns.push(named("status", When::Always, Box::new(|row| row.status.to_string())));
    columns
}

/// Takes out of `columns` what a narrow table has no line for, and returns what of it the title says: figures that are the
/// same in all rows. Figures that differ and do not fit are in the wide table.
fn narrow(columns: &mut Vec<Column<'_>>, lines: &[Vec<&Row>], width: usize) -> String {
    let mut said = String::new();
    columns.retain(|column| {
        // Of a single line, what is not of the narrow table.
        let is_movable = !column.is_name() && (lines.len() > 1 || !column.is_narrow);
        match column.shared(lines).filter(|_| is_movable) {
            Some(value) => {
                if value != "-" {
                    let item = format!("{} {value}", column.header);
                    said += &format!(", {}", item.replace(' ', UNBROKEN));
                }
                false
            }
            None => column.is_narrow,
        }
    });
    while columns.iter().map(|column| column.width(lines)).sum::<usize>() > width + BETWEEN {
        let Some(last) = columns.iter().rposition(|column| !column.is_name()) else { break };
        columns.remove(last);
    }
    said
}

/// The sync IPIs of a row, as a ratio to the sync IPIs of `broadcast` for the same mm in the same run.
fn to_broadcast(rows: &[Row], row: &Row) -> String {
    const BROADCAST: PolicyName = PolicyName::of::<Broadcast>();
    let before = rows.iter().take_while(|other| !std::ptr::eq(*other, row));
    let run = before.filter(|other| other.asks_the_same(row)).count();
    let broadcast = rows.iter().filter(|other| other.policy == BROADCAST && other.mm == row.mm).nth(run);
    match (row.counts.sync_ipis, broadcast.and_then(|broadcast| broadcast.counts.sync_ipis)) {
        (Some(sync), Some(all)) if all != 0 => format!("{:.3}", sync as f64 / all as f64),
        _ => "-".to_owned(),
    }
}

/// What a table shows of the rows of one workload: those of an mm stand together, the rows of all mms last.
pub struct Shown<'a> {
    /// What its rows have in common: settings and, in a narrow table, figures.
    pub title: String,
    /// The headers of its columns, each with whether it says of which row a line is, or how that ended.
    pub headers: Vec<(&'a str, bool)>,
    /// Its lines: the row, and what stands in each column.
    pub lines: Vec<(&'a Row, Vec<String>)>,
}

/// What there is to show of `rows`, if there is a row of all mms.
pub fn shown(rows: &[Row], look: Look) -> Option<Shown<'_>> {
    let first = rows.iter().find(|row| row.mm == MmName::Total)?;
    let says = |cell: String| cell != "-" && cell != "0";
    let runs = lines(rows);
    let mut columns = columns(rows);
    columns.retain(|column| column.when == When::Always || rows.iter().map(&column.show).any(says));
    let mut title = title(rows, first);
    if let Some(runs) = runs.iter().map(Vec::len).max().filter(|runs| *runs > 1) {
        title += &format!(", {runs} runs: least/median/most");
    }
    if !look.is_wide {
        title += &narrow(&mut columns, &runs, look.width());
    }
    let headers = columns.iter().map(|column| (column.header, column.is_name())).collect();
    let of = |mm| runs.iter().filter(move |runs| runs[0].mm == mm);
    let line = |runs: &Vec<_>| (runs[0], columns.iter().map(|column| column.cell(runs)).collect());
    let lines = mms(rows).into_iter().flat_map(of).map(line).collect();
    Some(Shown { title, headers, lines })
}

/// A table of the rows of one workload.
pub fn render(rows: &[Row], look: Look) -> String {
    let Some(Shown { title, headers, lines }) = shown(rows, look) else { return String::new() };
    let title = if look.is_wide { title } else { textwrap::fill(&title, look.width()).replace(UNBROKEN, " ") };
    let mut table = Table::new();
    table.load_preset(if look.is_markdown { presets::ASCII_MARKDOWN } else { presets::NOTHING });
    table.set_header(headers.iter().map(|(header, _)| header));
    for (_, cells) in lines {
        table.add_row(cells);
    }
    for (drawn, (_, is_name)) in table.column_iter_mut().zip(&headers) {
        drawn.set_cell_alignment(if *is_name { CellAlignment::Left } else { CellAlignment::Right });
        if !look.is_markdown {
            drawn.set_padding((0, BETWEEN as u16));
        }
        drawn.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(0)));
    }
    let drawn: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    // A paragraph and a table are kept apart by an empty line there.
    let end = if look.is_markdown { "\n\n" } else { "\n" };
    format!("{title}{end}{}", drawn.join("\n"))
}

/// All of a document: its tables, and what they come from.
pub fn document(document: &Document, look: Look) -> String {
    let mut text: Vec<_> = groups(&document.rows).map(|rows| render(rows, look)).collect();
    let footer = document.footer();
    text.push(if look.is_wide { footer } else { textwrap::fill(&footer, look.width()) });
    text.join("\n\n")
}

#[cfg(test)]
mod tests {
    use gupsync::event::Event;
    use gupsync_bench::counts::{Counts, Isolated, Measured, Tickets};
    use gupsync_bench::spec::Status;

    use super::*;

    fn row(words: &str, mm: MmName, sync_ipis: u64) -> Row {
        let spec: Spec = words.parse().expect("a spec");
        let counts = Counts { sync_ipis: Some(sync_ipis), ..Counts::default() };
        Row { counts, ..Row::new(&spec, spec.policy[0], mm, 16, Status::Ok) }
    }

    #[test]
    fn the_title_names_what_differs() {
        let words = "policy=pending workload=unshare lazy=3 trim=every:8 unshare_flush=series";
        assert_eq!(
            title(&[], &row(words, MmName::Total, 0)),
            "unshare, 16 CPUs, mm on 4, mutator inside, invlpgb=off, flush=ipi, \
             unshare_flush=series, trim every:8, lazy 3, seed 1"
        );
    }

    /// Every event and every computed count has a value of its own: a count in another's place is seen.
    #[test]
    fn each_count_stands_in_its_own_column_and_field() {
        let happened = |event: Event| 1000 + event as u64;
        let on_isolated = |event: Event| 2000 + event as u64;
        let counts = Counts::new(&Measured {
            happened: &happened,
            isolated: Some(Isolated { happened: &on_isolated, longest_gap: 3000 }),
            ops: 4,
            failed: 3002,
            walkable: 3003,
            least_reaching: Some(3004),
            least_switching: Some(3005),
            least_flushing: Some(3006),
            remaps_read: Some(3011),
            coalesced: Some(3012),
            cycles: 4 * 3007,
            before: Tickets { set: 3020, cleared: 10 },
            after: Tickets { set: 3999, cleared: 510 },
            sync_violations: 3008,
            stale_translations: 3009,
        });
        let expected = [
            ("ops", "ops", 4),
            ("ops_failed", "", 3002),
            ("ops_pinned", "pinned", happened(Event::FoundPinned)),
            ("flush_ipis", "flush IPIs", happened(Event::FlushIpi)),
            ("sync_ipis", "sync IPIs", happened(Event::SyncIpi)),
            ("other_ipis", "other", happened(Event::OtherIpi)),
            ("syncs_asked", "", happened(Event::SyncAsked)),
            ("syncs_skipped", "skipped", happened(Event::SyncSkipped)),
            ("syncs_sent", "", happened(Event::SyncSent)),
            ("released_by_policy", "", happened(Event::ReleasedByPolicy)),
            ("pending_before", "", 3010),
            ("pending_after", "", 3489),
            ("set", "set", happened(Event::Set)),
            ("cleared", "cleared", 500),
            ("cleared_by_own_flush", "", happened(Event::ClearedByOwnFlush)),
            ("cleared_by_sync", "", happened(Event::ClearedBySync)),
            ("cleared_by_other_flush", "", happened(Event::ClearedByOtherFlush)),
            ("cleared_by_other_ipi", "", happened(Event::ClearedByOtherIpi)),
            ("freed_by_ticket", "", happened(Event::FreedByTicket)),
            ("freed_by_grace_period", "", happened(Event::FreedByGracePeriod)),
            ("invlpgb_ops", "INVLPGB", happened(Event::Invlpgb)),
            ("tlbsyncs", "", happened(Event::Tlbsync)),
            ("emulation_nmis", "", happened(Event::EmulationNmi)),
            ("hypercalls", "hypercalls", happened(Event::Hypercall)),
            ("kicks", "", happened(Event::Kick)),
            ("interrupts_taken", "", happened(Event::InterruptTaken)),
            ("requests_coalesced", "coalesced", 3012),
            ("flush_acks", "", happened(Event::FlushAcked)),
            ("sync_acks", "", happened(Event::SyncAcked)),
            ("other_acks", "", happened(Event::OtherAcked)),
            ("foreign_interrupts", "foreign", happened(Event::ForeignInterrupt)),
            ("asids_kept", "kept", happened(Event::AsidKept)),
            ("asids_behind", "behind", happened(Event::AsidBehind)),
            ("departures", "", happened(Event::Departed)),
            ("walking_at_sync", "walking", happened(Event::WalkingAtSync)),
            ("at_risk", "at risk", happened(Event::AtRisk)),
            ("held_at_unlink", "held", happened(Event::HeldAtUnlink)),
            ("walks", "walks", happened(Event::WalkEnd)),
            ("walks_pinned", "", happened(Event::WalkPinned)),
            ("walks_huge", "", happened(Event::WalkHuge)),
            ("walks_backed_off", "", happened(Event::WalkBackedOff)),
            ("walks_not_mapped", "", happened(Event::WalkNotMapped)),
            ("nmi_walks", "NMI walks", happened(Event::NmiWalk)),
            ("nmi_refused", "refused", happened(Event::NmiRefused)),
            ("ops_walkable", "", 3003),
            ("least_ops_walked", "", 3004),
            ("least_switcher_walks", "", 3005),
            ("least_flusher_flushes", "", 3006),
            ("remaps_read", "", 3011),
            ("preemptions", "", happened(Event::Preempted)),
            ("moves", "moves", happened(Event::Migrated)),
            ("offlined", "offlined", happened(Event::WentOffline)),
            ("sync_violations", "", 3008),
            ("stale_translations", "", 3009),
            ("cycles_per_op", "", 3007),
            ("isolated_interrupts", "isolated", on_isolated(Event::InterruptTaken)),
            ("isolated_flush_requests", "", on_isolated(Event::FlushAcked)),
            ("isolated_sync_requests", "", on_isolated(Event::SyncAcked)),
            ("isolated_other_requests", "", on_isolated(Event::OtherAcked)),
            ("isolated_nmis", "", on_isolated(Event::NmiTaken)),
            ("isolated_gap", "gap", 3000),
        ];
        let row = Row { counts, ..row("policy=pending", MmName::Total, 0) };
        let json = serde_json::to_value(&row).expect("a row is plain data");
        let cells: Vec<_> =
            columns(&[]).into_iter().map(|column| (column.header, (column.show)(&row))).collect();
        for (key, header, count) in expected {
            assert_eq!(json[key], count, "{key}");
            let cell = cells.iter().find(|(shown, _)| *shown == header).map(|(_, cell)| cell.clone());
            assert_eq!(cell, (!header.is_empty()).then(|| number(Some(count))), "{key}");
        }
        assert!(COUNTERS.iter().map(|counter| counter.key).eq(expected.map(|(key, ..)| key)));
    }

    #[test]
    fn columns_stand_in_their_order() {
        let headers: Vec<_> = columns(&[]).into_iter().map(|column| column.header).collect();
        let expected = "policy,mm,ops,flush IPIs,sync IPIs,/broadcast,other,skipped,set,cleared,foreign,walking,at risk,\
                        INVLPGB,hypercalls,coalesced,isolated,gap,moves,offlined,held,pinned,walks,NMI walks,refused,kept,behind,status";
        assert_eq!(headers.join(","), expected);
    }

    #[test]
    fn the_policies_of_an_mm_stand_together() {
        let mut rows = Vec::new();
        for (policy, sync_ipis) in [("broadcast", [10, 20, 30]), ("pending", [1, 5, 6])] {
            for (mm, sync_ipis) in [MmName::Global, MmName::Ipi, MmName::Total].into_iter().zip(sync_ipis) {
                rows.push(row(&format!("workload=mixed policy={policy}"), mm, sync_ipis));
            }
        }
        let rendered = render(&rows, Look { is_wide: true, ..Look::default() });
        let cells: Vec<Vec<_>> =
            rendered.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert!(rendered.starts_with("mixed, 16 CPUs, 2 mms,"), "{rendered}");
        assert!(cells[0].starts_with(&["policy", "mm", "ops"]) && !rendered.contains("INVLPGB"), "{rendered}");
        assert!(cells[2].starts_with(&["pending", "global"]) && cells[2].contains(&"0.100"), "{rendered}");
        assert!(cells[4].starts_with(&["pending", "ipi"]) && cells[4].contains(&"0.250"), "{rendered}");
        assert!(cells[6].starts_with(&["pending", "total"]) && cells[6].contains(&"0.200"), "{rendered}");
    }

    /// Rows of several policies, each with these sync IPIs and walks, on so many CPUs.
    fn policies(counts: &[(&str, u64, u64)]) -> Vec<Row> {
        let of = |(policy, sync_ipis, walks): &(&str, u64, u64)| {
            let mut row = row(&format!("policy={policy}"), MmName::Total, *sync_ipis);
            (row.counts.ops, row.counts.held_at_unlink) = (Some(1000), Some(250));
            row.counts.walks = Some(*walks);
            row
        };
        counts.iter().map(of).collect()
    }

    #[test]
    fn item_17_what_is_the_same_in_all_rows_is_in_the_title_and_nothing_that_differs() {
        let rows = policies(&[("broadcast", 7000, 5), ("pending", 3000, 5), ("rcu", 7000, 6)]);
        let rendered = render(&rows, Look::default());
        let lines: Vec<_> = rendered.lines().collect();
        let title = lines[..lines.len() - 4].join(" ");
        assert!(title.contains(", ops 1,000, held 250") && !title.contains("sync IPIs"), "{rendered}");
        assert!(!title.contains("walks") && !lines[lines.len() - 4].contains("ops"), "{rendered}");
        let cells: Vec<_> = lines[lines.len() - 2].split_whitespace().collect();
        assert_eq!(cells, ["pending", "3,000", "0.429", "ok"], "{rendered}");
    }

    #[test]
    fn the_runs_of_a_row_are_one_line_with_the_least_the_median_and_the_most() {
        let run = |walks| policies(&[("broadcast", 7000, walks), ("pending", 1000 + walks, walks)]);
        let rows = [run(30), run(10), run(20)].concat();
        let rendered = render(&rows, Look { is_wide: true, ..Look::default() });
        assert!(
            rendered.contains(", 3 runs: least/median/most") && rendered.lines().count() == 4,
            "{rendered}"
        );
        let last: Vec<_> = rendered.lines().last().expect("a line").split_whitespace().collect();
        let expected = ["1,010/1,020/1,030", "0.144/0.146/0.147", "10/20/30"];
        assert!(expected.iter().all(|cell| last.contains(cell)), "{rendered}");
        // The ratio of each run is to its own broadcast, and what is the same in all runs is one figure.
        let mut rows = [
            policies(&[("broadcast", 100, 1), ("mask", 50, 1)]),
            policies(&[("broadcast", 200, 1), ("mask", 100, 1)]),
        ]
        .concat();
        rows[3].status = Status::Timeout;
        rows[3].counts.walks = None;
        let rendered = render(&rows, Look { is_wide: true, ..Look::default() });
        let last: Vec<_> = rendered.lines().last().expect("a line").split_whitespace().collect();
        for cell in ["50/50/100", "0.500", "1/-", "ok/timeout"] {
            assert!(last.contains(&cell), "{cell}: {rendered}");
        }
    }

    #[test]
    fn item_17_a_single_row_keeps_its_figures() {
        let rendered = render(&policies(&[("pending", 3000, 5)]), Look::default());
        let last: Vec<_> = rendered.lines().last().expect("a line").split_whitespace().collect();
        assert!(last.starts_with(&["pending"]) && last.contains(&"3,000"), "{rendered}");
        assert!(rendered.contains("ops 1,000"), "{rendered}");
    }

    #[test]
    fn item_17_no_line_is_longer_than_80_or_72_in_a_mail_whatever_is_counted() {
        let mut rows = policies(&[("broadcast", u64::MAX, 5), ("pending+targeted", 1 << 60, 5)]);
        for (row, factor) in rows.iter_mut().zip([1, 2]) {
            let most = Some(u64::MAX / factor);
            (row.counts.flush_ipis, row.counts.syncs_skipped, row.counts.set) = (most, most, most);
            row.status = Status::Violation;
        }
        for (is_mail, width) in [(false, 80), (true, 72)] {
            let narrow = render(&rows, Look { is_mail, ..Look::default() });
            assert!(narrow.lines().all(|line| line.len() <= width), "{narrow}");
        }
        let narrow = render(&rows, Look::default());
        assert!(narrow.contains("flush IPIs") && narrow.contains("violation"), "{narrow}");
        let wide = render(&rows, Look { is_wide: true, ..Look::default() });
        assert!(wide.lines().any(|line| line.len() > 80) && wide.contains("skipped"), "{wide}");
    }

    #[test]
    fn item_17_markdown_has_a_bar_between_all_cells() {
        let rows = policies(&[("broadcast", 7000, 5), ("pending", 3000, 5)]);
        let rendered = render(&rows, Look { is_markdown: true, ..Look::default() });
        let lines: Vec<_> = rendered.lines().skip_while(|line| !line.starts_with('|')).collect();
        assert_eq!(lines.len(), 4, "{rendered}");
        assert!(lines[1].starts_with("|--") && lines[3].contains("| pending "), "{rendered}");
        assert!(lines.iter().all(|line| line.matches('|').count() == lines[0].matches('|').count()));
    }
}
