//! Follows the mutator through flushes, syncs and calls of other CPUs, by breakpoints at their beginnings and at the addresses
//! that they return to.

use std::collections::BTreeSet;

use anyhow::Result;
use gupsync_guest::oracle::MUTATOR;

use super::calls::{Call, Calls, Flushed, SYNC, Wait, followed};
use super::view::View;
use crate::linux::gdb::{Point, Stop};

/// The calls of a task, from the stop at which it began on.
pub struct Follower {
    /// The task's stack.
    stack: u64,
    /// Where calls begin, and whether their second argument is a function.
    entries: Vec<(u64, bool)>,
    returns: BTreeSet<u64>,
    calls: Calls,
    /// Whether a sync comes back at once.
    is_no_op: bool,
}

impl Follower {
    /// Follows the task that the mutator's CPU runs.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn begin(view: &mut View<'_>, is_no_op: bool) -> Result<Self> {
        let entries = followed(view.symbols());
        for (entry, _) in &entries {
            view.gdb.insert(Point::Execute(*entry))?;
        }
        let stack = view.task_stack(MUTATOR)?;
        Ok(Follower { stack, entries, returns: BTreeSet::new(), calls: Calls::default(), is_no_op })
    }

    /// Follows it no longer.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn end(self, view: &mut View<'_>) -> Result<()> {
        let entries = self.entries.into_iter().map(|(entry, _)| entry);
        entries.chain(self.returns).try_for_each(|at| view.gdb.remove(Point::Execute(at)))
    }

    /// By what the task has flushed.
    pub fn flushed(&self) -> Flushed {
        self.calls.flushed()
    }

    /// Whether calls are followed by stops at this address.
    pub fn stops_at(&self, rip: u64) -> bool {
        self.returns.contains(&rip) || self.entries.iter().any(|(entry, _)| *entry == rip)
    }

    /// What the task waits in, if it waits.
    pub fn wait(&self) -> Option<Wait> {
        self.calls.wait()
    }

    /// Whether the mutator's CPU runs the task.
    ///
    /// # Errors
    ///
    /// If the debugger does not say.
    pub fn is_running(&self, view: &mut View<'_>) -> Result<bool> {
        Ok(view.task_stack(MUTATOR)? == self.stack)
    }

    /// Takes note of a stop at an instruction, and goes past it. The machine may stop for another reason there.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn at(&mut self, view: &mut View<'_>, cpu: usize, rip: u64) -> Result<Option<Stop>> {
        let entry = self.entries.iter().find(|(entry, _)| *entry == rip).copied();
        let is_own = cpu == MUTATOR && self.is_running(view)?;
        match entry {
            Some((_, is_call)) if is_own => {
                let function = view.symbols().say(rip);
                if self.is_no_op && function.starts_with(SYNC) {
                    view.come_back(cpu, None)?;
                    return Ok(None);
                }
                self.enter(view, function, is_call)?;
            }
            None if !self.returns.contains(&rip) => return Ok(None),
            None if is_own => {
                self.calls.come_back(view.gdb.register(cpu, "rsp")?);
                if !self.calls.return_to(rip) {
                    self.returns.remove(&rip);
                    view.gdb.remove(Point::Execute(rip))?;
                    return Ok(None);
                }
            }
            _ => {}
        }
        view.gdb.step_past(cpu, rip)
    }

    fn enter(&mut self, view: &mut View<'_>, function: String, is_call: bool) -> Result<()> {
        let stack = view.gdb.register(MUTATOR, "rsp")?;
        let back = view.gdb.read_u64(MUTATOR, stack)?;
        let argument = view.gdb.register(MUTATOR, "rsi")?;
        let asks_for = is_call.then(|| view.symbols().say(argument));
        self.calls.enter(Call { function, asks_for, stack, back });
        let is_entry = self.entries.iter().any(|(entry, _)| *entry == back);
        if !is_entry && self.returns.insert(back) {
            view.gdb.insert(Point::Execute(back))?;
        }
        Ok(())
    }
}
