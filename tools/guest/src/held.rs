//! The oracle's program: one mutator, on CPU 0, one walker, on CPU 1, and other processes that share a PMD table.
//!
//! # Guarantee
//!
//! Between the mark at which a walk begins and the one at which its operation is over, the mutator does the operation and
//! nothing else. What both need is there before: the walker has walked once already. What cannot be done is told at a mark of
//! its own, and the program ends.

use std::fs::{self, File};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gupsync_guest::oracle::{FILE, KEPT, MEMBERS, MUTATOR, Mark, NEW, SYMBOLS, WALKER};
use gupsync_linux::held::{self, Pipe};
use gupsync_linux::window::Window;
use gupsync_linux::{GIB, HUGE, Mapping, PAGE, shared};
use rustix::fs::{FallocateFlags, fallocate};

use crate::khugepaged::NO_HUGE_PAGES;
use crate::siblings::pin;

/// The first argument of a process that leaves the table first, and has the walker.
pub const LEAVER: &str = "oracle-leaver";
/// The first argument of a process that leaves it second.
pub const SHARER: &str = "oracle-sharer";
/// The file whose first page has the words.
const WORDS_FILE: &str = "/oracle-words";
/// The file whose PMD table is shared.
const SHARED_FILE: &str = "/huge/oracle";
/// How many huge pages are needed.
const PAGES: &str = "8";
const NR_HUGEPAGES: &str = "/proc/sys/vm/nr_hugepages";
/// So many flushes are made before the debugger is asked again.
const AT_ONCE: u64 = 32;
/// How long it takes to look again.
const STEP: Duration = Duration::from_millis(1);

/// What processes tell each other, by the number of a word.
#[derive(Clone, Copy)]
enum Word {
    /// Where the walker is to walk; it sets it to zero when it begins.
    Target,
    /// Whether it looks at what is there.
    Peeks,
    /// What it has seen, or the error as a negative number.
    Seen,
    /// Whether it has come through.
    Walked,
    /// Whether the operation may begin: the walker is held.
    Go,
    /// How far the processes are.
    Stage,
}

/// How far the processes are.
#[derive(Clone, Copy)]
enum Stage {
    Begun,
    Shared,
    FirstHasLeft,
    SecondHasLeft,
    Over,
}

#[derive(Clone, Copy)]
struct Words(&'static [std::sync::atomic::AtomicU64; held::WORDS]);

impl Words {
    fn map() -> Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(WORDS_FILE)?;
        file.set_len(PAGE as u64)?;
        Ok(Words(held::words(&file).context("a shared page")?))
    }

    fn set(self, word: Word, value: u64) {
        self.0[word as usize].store(value, SeqCst);
    }

    fn get(self, word: Word) -> u64 {
        self.0[word as usize].load(SeqCst)
    }

    fn is_set(self, word: Word) -> bool {
        self.get(word) != 0
    }

    fn wait_for(self, stage: Stage) {
        while self.get(Word::Stage) < stage as u64 {
            thread::sleep(STEP);
        }
    }

    fn wait_for_walker(self) {
        while !self.is_set(Word::Walked) {
            thread::sleep(STEP);
        }
    }

    fn address(self, word: Word) -> u64 {
        (&raw const self.0[word as usize]).addr() as u64
    }
}

fn mark(mark: Mark, first: u64, second: u64) -> u64 {
    held::mark(mark as u64, first, second)
}

/// The result of an operation as a mark has it.
fn number(result: std::io::Result<()>) -> u64 {
    result.map_or_else(|error| error.raw_os_error().unwrap_or(-1).unsigned_abs().into(), |()| 0)
}

/// Does the test that the initramfs names, if it names one; says at a mark what has gone wrong.
pub fn serve() {
    if let Ok(test) = fs::read_to_string(FILE) {
        or_fault(run(test.trim()));
    }
}

/// Tells what has gone wrong, if it has.
pub fn or_fault(result: Result<()>) {
    if let Err(error) = result {
        let text = format!("{error:#}");
        mark(Mark::Fault, text.as_ptr().addr() as u64, text.len() as u64);
    }
}

