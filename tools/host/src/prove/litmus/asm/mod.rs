//! A litmus test in assembly, as Linux's primitives are on that architecture.

pub mod armv8;
pub mod riscv;
pub mod x86;

use anyhow::{Context, Result};

use super::code::{Fence, Order, Process, Program, Statement, Update, Value};

/// An architecture: its registers, and its instructions for each primitive.
pub trait Architecture: Sized {
    /// As herd7 calls it.
    const NAME: &'static str;
    /// The registers that hold those of the test: as instructions name them, and as conditions do.
    const REGISTERS: &'static [(&'static str, &'static str)];

    /// Of a process: which words it shares, by their index.
    fn new(words: &[String]) -> Self;
    /// What its registers hold at first.
    fn initial(&self, process: usize) -> String;
    fn load(&self, to: &str, from: &str, order: Order, out: &mut Lines);
    fn store(&self, to: &str, value: &Operand, order: Order, out: &mut Lines);
    fn fence(&self, fence: Fence, out: &mut Lines);
    /// `to` is a register that may be overwritten even if nothing looks at it.
    fn update(&self, to: Option<&str>, word: &str, update: Update, by: &Operand, order: Order, out: &mut Lines);
    fn compare_exchange(&self, to: &str, word: &str, old: i32, new: &Operand, order: Order, out: &mut Lines);
    fn add(&self, to: &str, number: i32, out: &mut Lines);
    /// Goes to `label` unless the register compares so.
    fn branch_unless(&self, register: &str, is_equal: bool, number: i32, label: &str, out: &mut Lines);
    fn jump(label: &str) -> String;
}

/// Where an architecture without addresses in its instructions has those of words: in a register each.
pub struct AddressRegisters {
    words: Vec<String>,
    /// What stands before a register's number.
    prefix: char,
    first: usize,
}

impl AddressRegisters {
    fn new(words: &[String], prefix: char, first: usize) -> Self {
        AddressRegisters { words: words.to_vec(), prefix, first }
    }

    /// The register that holds the address of `word`.
    fn of(&self, word: &str) -> String {
        let index =
            self.words.iter().position(|name| name == word).expect("a process names the words that it shares");
        format!("{}{}", self.prefix, self.first + index)
    }

    /// What they hold at first.
    fn initial(&self, process: usize) -> String {
        self.words.iter().map(|word| format!(" {process}:{}={word};", self.of(word))).collect()
    }
}

/// A number, or a register of the architecture.
pub enum Operand {
    Number(i32),
    Register(&'static str),
}

/// The instructions of a process.
pub struct Lines {
    lines: Vec<String>,
    process: usize,
    labels: usize,
}

impl Lines {
    pub fn push(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// A label that no other place has.
    pub fn label(&mut self) -> String {
        self.labels += 1;
        format!("L{}{:02}", self.process, self.labels)
    }

    /// The end of the process: where an execution goes that is none.
    pub fn end(&self) -> String {
        format!("E{}", self.process)
    }
}

/// # Errors
///
/// What has no counterpart.
pub fn translate<A: Architecture>(name: &str, program: &Program) -> Result<String> {
    let mut columns = Vec::new();
    let mut initial: String = program.initial.iter().map(|(word, value)| format!(" {word}={value};")).collect();
    let mut condition = program.condition.clone();
    for (index, process) in program.processes.iter().enumerate() {
        let architecture = A::new(&process.words);
        initial += &architecture.initial(index);
        let mut lines = Lines { lines: Vec::new(), process: index, labels: 0 };
        Writer { architecture: &architecture, process }.block(&process.body, &mut lines)?;
        let end = lines.end();
        lines.push(format!("{end}:"));
        columns.push(lines.lines);
        for (register, (_, shown)) in process.registers.iter().zip(A::REGISTERS) {
            condition = replaced(&condition, &format!("{index}:{register}"), &format!("{index}:{shown}"));
        }
    }
    let rows = columns.iter().map(Vec::len).max().unwrap_or_default();
    let row = |cells: Vec<String>| format!(" {} ;\n", cells.join(" | "));
    let mut text = format!("{} {name}\n{{{initial} }}\n", A::NAME);
    text += &row((0..columns.len()).map(|index| format!("P{index}")).collect());
    for line in 0..rows {
        text += &row(columns.iter().map(|column| column.get(line).cloned().unwrap_or_default()).collect());
    }
    Ok(format!("{text}exists {condition}\n"))
}

/// `from` by `to`, where it is a whole name.
fn replaced(text: &str, from: &str, to: &str) -> String {
    text.split_inclusive(['=', ' ', '('])
        .map(|part| match part.strip_prefix(from) {
            Some(rest) if rest.starts_with('=') => format!("{to}{rest}"),
            _ => part.to_owned(),
        })
        .collect()
}

struct Writer<'p, A> {
    architecture: &'p A,
    process: &'p Process,
}

impl<A: Architecture> Writer<'_, A> {
    fn register(&self, name: &str) -> Result<&'static str> {
        let index = self.process.registers.iter().position(|register| register == name);
        let index = index.with_context(|| format!("`{name}` is not declared"))?;
        Ok(A::REGISTERS.get(index).context("more registers than there are")?.0)
    }

    fn operand(&self, value: &Value) -> Result<Operand> {
        Ok(match value {
            Value::Number(number) => Operand::Number(*number),
            Value::Register(register) => Operand::Register(self.register(register)?),
        })
    }

    fn block(&self, body: &[Statement], out: &mut Lines) -> Result<()> {
        body.iter().try_for_each(|statement| self.statement(statement, out))
    }

    fn statement(&self, statement: &Statement, out: &mut Lines) -> Result<()> {
        let to_write = self.architecture;
        match statement {
            Statement::Load { to, from, order } => to_write.load(self.register(to)?, from, *order, out),
            Statement::Store { to, value, order } => to_write.store(to, &self.operand(value)?, *order, out),
            Statement::Fence(fence) => to_write.fence(*fence, out),
            Statement::Update { to, word, update, by, is_after, order } => {
                let to = to.as_ref().map(|to| self.register(to)).transpose()?;
                to_write.update(to, word, *update, &self.operand(by)?, *order, out);
                if let (Some(to), true, Value::Number(by)) = (to, is_after, by) {
                    to_write.add(to, *by, out);
                }
            }
            Statement::CompareExchange { to, word, old, new, order } => {
                let new = self.operand(new)?;
                to_write.compare_exchange(self.register(to)?, word, *old, &new, *order, out);
            }
            Statement::If { register, is_equal, number, then, otherwise } => {
                let (label, end) = (out.label(), out.label());
                to_write.branch_unless(self.register(register)?, *is_equal, *number, &label, out);
                self.block(then, out)?;
                if otherwise.is_empty() {
                    out.push(format!("{label}:"));
                } else {
                    out.push(A::jump(&end));
                    out.push(format!("{label}:"));
                    self.block(otherwise, out)?;
                    out.push(format!("{end}:"));
                }
            }
        }
        Ok(())
    }
}
