//! The kernel's file: the instruction at an address, the function that it is in, and the line of the sources that it is of.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use addr2line::Loader;
use anyhow::{Context, Result, ensure};
use gupsync_bench::cost::Measured;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, IntelFormatter, Mnemonic, OpKind, Register,
};
use object::{Object, ObjectSection, ObjectSymbol};

/// What calls the piece: it is no part of it, and neither is what that calls besides.
const CALLERS: [&str; 2] =
    ["gupsync_kernel::cost::count::thunk::<", "<gupsync_kernel::cost::pieces::Bench>::run::<"];
/// Where other CPUs answer: no part of it either.
const ASIDE: &str = "gupsync_kernel::cost::bare::answer";
/// A call of the heap is one instruction, the call: how many more it takes depends on what lies in the heap.
const HEAP: &str = "<linked_list_allocator::LockedHeap as core::alloc::global::GlobalAlloc>::";
/// The registers that a compiler chooses freely.
const REGISTERS: [&str; 60] = [
    "rax", "eax", "ax", "al", "ah", "rbx", "ebx", "bx", "bl", "bh", "rcx", "ecx", "cx", "cl", "ch", "rdx",
    "edx", "dx", "dl", "dh", "rsi", "esi", "si", "sil", "rdi", "edi", "di", "dil", "r8", "r8d", "r8w", "r8b",
    "r9", "r9d", "r9w", "r9b", "r10", "r10d", "r10w", "r10b", "r11", "r11d", "r11w", "r11b", "r12", "r12d",
    "r12w", "r12b", "r13", "r13d", "r13w", "r13b", "r14", "r14d", "r14w", "r14b", "r15", "r15d", "r15w",
    "r15b",
];

/// Where what is measured begins.
const MEASURED: &str = "gupsync_kernel::cost::measured::";

/// What an instruction does to the order of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// It is an atomic update, which is a full fence too: a `lock` prefix, or an exchange with memory.
    Atomic,
    /// It is a fence and nothing else.
    Fence,
}

/// An instruction.
#[derive(Debug)]
pub struct Executed {
    /// Where it is.
    pub address: u64,
    /// What it is, without the addresses of the kernel in it.
    pub text: String,
    /// What it orders.
    pub kind: Kind,
    /// The line of the sources.
    pub place: String,
}

/// The kernel's code.
pub struct Code {
    text: (u64, Vec<u8>),
    /// By address, the name and the end.
    functions: BTreeMap<u64, (String, u64)>,
    lines: Loader,
    root: String,
}