fn run(test: &str) -> Result<()> {
    pin(MUTATOR)?;
    match test {
        SYMBOLS => symbols(),
        "collapse" => collapse(),
        "unshare" | "three" | "leak" => share(test),
        _ => bail!("there is no test {test}"),
    }
}

fn symbols() -> Result<()> {
    let text = fs::read("/proc/kallsyms")
        .context("the kernel has no /proc/kallsyms; build it with CONFIG_KALLSYMS")?;
    mark(Mark::Symbols, text.as_ptr().addr() as u64, text.len() as u64);
    Ok(())
}

/// Has this process flushed as is asked for. At some of its flushes, by the time of day, the kernel looks whether it runs on
/// many CPUs at once.
fn settle() -> Result<()> {
    let is_settled = |flushes| mark(Mark::Settles, flushes, 0) != 0;
    if is_settled(0) {
        return Ok(());
    }
    let mut window = Window::new(HUGE)?;
    let mut page = window.map(PAGE)?;
    let is_over = AtomicBool::new(false);
    let spin = |cpu| {
        or_fault(pin(cpu));
        while !is_over.load(Relaxed) {
            std::hint::spin_loop();
        }
    };
    thread::scope(|scope| {
        (MUTATOR + 1..MEMBERS).for_each(|cpu| drop(scope.spawn(move || spin(cpu))));
        let mut flush = || {
            for flushes in 1.. {
                page.write(0, 1);
                page.protect()?;
                page.unprotect()?;
                if flushes % AT_ONCE == 0 && is_settled(flushes) {
                    break;
                }
                thread::sleep(STEP);
            }
            Ok(())
        };
        let result = flush();
        is_over.store(true, Relaxed);
        result
    })
}

/// The thread that walks, when it is told where. It has walked to `target` once.
fn start_walker(words: Words, target: u64) -> Result<()> {
    let pipe = Pipe::new()?;
    let run = move || {
        or_fault(pin(WALKER));
        loop {
            let target = words.get(Word::Target) as usize;
            if target == 0 {
                std::hint::spin_loop();
                continue;
            }
            words.set(Word::Target, 0);
            if words.is_set(Word::Peeks) {
                let seen = pipe.peek(target).map_or_else(|error| -error.raw_os_error().unwrap_or(1), i32::from);
                words.set(Word::Seen, i64::from(seen).cast_unsigned());
            } else {
                held::walk(target);
            }
            words.set(Word::Walked, 1);
        }
    };
    thread::Builder::new().stack_size(64 << 10).spawn(run)?;
    words.set(Word::Walked, 0);
    words.set(Word::Target, target);
    words.wait_for_walker();
    Ok(())
}

/// Has the walker walk to `target`, and comes back when it is held, or was not to be.
fn begin_walk(words: Words, target: u64) {
    words.set(Word::Go, 0);
    words.set(Word::Walked, 0);
    let will_be_held = mark(Mark::Walk, target, words.address(Word::Go)) != 0;
    words.set(Word::Target, target);
    while !words.is_set(Word::Walked) && !words.is_set(Word::Go) {
        std::hint::spin_loop();
    }
    if will_be_held && !words.is_set(Word::Go) {
        mark(Mark::Escaped, 0, 0);
    }
}

fn collapse() -> Result<()> {
    let words = Words::map()?;
    settle()?;
    let mut window = Window::new(HUGE)?;
    let mut has_walker = false;
    loop {
        let range = window.map(HUGE)?;
        range.fill_with_small_pages().context(NO_HUGE_PAGES)?;
        let target = (range.start() + 5 * PAGE) as u64;
        if !has_walker {
            start_walker(words, target)?;
            has_walker = true;
        }
        begin_walk(words, target);
        let result = range.collapse();
        mark(Mark::Done, number(result), 0);
        words.wait_for_walker();
        range.unmap()?;
        if mark(Mark::Round, 0, 0) == 0 {
            return Ok(());
        }
    }
}

/// The shared page, by its place in the mapping.
const SHARED: usize = HUGE;

