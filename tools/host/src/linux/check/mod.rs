//! `linux check`: whether operations of a Linux kernel that unlink page tables wait for the walkers inside them.
//!
//! # Guarantee
//!
//! The kernel is the file that was named: no patch, no module, no probe. What each line of the output says was seen in so many
//! rounds, each judged as [`round`] says. A pass is earned where `--self-test` shows that the same oracle, on the same kernel
//! with its sync made a no-op, sees it missing.
//!
//! # Mechanism
//!
//! Two vCPUs in QEMU, or more. A read watchpoint on a page-table entry stops one of them inside GUP-fast, where it stays,
//! while another does the operation (`session`); [`calls`] knows which flush or sync that is in. `flushes` is of which kind it
//! is: `pv` plays KVM, `invlpgb` the instruction. [`symbols`] come from a boot of their own, done once for each kernel.

pub mod calls;
mod flushes;
mod follow;
mod invlpgb;
mod marks;
mod pv;
pub mod round;
mod session;
pub mod symbols;
mod tally;
mod view;
mod vm;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use gupsync_guest::oracle::{FILE, MARK, Mark, SYMBOLS};
use object::{Object, ObjectSymbol};

use self::flushes::{Flushes, Needs, USUAL};
use self::round::{Level, Test, Verdict};
use self::session::Session;
use self::symbols::Symbols;
use self::tally::{Expected, Tally};
use self::view::View;
use self::vm::{Boot, Vm};
use super::gdb::{Gdb, LOOK, Point};
use super::kernel::Kernel;
use crate::args::linux::check::{CheckArgs, Flush};
use crate::artifacts::Tree;
use crate::ending::Ending;
use crate::{ktap, say, stop};

/// A kernel, and how it is booted.
struct Lab<'a> {
    args: &'a CheckArgs,
    kernel: Kernel,
    /// Where the program for Linux comes to marks.
    mark: u64,
}

/// Looks at a kernel.
///
/// # Errors
///
/// If it cannot be begun: no kernel, no QEMU, no symbols.
pub fn run(args: &CheckArgs) -> Result<Ending> {
    let kernel = Kernel::find(args.boot.kernel.as_deref())?;
    let guest = Tree::own().guest()?;
    let program = fs::read(&guest).with_context(|| guest.display().to_string())?;
    let lab = Lab { args, kernel, mark: address_of(MARK, &program)? };
    let symbols = lab.symbols()?;
    let plan: Vec<_> =
        args.flush.0.iter().flat_map(|flush| args.test.0.iter().map(|test| (*test, *flush))).collect();
    say::out(ktap::VERSION);
    say::out(format_args!("# {}", lab.kernel));
    say::out(ktap::plan(plan.len() * (1 + usize::from(args.self_test))));
    let mut all = Vec::new();
    for (test, flush) in plan {
        let mut tallies = lab.tallies(test, flush);
        if let Err(error) = lab.test(&symbols, test, flush, &mut tallies) {
            tallies.iter_mut().for_each(|tally| tally.end(&format!("{error:#}")));
        }
        for tally in tallies {
            all.push(tally);
            say::out(all[all.len() - 1].line(all.len()));
        }
        if stop::is_asked() {
            break;
        }
    }
    if let Some(fault) = tally::fault(&all) {
        say::err(format_args!("error: {fault}"));
    }
    Ok(tally::together(&all))
}

/// The address of a function of a program.
fn address_of(name: &str, program: &[u8]) -> Result<u64> {
    let program = object::File::parse(program).context("the program for Linux is no ELF file")?;
    let found = program.symbols().find(|symbol| symbol.name() == Ok(name));
    Ok(found.with_context(|| format!("the program for Linux has no symbol {name}"))?.address())
}

