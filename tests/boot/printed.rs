//! The tables that the pages print are those that their commands print.
//!
//! # Guarantee
//!
//! A table of a page is one of its command's tables: the same title, columns and rows in the same order, and the same
//! figures, but for those whose class is timing. One without a title is a cut: rows and columns may be left out. In a
//! comparison that races, figures are compared where no race can move them.

use anyhow::{Context, Result, ensure};
use gupsync_bench::counts::{COUNTERS, Class};
use gupsync_host::artifacts::Tree;
use libtest_mimic::Trial;

use crate::cli::{gupsync, said};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    ["README.md", "tools/README.md"]
        .map(|page| {
            trial(&format!("printed::item_9_the_tables_of_{page}_are_those_of_a_run"), || of_page(page))
        })
        .into()
}

/// What its commands begin with.
const COMMAND: &str = "tools/gupsync compare";

/// A table of text.
#[derive(Clone, Debug, Default)]
struct Printed {
    title: Vec<String>,
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Printed {
    /// The tables of a text: what stands in each paragraph from its title, or its headers, on.
    fn all(text: &str) -> Vec<Self> {
        text.split("\n\n").filter_map(Printed::read).collect()
    }

    fn read(paragraph: &str) -> Option<Self> {
        let lines: Vec<_> = paragraph.lines().collect();
        let at = lines.iter().position(|line| line.starts_with("policy "))?;
        let cells = |line: &&str| -> Vec<_> {
            let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect()
        };
        let title = lines[..at].join(" ");
        Some(Printed {
            title: title.split(", ").filter(|item| !item.is_empty()).map(str::to_owned).collect(),
            headers: cells(&lines[at]),
            rows: lines[at + 1..].iter().map(cells).collect(),
        })
    }

    fn is_cut(&self) -> bool {
        self.title.is_empty()
    }

    fn cell(&self, row: usize, header: &str) -> Option<&str> {
        let column = self.headers.iter().position(|own| own == header)?;
        self.rows[row].get(column).map(String::as_str)
    }

    /// What a row is called.
    fn name(&self, row: usize) -> Vec<&str> {
        ["policy", "mm"].into_iter().filter_map(|header| self.cell(row, header)).collect()
    }

    /// Its headers of columns that are compared.
    fn exact(&self) -> Vec<&str> {
        self.headers.iter().map(String::as_str).filter(|header| !is_timing(header)).collect()
    }

    /// The items of its title that are compared.
    fn said(&self) -> Vec<&str> {
        self.title.iter().map(String::as_str).filter(|item| !is_timing(item)).collect()
    }

    /// What of it is not in `run`, in words.
    fn fault(&self, run: &Self, races: bool) -> Option<String> {
        let is_in = |own: &[&str], run: &[&str]| {
            let mut run = run.iter();
            if self.is_cut() { own.iter().all(|own| run.any(|other| other == own)) } else { run.eq(own) }
        };
        if !self.is_cut() && self.said() != run.said() {
            return Some(format!("the title is {:?}, and the run's {:?}", self.said(), run.said()));
        }
        if !is_in(&self.exact(), &run.exact()) {
            return Some(format!("the columns are {:?}, and the run's {:?}", self.exact(), run.exact()));
        }
        let mut at = 0;
        for row in 0..self.rows.len() {
            let name = self.name(row);
            let Some(other) = (at..run.rows.len()).find(|other| run.name(*other) == name) else {
                return Some(format!("{name:?} is not in the run, or not there"));
            };
            at = other + 1;
            if self.rows[row].len() != self.headers.len() {
                return Some(format!("{name:?} has {} cells", self.rows[row].len()));
            }
            for header in self.exact().into_iter().filter(|header| is_compared(name[0], header, races)) {
                let [own, run] =
                    [self.cell(row, header), run.cell(other, header)].map(|cell| cell.unwrap_or("nothing"));
                if own != run {
                    return Some(format!("{name:?}: {header} is {own}, and the run's {run}"));
                }
            }
        }
        let is_whole = self.is_cut() || self.rows.len() == run.rows.len();
        (!is_whole).then(|| format!("{} rows, and the run has {}", self.rows.len(), run.rows.len()))
    }
}

/// Whether a column, or an item of a title, has a figure of which only the presence can be relied on.
fn is_timing(text: &str) -> bool {
    let timing = COUNTERS.iter().filter(|counter| counter.class == Class::Timing);
    timing.filter_map(|counter| Some(counter.column()?.0)).any(|header| {
        let rest = text.strip_prefix(header);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    })
}

/// Whether a figure is the same in every run. A tracker's syncs depend on who walks; where CPUs race, only what mutators
/// do, and whom a policy interrupts that looks at no CPU, does not change.
fn is_compared(policy: &str, header: &str, races: bool) -> bool {
    let is_of_syncs = ["sync IPIs", "/broadcast", "skipped"].contains(&header);
    let is_kept = ["ops", "set"].contains(&header) || policy == "broadcast" && is_of_syncs;
    if races { is_kept } else { !(is_of_syncs && policy.ends_with("targeted")) }
}

/// The tables of a page, each with the command that is named before it.
fn tables(page: &str) -> Vec<(String, Printed)> {
    let (mut tables, mut command) = (Vec::new(), None);
    for paragraph in page.split("\n\n") {
        let lines: Vec<_> = paragraph.lines().map(|line| line.strip_prefix("    ")).collect();
        if let Some(code) = lines.into_iter().collect::<Option<Vec<_>>>() {
            let code = code.join("\n");
            tables.extend(Printed::read(&code).and_then(|table| Some((command.clone()?, table))));
            command = code.lines().rfind(|line| line.starts_with(COMMAND)).map(str::to_owned).or(command);
        } else {
            let quoted = paragraph.split('`').skip(1).step_by(2);
            command = quoted.filter(|word| word.starts_with(COMMAND)).last().map(str::to_owned).or(command);
        }
    }
    tables
}

fn of_page(page: &str) -> Result<()> {
    let tables = tables(&std::fs::read_to_string(Tree::own().root.join(page))?);
    ensure!(!tables.is_empty(), "{page} has no tables");
    let mut rest = tables.as_slice();
    while let Some((command, _)) = rest.first() {
        let (own, others) = rest.split_at(rest.iter().take_while(|(other, _)| other == command).count());
        let words = command.split_whitespace().skip(1).chain(["--limine", "builtin"]);
        let output = gupsync().args(words).output()?;
        ensure!(output.status.success(), "{command}: {}", said(&output));
        let printed = String::from_utf8(output.stdout)?;
        let races = command.contains("--workload mixed");
        let mut runs = Printed::all(&printed).into_iter();
        for (_, table) in own {
            let run = runs.next().with_context(|| format!("{command} prints fewer tables: {printed}"))?;
            let fault = table.fault(&run, races);
            ensure!(fault.is_none(), "{page}: {command}: {}\n{printed}", fault.unwrap_or_default());
            edits_are_seen(table, &run, races)?;
        }
        ensure!(runs.next().is_none(), "{command} prints more tables: {printed}");
        rest = others;
    }
    Ok(())
}

/// Each figure and each name that is compared is another one once, and a cell is gone once.
fn edits_are_seen(table: &Printed, run: &Printed, races: bool) -> Result<()> {
    let mut seen = 0;
    let mut edited = |edit: &dyn Fn(&mut Printed)| {
        let mut edited = table.clone();
        edit(&mut edited);
        seen += usize::from(edited.fault(run, races).is_some());
    };
    for item in 0..table.title.len() {
        edited(&|table| table.title[item].push('1'));
    }
    edited(&|table| drop(table.rows[0].pop()));
    for row in 0..table.rows.len() {
        for column in 0..table.headers.len() {
            edited(&|table| table.rows[row][column].push('1'));
        }
    }
    let compared: usize = (0..table.rows.len())
        .map(|row| {
            let policy = table.name(row)[0];
            let is_name = |header: &&&str| ["policy", "mm"].contains(*header);
            let is_seen = |header: &&&str| is_name(header) || is_compared(policy, header, races);
            table.exact().iter().filter(is_seen).count()
        })
        .sum();
    let expected = table.said().len() + 1 + compared;
    ensure!(seen == expected, "{seen} edits of {expected} are seen");
    Ok(())
}
