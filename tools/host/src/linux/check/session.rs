//! One boot under the debugger: what it sees becomes events of rounds, and what rounds say is done.
//!
//! # Guarantee
//!
//! A walker is a CPU that reads an entry of a page table, as software, with interrupts off; the entry is one that the host has
//! found in the page tables of the process itself. While it is held nothing of the guest is changed but what a hypervisor
//! changes (`steal_time`), the word that lets the operation begin, and the sync where that is to be a no-op; and it does
//! nothing itself but take the NMIs that stand for INVLPGB.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use gupsync_guest::oracle::{MUTATOR, Mark, NEW, WALKER};

use super::flushes::Flushes;
use super::follow::Follower;
use super::marks;
use super::round::{Event, Level, Look, Round, Site, Test, Then, Verdict};
use super::tally::Tally;
use super::view::{Loop, Slot, View};
use super::vm::Vm;
use crate::linux::gdb::{Cause, LOOK, Point, Stop};

/// A boot.
pub struct Session<'s> {
    view: View<'s>,
    flushes: Flushes,
    /// Where the program comes to marks.
    mark: u64,
    test: Test,
    /// What is under way, unless walkers are not to be held.
    round: Option<Round>,
    /// The sync is a no-op in this round.
    is_no_op: bool,
    level: Level,
    /// The walker's address, and the word that lets the operation begin.
    walk: (u64, u64),
    /// The entry that the walker is to read, while that is watched.
    read: Option<Slot>,
    /// The entry that is to be cleared, while that is watched.
    cleared: Option<Slot>,
    /// Where the shared table is.
    shared: Option<u64>,
    follower: Option<Follower>,
    /// Why the round tells nothing, whatever it seems to tell.
    fault: Option<&'static str>,
    /// Walkers were let through once.
    is_warm: bool,
}

