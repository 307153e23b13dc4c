//! Looks into the guest: page tables, stacks, loops.
//!
//! Addresses are the kernel's: page tables are read through its direct map, by the CPU that is named.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};

use super::round::Level;
use super::symbols::Symbols;
use crate::linux::gdb::{Cause, Gdb, Stop};

/// Where the direct map begins if the kernel has no variable that says so: four levels of page tables.
const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
/// Where the kernel's half of the addresses begins.
const KERNEL: u64 = 1 << 63;
/// What of an entry, and of CR3, is an address.
const FRAME: u64 = 0x000f_ffff_ffff_f000;
const PRESENT: u64 = 1;
/// Of an entry above the lowest level: it maps a page.
const LARGE: u64 = 1 << 7;
/// Of CR4: page tables have five levels.
const LA57: u64 = 1 << 12;
/// Of `eflags`: interrupts are on.
const IF: u64 = 1 << 9;
/// The size of a task's stack in the kernel, and its alignment.
const STACK: u64 = 16 << 10;
/// So many words of a stack are looked at, and so many functions named.
const WORDS: usize = 512;
const NAMES: usize = 12;
/// A loop has at most so many instructions.
const LOOP: usize = 256;

/// An entry of a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where it is, in the direct map.
    pub address: u64,
    /// What it says.
    pub entry: u64,
}

impl Slot {
    /// The table or page that it leads to.
    pub fn frame(self) -> u64 {
        self.entry & FRAME
    }
}

/// The entry of `level` that maps `va`, found from `cr3` by reading words of memory.
fn walk(
    mut word: impl FnMut(u64) -> Result<u64>,
    direct_map: u64,
    cr3: u64,
    va: u64,
    level: Level,
) -> Result<Slot> {
    let last = match level {
        Level::Pte => 0,
        Level::Pmd => 1,
        Level::Pud => 2,
    };
    let mut table = cr3 & FRAME;
    for at in (last..4).rev() {
        let address = direct_map + table + ((va >> (12 + 9 * at)) & 511) * 8;
        let entry = word(address)?;
        ensure!(entry & PRESENT != 0, "{va:#x} is not mapped");
        if at == last {
            return Ok(Slot { address, entry });
        }
        ensure!(entry & LARGE == 0, "{va:#x} is mapped by a larger page than it should be");
        table = entry & FRAME;
    }
    unreachable!("the last level is one of four")
}

/// What a `call` calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callee {
    /// The function at this address.
    At(u64),
    /// What a register or memory says.
    Unknown,
}

/// The call that ends at `back`, if these bytes, which end there, are one.
fn call_before(back: u64, code: &[u8; 7]) -> Option<Callee> {
    // `call` by displacement; by register or memory, with each length of an operand.
    if code[2] == 0xe8 {
        let displacement = i32::from_le_bytes([code[3], code[4], code[5], code[6]]);
        return Some(Callee::At(back.wrapping_add_signed(displacement.into())));
    }
    let is_indirect = |at: usize| code[at] == 0xff && code[at + 1] & 0x38 == 0x10;
    [0, 1, 3, 4, 5].into_iter().any(is_indirect).then_some(Callee::Unknown)
}

/// The return addresses among words of a stack, each with what its call calls: those that lead from `inside` outwards. Where
/// none calls the function before, which has been jumped to, the next one is taken.
fn chain(words: &[(u64, Callee)], inside: u64, function: impl Fn(u64) -> Option<u64>) -> Vec<u64> {
    let (mut chain, mut rest, mut inside) = (Vec::new(), words, function(inside));
    while !rest.is_empty() {
        let calls = |(_, callee): &(u64, Callee)| matches!(callee, Callee::At(at) if Some(*at) == inside);
        let at = rest.iter().position(calls).unwrap_or(0);
        chain.push(rest[at].0);
        inside = function(rest[at].0);
        rest = &rest[at + 1..];
    }
    chain
}

/// Whether a CPU turns in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    /// It has come back to where it was, with the same in all registers: only another CPU can end that.
    Spins,
    /// It has not.
    Busy,
    /// The machine has stopped for another reason meanwhile.
    Stopped(Stop),
}

/// The guest, as a debugger sees it.
pub struct View<'s> {
    /// The debugger.
    pub gdb: Gdb,
    symbols: &'s Symbols,
}

impl<'s> View<'s> {
    /// With the symbols of its kernel.
    pub fn new(gdb: Gdb, symbols: &'s Symbols) -> Self {
        View { gdb, symbols }
    }

