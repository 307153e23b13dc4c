//! `linux selftests`: Linux's own selftests of mm on a kernel, again and again, until the time is over.
//!
//! # Guarantee
//!
//! A test has passed if each of its runs has: its process has ended with 0, none of the parts that it names has failed, and the
//! kernel has complained of nothing meanwhile. One that cannot be built, or skips itself, is said to be skipped, with its
//! reason, and is not passed; one that took too long, or that the machine did not survive, has failed.

mod programs;
mod tally;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use gupsync_guest::{PROGRAMS, SELFTESTS, Said, Selftests};

use self::tally::Tally;
use super::kernel::Kernel;
use super::machine;
use crate::args::linux::SelftestsArgs;
use crate::artifacts::Tree;
use crate::boot::console::printable;
use crate::ending::{Ending, Usage, demand};
use crate::qemu::Machine;
use crate::say;

/// Which there are, in the checkout.
const LIST: &str = "tools/linux/selftests";
/// How long the machine may take besides.
const GRACE: Duration = Duration::from_secs(300);

/// A test of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    /// Its program, and the arguments.
    words: Vec<String>,
    /// Its parts that fail for want of what the machine has not.
    lacking: Vec<String>,
}

impl Test {
    fn read(line: &str) -> Self {
        let (lacking, words): (Vec<_>, Vec<_>) =
            line.split_whitespace().map(str::to_owned).partition(|word| word.starts_with('!'));
        Test { words, lacking: lacking.iter().map(|word| word[1..].to_owned()).collect() }
    }

    fn program(&self) -> &str {
        &self.words[0]
    }
}

/// The tests of a list, those of the programs `asked` if any are.
fn chosen(list: &str, asked: &[String]) -> Result<Vec<Test>, Usage> {
    let lines = list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let all: Vec<_> = lines.map(Test::read).collect();
    for name in asked {
        demand(all.iter().any(|test| test.program() == name), || {
            format!("--test {name}: is not in {LIST}; use a program that is")
        })?;
    }
    Ok(all.into_iter().filter(|test| asked.is_empty() || asked.contains(&test.words[0])).collect())
}

/// QEMU's arguments for two NUMA nodes of so much memory together: some tests move pages from one to another.
fn nodes(memory: u64) -> Vec<String> {
    let sizes = [memory / 2, memory - memory / 2];
    let node = |(number, size)| {
        let backend = format!("memory-backend-ram,id=node{number},size={size}M");
        ["-object".to_owned(), backend, "-numa".to_owned(), format!("node,memdev=node{number}")]
    };
    sizes.into_iter().enumerate().flat_map(node).collect()
}

/// Builds them, boots the kernel, runs them, and says what came out.
///
/// # Errors
///
/// If it cannot be begun.
pub fn run(args: &SelftestsArgs) -> Result<Ending> {
    let tree = Tree::own();
    let list = fs::read_to_string(tree.root.join(LIST)).context(LIST)?;
    let all = chosen(&list, &args.test)?;
    let kernel = Kernel::find(args.boot.kernel.as_deref())?;
    let mut names: Vec<_> = all.iter().map(Test::program).collect();
    names.dedup();
    let built = programs::build(&names)?;
    let tally = |test: &Test| {
        let unbuilt = built[test.program()].as_ref().err().cloned();
        Tally::new(test.words.join(" "), test.lacking.clone(), unbuilt)
    };
    let mut tallies: Vec<_> = all.iter().map(tally).collect();
    // Which of all the machine is told of.
    let told: Vec<_> = (0..all.len()).filter(|index| built[all[*index].program()].is_ok()).collect();
    let plan = Selftests {
        seconds: args.minutes * 60,
        limit: args.limit,
        tests: told.iter().map(|index| all[*index].words.clone()).collect(),
    };
    let mut files = vec![(SELFTESTS.to_owned(), serde_json::to_vec(&plan)?)];
    for (name, program) in &built {
        if let Ok(program) = program {
            let content = fs::read(program).with_context(|| program.display().to_string())?;
            files.push((format!("{PROGRAMS}/{name}"), content));
        }
    }
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let medium = machine::medium(&tree, &kernel, &args.boot.append, &files, work.path())?;
    // Time as the guest counts it: a test's own limits are not to depend on what else this machine does.
    let qemu_args = [nodes(args.memory), args.boot.qemu_arg.clone()].concat();
    let usual = machine::machine(args.cpus, Some(args.memory), None, qemu_args);
    let machine = Machine { icount: true, ..usual };
    say::out("KTAP version 1");
    say::out(format_args!("# {kernel}"));
    let mut fault = None;
    let hear = |line: &str| match Said::read(line) {
        Some(Said::Begun(index)) => tallies[told[index]].begin(),
        Some(Said::Ran(index, run)) => {
            let tally = &mut tallies[told[index]];
            if args.verbose {
                run.tap.last.iter().for_each(|line| say::err(printable(line)));
            }
            say::err(tally.add(run, args.limit));
        }
        Some(Said::Failed(_, reason)) => fault = Some(reason),
        _ if args.verbose => say::err(printable(line)),
        _ => {}
    };
    let limit = Duration::from_secs(plan.seconds + args.limit * plan.tests.len() as u64) + GRACE;
    let (heard, end, said) = machine::boot(&machine, &medium, 0, limit, hear)?;
    if !heard.is_over || fault.is_some() {
        let reason = fault.unwrap_or_else(|| heard.reason(end, &said));
        tallies.iter_mut().for_each(|tally| tally.end(&reason));
    }
    say::out(format_args!("1..{}", tallies.len()));
    for (number, tally) in (1..).zip(&tallies) {
        say::out(tally.line(number));
    }
    say::out(tally::totals(&tallies));
    Ok(tally::together(&tallies))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_test_a_line_and_some_can_be_chosen() {
        let list = "# why\n\na -x 1\na !p !q\nb\n";
        let names = |asked: &[&str]| {
            let asked: Vec<_> = asked.iter().map(|name| (*name).to_owned()).collect();
            chosen(list, &asked).map(|all| all.iter().map(|test| test.words.join(" ")).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).expect("all"), ["a -x 1", "a", "b"]);
        assert_eq!(names(&["a"]).expect("some"), ["a -x 1", "a"]);
        assert_eq!(chosen(list, &[]).expect("all")[1].lacking, ["p", "q"]);
        assert_eq!(nodes(1025)[1..4], ["memory-backend-ram,id=node0,size=512M", "-numa", "node,memdev=node0"]);
        assert_eq!(nodes(1025)[5], "memory-backend-ram,id=node1,size=513M");
        let error = names(&["c"]).expect_err("there is none").to_string();
        assert_eq!(error, "--test c: is not in tools/linux/selftests; use a program that is");
    }
}