impl Code {
    /// Reads the kernel's file, which was built from the checkout at `root`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or lacks what it is linked with.
    pub fn read(kernel: &Path, root: &Path) -> Result<Self> {
        let bytes = std::fs::read(kernel).with_context(|| kernel.display().to_string())?;
        let file = object::File::parse(&*bytes)?;
        let text = file.section_by_name(".text").context("the kernel has no .text")?;
        let symbols = file.symbols().filter(|symbol| symbol.is_definition() && symbol.size() > 0);
        let functions = symbols.filter_map(|symbol| {
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?));
            Some((symbol.address(), (name, symbol.address() + symbol.size())))
        });
        let functions = functions.collect();
        let lines = Loader::new(kernel).map_err(|error| anyhow::anyhow!("{}: {error}", kernel.display()))?;
        let text = (text.address(), text.data()?.to_vec());
        Ok(Code { text, functions, lines, root: format!("{}/", root.display()) })
    }

    /// The name of the function at `address`.
    pub fn function(&self, address: u64) -> &str {
        let found = self.functions.range(..=address).next_back().filter(|(_, (_, end))| address < *end);
        found.map_or("", |(_, (name, _))| name.as_str())
    }

    fn decode(&self, address: u64) -> Result<Instruction> {
        let (base, bytes) = &self.text;
        let at = address.checked_sub(*base).and_then(|at| bytes.get(usize::try_from(at).ok()?..));
        let at = at.with_context(|| format!("{address:#x} was executed, and is not in the kernel's code"))?;
        let instruction = Decoder::with_ip(64, at, address, DecoderOptions::NONE).decode();
        ensure!(!instruction.is_invalid(), "{address:#x} was executed, and is no instruction");
        Ok(instruction)
    }

    /// The line of the sources of this checkout that the instruction at `address` is of; of what was inlined into another
    /// project's function, that.
    fn place(&self, address: u64) -> String {
        let Ok(mut frames) = self.lines.find_frames(address) else { return String::new() };
        let mut outermost = String::new();
        while let Ok(Some(frame)) = frames.next() {
            let Some(location) = frame.location else { continue };
            let (Some(file), Some(line)) = (location.file, location.line) else { continue };
            if let Some(file) = file.strip_prefix(&self.root) {
                return format!("{file}:{line}");
            }
            outermost = format!("{}:{line}", file.rsplit("/library/").next().unwrap_or(file));
        }
        outermost
    }

    /// The instructions of a trace, those that call the piece included. A repeated string instruction is one; the instruction
    /// after a `sti` is there, which no trap has shown.
    fn whole(&self, measured: &Measured) -> Result<Vec<(u64, Instruction)>> {
        let mut known: HashMap<u64, Instruction> = HashMap::new();
        let mut decode = |address| match known.get(&address) {
            Some(known) => Ok::<_, anyhow::Error>(*known),
            None => Ok(*known.entry(address).or_insert(self.decode(address)?)),
        };
        let is_repeated = |one: &Instruction| one.has_rep_prefix() || one.has_repne_prefix();
        let mut whole: Vec<(u64, Instruction)> = Vec::new();
        for address in measured.addresses() {
            if let Some((last, before)) = whole.last().copied() {
                if is_repeated(&before) && last == address {
                    continue;
                }
                if before.mnemonic() == Mnemonic::Sti && before.next_ip() != address {
                    whole.push((before.next_ip(), decode(before.next_ip())?));
                }
            }
            if let Some((last, before)) = whole.last() {
                let is_next = before.flow_control() != FlowControl::Next || before.next_ip() == address;
                ensure!(
                    is_next || self.function(*last).starts_with(ASIDE),
                    "{}: {address:#x} does not follow {last:#x}",
                    measured.piece
                );
            }
            whole.push((address, decode(address)?));
        }
        Ok(whole)
    }

    /// The instructions of a piece, in the order in which they were executed.
    ///
    /// # Errors
    ///
    /// If what was executed is not what the kernel's file holds.
    pub fn executed(&self, measured: &Measured) -> Result<Vec<Executed>> {
        let (mut executed, mut until) = (Vec::new(), None);
        for (address, instruction) in self.whole(measured)? {
            if until.is_some_and(|until| until != address) {
                continue;
            }
            until = None;
            let name = self.function(address);
            if executed.is_empty() && !name.starts_with(MEASURED) || name.starts_with(ASIDE) {
                continue;
            }
            if CALLERS.iter().any(|caller| name.starts_with(caller)) {
                break;
            }
            if instruction.flow_control() == FlowControl::Call {
                let called = self.function(instruction.near_branch_target());
                if called.starts_with(HEAP) {
                    until = Some(instruction.next_ip());
                }
            }
            executed.push((address, instruction));
        }
        ensure!(!executed.is_empty(), "{}: nothing of it was executed", measured.piece);
        let mut made: HashMap<u64, (String, Kind, String)> = HashMap::new();
        let of = |(address, instruction): (u64, Instruction)| {
            let (text, kind, place) = made
                .entry(address)
                .or_insert_with(|| (self.text(&instruction), kind(&instruction), self.place(address)))
                .clone();
            Executed { address, text, kind, place }
        };
        Ok(executed.into_iter().map(of).collect())
    }

    /// An instruction, the functions that it goes to by their names.
    fn text(&self, instruction: &Instruction) -> String {
        if instruction.is_jmp_short_or_near() || instruction.is_jcc_short_or_near() {
            return format!("{:?}", instruction.mnemonic()).to_lowercase();
        }
        if instruction.is_call_near() {
            let name = self.function(instruction.near_branch_target());
            return format!("call {}", name.split("::<").next().unwrap_or(name));
        }
        let mut text = String::new();
        IntelFormatter::new().format(instruction, &mut text);
        without_registers(&text)
    }
}

/// An instruction, its registers as `r` but for the stack's, and what it has on the stack as `[rbp]`.
fn without_registers(text: &str) -> String {
    let (mnemonic, operands) = text.split_once(' ').unwrap_or((text, ""));
    let is_part = |c: char| c.is_ascii_alphanumeric();
    let mut plain = String::new();
    let mut rest = operands;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_part(c) != is_part(first)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let is_register = REGISTERS.contains(&word);
        plain.push_str(if is_register { "r" } else { word });
        rest = behind;
        if plain.ends_with("[rbp") {
            rest = rest.find(']').map_or(rest, |end| &rest[end..]);
        }
    }
    format!("{mnemonic} {plain}").trim_end().to_owned()
}

/// What an instruction orders.
fn kind(instruction: &Instruction) -> Kind {
    let is_exchange = instruction.mnemonic() == Mnemonic::Xchg
        && (0..2).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
    // What the compiler makes of a full fence: an update of the top of the stack that changes nothing.
    let is_of_stack = instruction.mnemonic() == Mnemonic::Or && instruction.memory_base() == Register::RSP;
    let is_locked = instruction.has_lock_prefix();
    if is_exchange || is_locked && !is_of_stack {
        Kind::Atomic
    } else if is_locked
        || matches!(instruction.mnemonic(), Mnemonic::Mfence | Mnemonic::Lfence | Mnemonic::Sfence)
    {
        Kind::Fence
    } else {
        Kind::Plain
    }
}