impl Lab<'_> {
    fn tallies(&self, test: Test, flush: Flush) -> Vec<Tally> {
        let rounds = usize::try_from(self.args.rounds).unwrap_or(usize::MAX);
        let name = format!("{}.{}", test.name(), flush.name());
        let mut tallies = vec![Tally::new(name.clone(), Expected::Waits, rounds)];
        if self.args.self_test {
            let expected = match flush {
                Flush::Ipi => Expected::WaitsInFlush,
                Flush::Pv | Flush::Invlpgb => Expected::Missing,
            };
            tallies.push(Tally::new(format!("{name}.self-test"), expected, rounds));
        }
        tallies
    }

    /// Boots the kernel, with a program that does `test`.
    fn boot(&self, test: &str, needs: Needs) -> Result<(Vm, Gdb)> {
        let append = format!("{} {}", needs.append, self.args.boot.append);
        let boot = Boot {
            kernel: &self.kernel,
            files: &[(FILE, test.as_bytes())],
            cpus: needs.cpus,
            cpu: needs.cpu,
            append: &append,
            qemu_args: &self.args.boot.qemu_arg,
            timeout: self.args.timeout(),
            is_verbose: self.args.verbose,
        };
        boot.start()
    }

    /// The kernel's symbols, kept from an earlier time or told by a boot.
    fn symbols(&self) -> Result<Symbols> {
        let mut hasher = DefaultHasher::new();
        fs::read(&self.kernel.file).with_context(|| self.kernel.to_string())?.hash(&mut hasher);
        let folder = Tree::own().target_of("linux");
        let kept = folder.join(format!("{:016x}.symbols", hasher.finish()));
        if let Ok(symbols) =
            fs::read_to_string(&kept).map_err(Into::into).and_then(|text| Symbols::parse(&text))
        {
            return Ok(symbols);
        }
        let (mut vm, mut gdb) = self.boot(SYMBOLS, USUAL)?;
        let text = self.wait_for_symbols(&mut vm, &mut gdb).map_err(|error| vm.explain(error))?;
        let symbols = Symbols::parse(&text)?;
        let error = || format!("{}: symbols cannot be kept there", folder.display());
        fs::create_dir_all(&folder).with_context(error)?;
        let mut file = tempfile::NamedTempFile::new_in(&folder).with_context(error)?;
        file.write_all(text.as_bytes()).with_context(error)?;
        file.persist(&kept).with_context(error)?;
        Ok(symbols)
    }

    fn wait_for_symbols(&self, vm: &mut Vm, gdb: &mut Gdb) -> Result<String> {
        gdb.insert(Point::Execute(self.mark))?;
        let all: Vec<_> = (0..gdb.vcpus()).collect();
        let cpu = loop {
            gdb.resume(&all)?;
            let stop = loop {
                vm.listen()?;
                if let Some(stop) = gdb.wait(Instant::now() + LOOK)? {
                    break stop;
                }
            };
            if gdb.is_in_user_space(stop.cpu)? {
                break stop.cpu;
            }
            gdb.step_past(stop.cpu, self.mark)?;
        };
        let (mark, text) = marks::text(gdb, cpu)?;
        match mark {
            Mark::Symbols => Ok(text),
            _ => bail!(text),
        }
    }

    /// One boot for `test`.
    fn test(&self, symbols: &Symbols, test: Test, flush: Flush, tallies: &mut [Tally]) -> Result<()> {
        let flushes = Flushes::new(flush, symbols)?;
        let (mut vm, gdb) = self.boot(test.name(), flushes::needs(flush))?;
        let mut is_said = false;
        let session = Session::new(View::new(gdb, symbols), flushes, self.mark, test);
        let done = session.and_then(|mut session| {
            session.run(&mut vm, tallies, |tally, level, verdict| {
                let is_news = matches!(verdict, Verdict::Missing(_)) && !tally.is_self_test() && !is_said;
                if is_news {
                    is_said = true;
                    describe(tally, level, verdict).iter().for_each(|line| say::out(format_args!("# {line}")));
                } else if self.args.verbose {
                    describe(tally, level, verdict).iter().for_each(say::err);
                }
            })
        });
        done.map_err(|error| vm.explain(error))
    }
}

/// A round in words.
fn describe(tally: &Tally, level: Level, verdict: &Verdict) -> Vec<String> {
    let head = format!("{} round {}, held at the {level} entry:", tally.name(), tally.next() + 1);
    match verdict {
        Verdict::Waits(wait) => vec![format!("{head} waits in {wait}")],
        Verdict::Inconclusive(reason) => vec![format!("{head} inconclusive: {reason}")],
        Verdict::Missing(missing) => {
            let mut lines = vec![
                format!("{head} MISSING SYNC"),
                format!("  the walker: {}", missing.walker),
                format!("  unlinked in {} < {}", missing.site.at, missing.site.stack.join(" < ")),
                format!("  the operation came back to user space with {}, the walker inside", missing.result),
            ];
            if let Some(byte) = missing.leaked {
                lines.push(format!("  the walker then read {byte:?}, which another process had written"));
            }
            lines
        }
    }
}