    /// The symbols of its kernel.
    pub fn symbols(&self) -> &'s Symbols {
        self.symbols
    }

    /// The entry of `level` that maps `va` where `cpu` is.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn entry(&mut self, cpu: usize, va: u64, level: Level) -> Result<Slot> {
        let has_five_levels = self.gdb.register(cpu, "cr4")? & LA57 != 0;
        ensure!(!has_five_levels, "the kernel has page tables of five levels; start it with no5lvl");
        let base = match self.symbols.find("page_offset_base") {
            Some(variable) => self.gdb.read_u64(cpu, variable)?,
            None => DIRECT_MAP,
        };
        let cr3 = self.gdb.register(cpu, "cr3")?;
        let word = |address| self.gdb.read_u64(cpu, address);
        walk(word, base, cr3, va, level).with_context(|| format!("the page tables of CPU {cpu}, {level} level"))
    }

    /// Whether that entry is there.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn is_present(&mut self, cpu: usize, slot: Slot) -> Result<bool> {
        Ok(self.gdb.read_u64(cpu, slot.address)? & PRESENT != 0)
    }

    /// Whether interrupts are on.
    ///
    /// # Errors
    ///
    /// If the debugger does not say.
    pub fn has_irqs_on(&mut self, cpu: usize) -> Result<bool> {
        Ok(self.gdb.register(cpu, "eflags")? & IF != 0)
    }

    /// Where a CPU stands, in words.
    ///
    /// # Errors
    ///
    /// If the debugger does not say.
    pub fn place(&mut self, cpu: usize) -> Result<String> {
        let rip = self.gdb.register(cpu, "rip")?;
        Ok(self.symbols.say(rip))
    }

    /// The stack of the task in whose place a CPU is: a number that no other task has meanwhile.
    ///
    /// # Errors
    ///
    /// If the debugger does not say.
    pub fn task_stack(&mut self, cpu: usize) -> Result<u64> {
        Ok(self.gdb.register(cpu, "rsp")? & !(STACK - 1))
    }

    /// Whether a CPU rests.
    ///
    /// # Errors
    ///
    /// If the debugger does not say.
    pub fn is_idle(&mut self, cpu: usize) -> Result<bool> {
        let rip = self.gdb.register(cpu, "rip")?;
        let function = self.symbols.function(rip).map_or("", |(name, _)| name);
        Ok(["idle", "halt", "mwait"].iter().any(|part| function.contains(part)))
    }

    /// Where the functions have been called that lead to where a CPU stands, innermost first. Where one was jumped to, or
    /// called by a register, words that earlier calls have left may stand for what is not known.
    ///
    /// # Errors
    ///
    /// If the debugger does not say.
    pub fn stack(&mut self, cpu: usize) -> Result<Vec<String>> {
        let (rip, rsp) = (self.gdb.register(cpu, "rip")?, self.gdb.register(cpu, "rsp")?);
        if rsp < KERNEL {
            return Ok(Vec::new());
        }
        let count = WORDS.min(((rsp | (STACK - 1)) + 1 - rsp) as usize / 8);
        let stack = self.gdb.read(cpu, rsp, count * 8)?;
        let mut calls = Vec::new();
        for word in stack.chunks_exact(8) {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            if self.symbols.function(word).is_some() {
                let code = self.gdb.read(cpu, word - 7, 7)?.try_into().expect("as many as were asked for");
                calls.extend(call_before(word, &code).map(|callee| (word, callee)));
            }
        }
        let start = |address| self.symbols.function(address).map(|(_, offset)| address - offset);
        let chain = chain(&calls, rip, start);
        Ok(chain.into_iter().take(NAMES).map(|address| self.symbols.say(address)).collect())
    }

    /// Has a CPU come back from the function that it is about to begin, with this result if any.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn come_back(&mut self, cpu: usize, result: Option<u64>) -> Result<()> {
        let rsp = self.gdb.register(cpu, "rsp")?;
        let back = self.gdb.read_u64(cpu, rsp)?;
        self.gdb.set_register(cpu, "rsp", rsp + 8)?;
        self.gdb.set_register(cpu, "rip", back)?;
        result.map_or(Ok(()), |result| self.gdb.set_register(cpu, "rax", result))
    }

    /// Drops all translations of a CPU.
    ///
    /// # Errors
    ///
    /// If the debugger refuses.
    pub fn flush_tlb(&mut self, cpu: usize) -> Result<()> {
        let cr3 = self.gdb.register(cpu, "cr3")?;
        self.gdb.set_register(cpu, "cr3", cr3)
    }

    /// Steps through a loop, if it is one, and no further than to an address that `stops` there.
    ///
    /// # Errors
    ///
    /// If the debugger does not do it.
    pub fn find_loop(&mut self, cpu: usize, stops: impl Fn(u64) -> bool) -> Result<Loop> {
        let mut seen = HashSet::new();
        for _ in 0..LOOP {
            // A step does not stop before it.
            if stops(self.gdb.register(cpu, "rip")?) {
                return Ok(Loop::Busy);
            }
            if !seen.insert(self.gdb.general(cpu)?) {
                return Ok(Loop::Spins);
            }
            let stop = self.gdb.step(cpu)?;
            if stop.cause != Cause::Here {
                return Ok(Loop::Stopped(stop));
            }
        }
        Ok(Loop::Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const BASE: u64 = DIRECT_MAP;
    const VA: u64 = (3 << 39) | (5 << 30) | (7 << 21) | (9 << 12);

    /// Tables at 0x1000, 0x2000, ..., and what they map `VA` to.
    fn tables() -> HashMap<u64, u64> {
        HashMap::from([
            (BASE + 0x1000 + 3 * 8, 0x2067),
            (BASE + 0x2000 + 5 * 8, 0x3067),
            (BASE + 0x3000 + 7 * 8, 0x4067),
            (BASE + 0x4000 + 9 * 8, 0x8000_0000_1234_5067),
        ])
    }

    fn find(tables: &HashMap<u64, u64>, level: Level) -> Result<Slot> {
        walk(|at| Ok(tables.get(&at).copied().unwrap_or(0)), BASE, 0x1018, VA, level)
    }

    #[test]
    fn entries_are_found_at_each_level() -> Result<()> {
        let tables = tables();
        assert_eq!(find(&tables, Level::Pud)?, Slot { address: BASE + 0x2028, entry: 0x3067 });
        assert_eq!(find(&tables, Level::Pmd)?, Slot { address: BASE + 0x3038, entry: 0x4067 });
        let pte = find(&tables, Level::Pte)?;
        assert_eq!((pte.address, pte.frame()), (BASE + 0x4048, 0x1234_5000));
        Ok(())
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let mut tables = tables();
        tables.insert(BASE + 0x3038, 0x40e7);
        assert!(find(&tables, Level::Pmd).is_ok());
        assert!(find(&tables, Level::Pte).expect_err("2 MiB").to_string().contains("a larger page"));
        tables.insert(BASE + 0x2028, 0x3066);
        assert!(find(&tables, Level::Pmd).expect_err("no table").to_string().contains("not mapped"));
    }

    #[test]
    fn a_return_address_lies_behind_a_call() {
        assert_eq!(call_before(0x1000, &[0, 0, 0xe8, 0xf0, 0xff, 0xff, 0xff]), Some(Callee::At(0xff0)));
        for code in [
            [0, 0, 0, 0, 0, 0xff, 0xd0],
            [0, 0xff, 0x90, 1, 2, 3, 4],
            [0, 0, 0, 0, 0xff, 0x55, 0x10],
            [0, 0, 0, 0xff, 0x54, 0x24, 8],
            [0xff, 0x94, 0x24, 1, 2, 3, 4],
        ] {
            assert_eq!(call_before(0x1000, &code), Some(Callee::Unknown), "{code:x?}");
        }
        for code in [[0x90; 7], [0, 0, 0xe9, 1, 2, 3, 4], [0, 0, 0, 0, 0, 0xff, 0xe0], [0xe8, 1, 2, 3, 4, 0, 0]]
        {
            assert_eq!(call_before(0x1000, &code), None, "{code:x?}");
        }
    }

    #[test]
    fn a_stack_is_followed_by_what_each_call_calls() {
        let function = |address: u64| Some(address & !0xff);
        let call = |back, at| (back, Callee::At(at));
        // A stale word of a call of 0x900 stands in between, and 0x300 has been jumped to.
        let words = [
            call(0x210, 0x100),
            call(0x910, 0x900),
            call(0x310, 0x200),
            call(0x420, 0x700),
            call(0x520, 0x400),
        ];
        assert_eq!(chain(&words, 0x120, function), [0x210, 0x310, 0x420, 0x520]);
        assert_eq!(chain(&[(0x410, Callee::Unknown)], 0x120, function), [0x410]);
        assert!(chain(&[], 0x120, function).is_empty());
    }
}