/// Whether the boot goes on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl<'s> Session<'s> {
    /// Before the kernel's first instruction.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn new(mut view: View<'s>, flushes: Flushes, mark: u64, test: Test) -> Result<Self> {
        view.gdb.insert(Point::Execute(mark))?;
        flushes.begin(&mut view)?;
        Ok(Session {
            view,
            flushes,
            mark,
            test,
            round: None,
            is_no_op: false,
            level: test.held_at()[0],
            walk: (0, 0),
            read: None,
            cleared: None,
            shared: None,
            follower: None,
            fault: None,
            is_warm: false,
        })
    }

    /// Does rounds until no tally wants more; `say` is told each.
    ///
    /// # Errors
    ///
    /// If the machine comes to an end before, or the program cannot do the test.
    pub fn run(
        &mut self,
        vm: &mut Vm,
        tallies: &mut [Tally],
        mut say: impl FnMut(&Tally, Level, &Verdict),
    ) -> Result<()> {
        loop {
            self.resume()?;
            let stop = loop {
                vm.listen()?;
                if let Some(stop) = self.view.gdb.wait(Instant::now() + LOOK)? {
                    break stop;
                }
                if self.is_held() {
                    match self.look()? {
                        Some(stop) => break stop,
                        None => self.resume()?,
                    }
                }
            };
            if self.handle(stop, tallies, &mut say)? == Next::End {
                return Ok(());
            }
        }
    }

    fn is_held(&self) -> bool {
        self.round.as_ref().is_some_and(Round::is_held)
    }

    fn resume(&mut self) -> Result<()> {
        let is_held = self.is_held();
        let running: Vec<_> = (0..self.view.gdb.vcpus()).filter(|cpu| *cpu != WALKER || !is_held).collect();
        self.view.gdb.resume(&running)
    }

    fn handle(
        &mut self,
        stop: Stop,
        tallies: &mut [Tally],
        say: &mut impl FnMut(&Tally, Level, &Verdict),
    ) -> Result<Next> {
        let cpu = stop.cpu;
        match stop.cause {
            Cause::Asked => {}
            Cause::Read(at) => self.has_read(cpu, at)?,
            Cause::Written(at) => self.has_written(cpu, at)?,
            Cause::Here => {
                let rip = self.view.gdb.register(cpu, "rip")?;
                if rip == self.mark && self.view.gdb.is_in_user_space(cpu)? {
                    return self.at_mark(cpu, tallies, say);
                }
                let is_answered = self.flushes.answer(&mut self.view, cpu, rip)?;
                let stop = match &mut self.follower {
                    _ if is_answered => None,
                    _ if rip == self.mark => self.view.gdb.step_past(cpu, rip)?,
                    Some(follower) => follower.at(&mut self.view, cpu, rip)?,
                    None => None,
                };
                if let Some(stop) = stop {
                    return self.handle(stop, tallies, say);
                }
            }
        }
        Ok(Next::GoOn)
    }

    /// Has the round take an event, and does what it says.
    fn tell(&mut self, event: Event) -> Result<()> {
        let Some(round) = &mut self.round else { return Ok(()) };
        match round.on(event) {
            Then::GoOn => Ok(()),
            Then::Hold => self.hold(),
            Then::Release => self.release(),
        }
    }

    fn has_read(&mut self, cpu: usize, at: u64) -> Result<()> {
        let Some(slot) = self.read.filter(|slot| slot.address == at && cpu == WALKER) else { return Ok(()) };
        let irqs_on = self.view.has_irqs_on(cpu)?;
        let (place, level, va) = (self.view.place(cpu)?, self.level, self.walk.0);
        let hand = format!("with the {level} entry {:#x} of {va:#x} in hand", slot.entry);
        self.tell(Event::Read { irqs_on, walker: format!("CPU {cpu} in {place}, interrupts off, {hand}") })
    }

    fn hold(&mut self) -> Result<()> {
        self.stop_watching()?;
        self.flushes.hold(&mut self.view, WALKER)?;
        self.watch_unlink(WALKER)?;
        self.view.gdb.write(WALKER, self.walk.1, &1_u64.to_le_bytes())
    }

    /// Watches the entry that the process on `cpu` will clear.
    fn watch_unlink(&mut self, cpu: usize) -> Result<()> {
        let slot = self.view.entry(cpu, self.walk.0, self.test.unlinked())?;
        if let Some(shared) = self.shared.filter(|_| self.test != Test::Collapse) {
            let own = slot.frame();
            ensure!(own == shared, "the PMD tables at {shared:#x} and {own:#x} are not shared");
        }
        self.view.gdb.insert(Point::Write(slot.address))?;
        self.cleared = Some(slot);
        Ok(())
    }

    fn stop_watching(&mut self) -> Result<()> {
        if let Some(slot) = self.read.take() {
            self.view.gdb.remove(Point::Read(slot.address))?;
        }
        if let Some(slot) = self.cleared.take() {
            self.view.gdb.remove(Point::Write(slot.address))?;
        }
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        self.stop_watching()?;
        self.stop_following()?;
        self.flushes.let_run(&mut self.view, WALKER)
    }

    fn has_written(&mut self, cpu: usize, at: u64) -> Result<()> {
        let Some(slot) = self.cleared.filter(|slot| slot.address == at && cpu == MUTATOR) else {
            return Ok(());
        };
        if self.view.is_present(cpu, slot)? {
            return Ok(());
        }
        self.stop_watching()?;
        let site = Site { at: self.view.place(cpu)?, stack: self.view.stack(cpu)? };
        self.follower = Some(Follower::begin(&mut self.view, self.is_no_op)?);
        self.tell(Event::Unlinked(site))
    }

    fn stop_following(&mut self) -> Result<()> {
        let Some(follower) = self.follower.take() else { return Ok(()) };
        self.fault = self.fault.or(self.flushes.fault(follower.flushed()));
        follower.end(&mut self.view)
    }

    /// Stops the machine and looks at the mutator; or says that it has stopped by itself.
    fn look(&mut self) -> Result<Option<Stop>> {
        let stop = self.view.gdb.halt()?;
        if stop.cause != Cause::Asked {
            return Ok(Some(stop));
        }
        if self.flushes.let_in(&mut self.view, WALKER)? {
            // Whatever waited for that goes on now.
            self.tell(Event::Looked(Look::Busy))?;
            return Ok(None);
        }
        if !self.round.as_ref().is_some_and(Round::is_to_be_looked_at) {
            return Ok(None);
        }
        let wait = self.follower.as_ref().and_then(Follower::wait);
        let look = if self.view.is_idle(MUTATOR)? {
            Look::Sleeps(wait)
        } else {
            let stops = |rip| self.follower.as_ref().is_some_and(|follower| follower.stops_at(rip));
            match (self.view.find_loop(MUTATOR, stops)?, &self.follower) {
                (Loop::Busy, _) => Look::Busy,
                (Loop::Stopped(stop), _) => return Ok(Some(stop)),
                (Loop::Spins, Some(follower)) if follower.is_running(&mut self.view)? => Look::Spins(wait),
                (Loop::Spins, _) => Look::Spins(None),
            }
        };
        self.tell(Event::Looked(look))?;
        Ok(None)
    }

    fn at_mark(
        &mut self,
        cpu: usize,
        tallies: &mut [Tally],
        say: &mut impl FnMut(&Tally, Level, &Verdict),
    ) -> Result<Next> {
        let (mark, first, second) = marks::at(&mut self.view.gdb, cpu)?;
        let mut answer = 0;
        match mark {
            Mark::Fault => bail!(marks::text(&mut self.view.gdb, cpu)?.1),
            Mark::Symbols => bail!("the program has given symbols in place of a test"),
            Mark::Settles => answer = u64::from(self.flushes.is_settled(&mut self.view, first)?),
            Mark::Shares => self.shared = Some(self.view.entry(cpu, first, Level::Pud)?.frame()),
            Mark::Walk => answer = u64::from(self.begin(cpu, (first, second), tallies)?),
            Mark::Escaped => {
                self.stop_watching()?;
                self.tell(Event::Escaped)?;
            }
            Mark::Left => {
                self.stop_watching()?;
                self.stop_following()?;
                self.tell(Event::Left)?;
            }
            Mark::Next => {
                if self.is_held() {
                    self.watch_unlink(cpu)?;
                }
                self.tell(Event::Next)?;
            }
            Mark::Done => {
                self.stop_watching()?;
                self.stop_following()?;
                self.tell(Event::Done(first))?;
            }
            Mark::Reused => self.tell(Event::Reused)?,
            Mark::Round => {
                self.end(first, tallies, say);
                if !tallies.iter().any(Tally::wants_more) {
                    return Ok(Next::End);
                }
                answer = 1;
            }
        }
        self.view.come_back(cpu, Some(answer))?;
        Ok(Next::GoOn)
    }

    /// A round begins; says whether the walker is to be held. The first one is let through, with all that it is the first to
    /// need.
    fn begin(&mut self, cpu: usize, walk: (u64, u64), tallies: &[Tally]) -> Result<bool> {
        if !self.is_warm {
            self.flushes.demand_installed(&mut self.view, cpu)?;
        }
        let Some(tally) = tallies.iter().find(|tally| tally.wants_more()).filter(|_| self.is_warm) else {
            self.is_warm = true;
            return Ok(false);
        };
        let levels = self.test.held_at();
        (self.walk, self.is_no_op, self.level) =
            (walk, tally.is_self_test(), levels[tally.next() % levels.len()]);
        let slot = self.view.entry(cpu, walk.0, self.level)?;
        self.view.gdb.insert(Point::Read(slot.address))?;
        (self.read, self.round, self.fault) = (Some(slot), Some(Round::new(self.test)), None);
        Ok(true)
    }

    /// A round is over, in which the walker has read `seen`.
    fn end(&mut self, seen: u64, tallies: &mut [Tally], say: &mut impl FnMut(&Tally, Level, &Verdict)) {
        let Some(round) = self.round.take() else { return };
        let Some(tally) = tallies.iter_mut().find(|tally| tally.wants_more()) else { return };
        let has_leaked = seen == u64::from(NEW);
        let verdict = match (round.verdict(), self.fault) {
            (Verdict::Missing(_) | Verdict::Waits(_), Some(fault)) => Verdict::Inconclusive(fault.to_owned()),
            (Verdict::Missing(mut missing), None) => {
                missing.leaked = has_leaked.then_some(char::from(NEW));
                Verdict::Missing(missing)
            }
            (Verdict::Waits(wait), None) if has_leaked => {
                let text = format!("it waited in {wait}, and the walker read what another process has written");
                Verdict::Inconclusive(text)
            }
            (verdict, _) => verdict,
        };
        say(tally, self.level, &verdict);
        tally.add(verdict);
    }
}