/// Maps the file, so that its table is shared.
fn map_shared(file: &File) -> Result<Mapping> {
    let ranges = shared::map_file(file, 1).context("a file of hugetlbfs")?;
    for page in [0, SHARED] {
        let found = ranges.read(page);
        ensure!(found == KEPT, "the file of hugetlbfs holds {found}");
    }
    Ok(ranges)
}

fn open_shared() -> Result<File> {
    File::options().read(true).write(true).open(SHARED_FILE).context(SHARED_FILE)
}

fn start(arguments: &[&str]) -> Result<Child> {
    Command::new("/proc/self/exe").args(arguments).spawn().context("cannot start a process")
}

fn share(test: &str) -> Result<()> {
    let words = Words::map()?;
    let lacks = "the kernel has no hugetlbfs; build it with CONFIG_HUGETLBFS";
    fs::write(NR_HUGEPAGES, PAGES).context(lacks)?;
    let file =
        File::options().read(true).write(true).create(true).truncate(true).open(SHARED_FILE).context(lacks)?;
    file.set_len(GIB as u64).context(lacks)?;
    let has = fs::read_to_string(NR_HUGEPAGES)?;
    ensure!(has.trim() == PAGES, "the kernel has {} huge pages, and not {PAGES}", has.trim());
    let _upper_tables = shared::keep_upper_tables()?;
    let ranges = shared::map_file(&file, 1).context("a file of hugetlbfs")?;
    ranges.write(0, KEPT);
    words.set(Word::Peeks, u64::from(test == "leak"));
    loop {
        ranges.write(SHARED, KEPT);
        mark(Mark::Shares, (ranges.start() + SHARED) as u64, 0);
        words.set(Word::Seen, 0);
        words.set(Word::Stage, Stage::Begun as u64);
        let mut processes = Vec::new();
        if test != "unshare" {
            processes.push(start(&[SHARER])?);
            words.wait_for(Stage::Shared);
        }
        processes.push(start(&[LEAVER, test])?);
        if test == "leak" {
            words.wait_for(Stage::SecondHasLeft);
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&file, hole, SHARED as u64, HUGE as u64).context("a hole in the file of hugetlbfs")?;
            ranges.write(SHARED, NEW);
            mark(Mark::Reused, 0, 0);
            words.set(Word::Stage, Stage::Over as u64);
        }
        for mut process in processes {
            let status = process.wait()?;
            ensure!(status.success(), "a process that shares the table has ended with {status}");
        }
        if mark(Mark::Round, words.get(Word::Seen), 0) == 0 {
            return Ok(());
        }
    }
}

/// The process whose walker is held.
///
/// # Errors
///
/// If it cannot share the table.
pub fn leaver(test: &str) -> Result<()> {
    pin(MUTATOR)?;
    let words = Words::map()?;
    settle()?;
    let _upper_tables = shared::keep_upper_tables()?;
    let ranges = map_shared(&open_shared()?)?;
    let target = (ranges.start() + SHARED) as u64;
    start_walker(words, target)?;
    begin_walk(words, target);
    let result = number(ranges.unmap());
    if test == "unshare" {
        mark(Mark::Done, result, 0);
    } else {
        mark(Mark::Left, result, 0);
        words.set(Word::Stage, Stage::FirstHasLeft as u64);
        words.wait_for(if test == "leak" { Stage::Over } else { Stage::SecondHasLeft });
    }
    words.wait_for_walker();
    Ok(())
}

/// The process that leaves second.
///
/// # Errors
///
/// If it cannot share the table.
pub fn sharer() -> Result<()> {
    pin(MUTATOR)?;
    let words = Words::map()?;
    settle()?;
    let _upper_tables = shared::keep_upper_tables()?;
    let ranges = map_shared(&open_shared()?)?;
    words.set(Word::Stage, Stage::Shared as u64);
    words.wait_for(Stage::FirstHasLeft);
    mark(Mark::Next, (ranges.start() + SHARED) as u64, 0);
    let result = ranges.unmap();
    mark(Mark::Done, number(result), 0);
    words.set(Word::Stage, Stage::SecondHasLeft as u64);
    Ok(())
}
