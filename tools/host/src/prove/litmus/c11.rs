//! A litmus test in C11, as Rust's atomics are compiled: `smp_mb` is a fence of sequential consistency, and a primitive that
//! is fully ordered has one on either side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Result, bail, ensure};

use super::code::{Fence, Order, Program, Statement, Update, Value};

/// # Errors
///
/// What has no counterpart: a word that is accessed with and without a primitive.
pub fn translate(name: &str, program: &Program) -> Result<String> {
    let (mut atomic, mut plain) = (BTreeSet::new(), BTreeSet::new());
    program.processes.iter().for_each(|process| kinds(&process.body, &mut atomic, &mut plain));
    if let Some(both) = atomic.intersection(&plain).next() {
        bail!("`{both}` is accessed with and without a primitive");
    }
    let mut expected = Vec::new();
    let mut processes = String::new();
    for (index, process) in program.processes.iter().enumerate() {
        let first = expected.len();
        let mut writer =
            Writer { text: String::new(), expected: &mut expected, results: BTreeMap::new(), scratch: 0 };
        writer.block(&process.body, 1)?;
        let (text, results) = (writer.text, writer.results);
        if let Some(result) =
            results.keys().find(|name| program.condition.contains(&format!("{index}:{name}=")))
        {
            bail!("`{result}` is the result of a compare-exchange, which C11 does not return");
        }
        let words = process
            .words
            .iter()
            .map(|word| format!("{} *{word}", if plain.contains(word) { "int" } else { "atomic_int" }));
        let words = words.chain(expected[first..].iter().map(|(word, _)| format!("int *{word}")));
        let words = words.collect::<Vec<_>>().join(", ");
        let registers = process.registers.iter().map(|register| format!("  int {register};\n"));
        let _ = write!(processes, "P{index}({words})\n{{\n{}{text}}}\n\n", registers.collect::<String>());
    }
    let initial = program.initial.iter().chain(&expected).map(|(word, value)| format!(" {word}={value};"));
    let initial = initial.collect::<String>();
    Ok(format!("C {name}\n{{{initial} }}\n\n{processes}exists {}\n", program.condition))
}

fn kinds(body: &[Statement], atomic: &mut BTreeSet<String>, plain: &mut BTreeSet<String>) {
    for statement in body {
        let (word, order) = match statement {
            Statement::Load { from: word, order, .. } | Statement::Store { to: word, order, .. } => {
                (word, *order)
            }
            Statement::Update { word, .. } | Statement::CompareExchange { word, .. } => (word, Order::Relaxed),
            Statement::Fence(_) => continue,
            Statement::If { then, otherwise, .. } => {
                kinds(then, atomic, plain);
                kinds(otherwise, atomic, plain);
                continue;
            }
        };
        if order == Order::Plain { &mut *plain } else { &mut *atomic }.insert(word.clone());
    }
}

struct Writer<'e> {
    text: String,
    /// The words that hold what a compare-exchange expects, with what that is.
    expected: &'e mut Vec<(String, i32)>,
    /// Registers that say whether a compare-exchange found what it expected, which was this.
    results: BTreeMap<String, i32>,
    scratch: usize,
}

fn memory_order(order: Order) -> &'static str {
    match order {
        Order::Plain | Order::Relaxed | Order::Full => "memory_order_relaxed",
        Order::Acquire => "memory_order_acquire",
        Order::Release => "memory_order_release",
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Register(register) => register.clone(),
    }
}

impl Writer<'_> {
    fn line(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{:1$}{line}", "", 2 * depth);
    }

    fn fenced(&mut self, depth: usize, order: Order, line: &str) {
        const FENCE: &str = "atomic_thread_fence(memory_order_seq_cst);";
        if order == Order::Full {
            self.line(depth, FENCE);
        }
        self.line(depth, line);
        if order == Order::Full {
            self.line(depth, FENCE);
        }
    }

    fn scratch(&mut self) -> String {
        self.scratch += 1;
        format!("s{}", self.scratch)
    }

    fn block(&mut self, body: &[Statement], depth: usize) -> Result<()> {
        body.iter().try_for_each(|statement| self.statement(statement, depth))
    }

    fn statement(&mut self, statement: &Statement, depth: usize) -> Result<()> {
        match statement {
            Statement::Load { to, from, order: Order::Plain } => self.line(depth, &format!("{to} = *{from};")),
            Statement::Load { to, from, order } => {
                self.line(depth, &format!("{to} = atomic_load_explicit({from}, {});", memory_order(*order)));
            }
            Statement::Store { to, value: what, order: Order::Plain } => {
                self.line(depth, &format!("*{to} = {};", value(what)));
            }
            Statement::Store { to, value: what, order } => {
                let order = memory_order(*order);
                self.line(depth, &format!("atomic_store_explicit({to}, {}, {order});", value(what)));
            }
            Statement::Fence(fence) => {
                let order = match fence {
                    Fence::Full => "seq_cst",
                    Fence::Read => "acquire",
                    Fence::Write => "release",
                };
                self.line(depth, &format!("atomic_thread_fence(memory_order_{order});"));
            }
            Statement::Update { to, word, update, by, is_after, order } => {
                let function = match update {
                    Update::Swap => "atomic_exchange_explicit",
                    Update::Add => "atomic_fetch_add_explicit",
                    Update::Or => "atomic_fetch_or_explicit",
                    Update::AndNot => "atomic_fetch_and_explicit",
                };
                let by = match (update, by) {
                    (Update::AndNot, Value::Number(number)) => (!number).to_string(),
                    (_, by) => value(by),
                };
                let target = to.clone().unwrap_or_else(|| format!("int {}", self.scratch()));
                let call = format!("{target} = {function}({word}, {by}, {});", memory_order(*order));
                self.fenced(depth, *order, &call);
                if let (Some(to), true) = (to, is_after) {
                    self.line(depth, &format!("{to} = {to} + {by};"));
                }
            }
            Statement::CompareExchange { to, word, old, new, order } => {
                let expected = format!("expected{}", self.expected.len());
                let function = "atomic_compare_exchange_strong_explicit";
                let (new, order_name) = (value(new), memory_order(*order));
                let call = format!(
                    "{to} = {function}({word}, {expected}, {new}, {order_name}, memory_order_relaxed);"
                );
                self.fenced(depth, *order, &call);
                self.expected.push((expected, *old));
                self.results.insert(to.clone(), *old);
            }
            Statement::If { register, is_equal, number, then, otherwise } => {
                let condition = match self.results.get(register) {
                    None => format!("{register} {} {number}", if *is_equal { "==" } else { "!=" }),
                    Some(old) => {
                        ensure!(old == number, "`{register}` is compared with another value than was expected");
                        format!("{register} == {}", i32::from(*is_equal))
                    }
                };
                self.line(depth, &format!("if ({condition}) {{"));
                self.block(then, depth + 1)?;
                if !otherwise.is_empty() {
                    self.line(depth, "} else {");
                    self.block(otherwise, depth + 1)?;
                }
                self.line(depth, "}");
            }
        }
        Ok(())
    }
}
