//! The part of C that litmus tests are written in: the primitives of Linux, conditions, and no loops.

use std::collections::HashSet;

use anyhow::{Context, Result, bail, ensure};

use super::tokens::Tokens;

/// What an access orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// No primitive: another CPU's access at the same time is a data race.
    Plain,
    Relaxed,
    Acquire,
    Release,
    /// A full fence before and after.
    Full,
}

/// A fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    Full,
    Read,
    Write,
}

/// A constant or a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(i32),
    Register(String),
}

/// What an atomic update does to the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    Swap,
    Add,
    Or,
    AndNot,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    Load {
        to: String,
        from: String,
        order: Order,
    },
    Store {
        to: String,
        value: Value,
        order: Order,
    },
    Fence(Fence),
    /// `to` gets the word as it was before, or as it is after.
    Update {
        to: Option<String>,
        word: String,
        update: Update,
        by: Value,
        is_after: bool,
        order: Order,
    },
    /// `to` gets the word as it was before.
    CompareExchange {
        to: String,
        word: String,
        old: i32,
        new: Value,
        order: Order,
    },
    If {
        register: String,
        is_equal: bool,
        number: i32,
        then: Vec<Statement>,
        otherwise: Vec<Statement>,
    },
}

/// What one CPU does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The words that it shares with others.
    pub words: Vec<String>,
    pub registers: Vec<String>,
    pub body: Vec<Statement>,
}

/// A test, without its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The words that are not zero at first.
    pub initial: Vec<(String, i32)>,
    pub processes: Vec<Process>,
    /// What must not come out: registers of processes, and their values.
    pub condition: String,
}

/// Reads a test: the text behind its head, with comments or without.
///
/// # Errors
///
/// What is not understood.
pub fn parse(text: &str) -> Result<Program> {
    let (code, condition) = text.rsplit_once("exists").context("has no `exists`")?;
    let mut tokens = Tokens::of(code);
    let mut initial = Vec::new();
    tokens.expect("{")?;
    while !tokens.take_if("}") {
        tokens.take_if("atomic_t");
        let word = tokens.next()?;
        tokens.expect("=")?;
        let is_wrapped = tokens.take_if("ATOMIC_INIT") && tokens.take_if("(");
        initial.push((word, tokens.number()?));
        if is_wrapped {
            tokens.expect(")")?;
        }
        tokens.expect(";")?;
    }
    let mut processes = Vec::new();
    while !tokens.is_empty() {
        tokens.expect(&format!("P{}", processes.len()))?;
        processes.push(process(&mut tokens)?);
    }
    let condition = condition.trim().to_owned();
    for (index, process) in processes.iter_mut().enumerate() {
        let mut read = HashSet::new();
        process.body.iter().for_each(|statement| statement.read(&mut read));
        read.extend(
            process.registers.iter().filter(|name| condition.contains(&format!("{index}:{name}="))).cloned(),
        );
        process.body.iter_mut().for_each(|statement| statement.forget(&read));
    }
    Ok(Program { initial, processes, condition })
}

fn process(tokens: &mut Tokens) -> Result<Process> {
    let mut words = Vec::new();
    tokens.expect("(")?;
    while !tokens.take_if(")") {
        let kind = tokens.next()?;
        ensure!(kind == "int" || kind == "atomic_t", "`{kind}` is no type of a word");
        tokens.expect("*")?;
        words.push(tokens.next()?);
        tokens.take_if(",");
    }
    let mut process = Process { words, registers: Vec::new(), body: Vec::new() };
    process.body = block(tokens, &mut process.registers)?;
    Ok(process)
}

/// `{ ... }`, or one statement.
fn block(tokens: &mut Tokens, registers: &mut Vec<String>) -> Result<Vec<Statement>> {
    let mut body = Vec::new();
    if tokens.take_if("{") {
        while !tokens.take_if("}") {
            statement(tokens, registers, &mut body)?;
        }
    } else {
        statement(tokens, registers, &mut body)?;
    }
    Ok(body)
}

fn statement(tokens: &mut Tokens, registers: &mut Vec<String>, body: &mut Vec<Statement>) -> Result<()> {
    match tokens.next()?.as_str() {
        "int" => registers.push(tokens.next()?),
        "if" => {
            tokens.expect("(")?;
            let register = tokens.next()?;
            let is_equal = match tokens.next()?.as_str() {
                "==" => true,
                "!=" => false,
                other => bail!("`{other}` is no comparison"),
            };
            let number = tokens.number()?;
            tokens.expect(")")?;
            let then = block(tokens, registers)?;
            let otherwise = if tokens.take_if("else") { block(tokens, registers)? } else { Vec::new() };
            body.push(Statement::If { register, is_equal, number, then, otherwise });
            return Ok(());
        }
        "*" => {
            let to = tokens.next()?;
            tokens.expect("=")?;
            body.push(Statement::Store { to, value: Value::of(&tokens.next()?), order: Order::Plain });
        }
        name if tokens.take_if("=") => {
            let to = name.to_owned();
            if tokens.take_if("*") {
                body.push(Statement::Load { to, from: tokens.next()?, order: Order::Plain });
            } else {
                let call = tokens.next()?;
                body.push(called(&call, &tokens.arguments()?, Some(to))?);
            }
        }
        name => {
            let name = name.to_owned();
            body.push(called(&name, &tokens.arguments()?, None)?);
        }
    }
    tokens.expect(";")
}

/// A call of a primitive, by its Linux name.
fn called(name: &str, arguments: &[String], to: Option<String>) -> Result<Statement> {
    let word = |index: usize| {
        let argument = arguments.get(index).with_context(|| format!("`{name}` lacks an argument"))?;
        Ok::<_, anyhow::Error>(argument.trim_start_matches('*').to_owned())
    };
    let value = |index: usize| word(index).map(|text| Value::of(&text));
    let result = || to.clone().with_context(|| format!("what `{name}` returns is not used"));
    let load = |order| Ok(Statement::Load { to: result()?, from: word(0)?, order });
    let store = |order| Ok(Statement::Store { to: word(0)?, value: value(1)?, order });
    match name {
        "READ_ONCE" | "atomic_read" => return load(Order::Relaxed),
        "smp_load_acquire" | "atomic_read_acquire" => return load(Order::Acquire),
        "WRITE_ONCE" | "atomic_set" => return store(Order::Relaxed),
        "smp_store_release" | "atomic_set_release" => return store(Order::Release),
        "smp_mb" | "smp_mb__before_atomic" | "smp_mb__after_atomic" => {
            return Ok(Statement::Fence(Fence::Full));
        }
        "smp_rmb" => return Ok(Statement::Fence(Fence::Read)),
        "smp_wmb" => return Ok(Statement::Fence(Fence::Write)),
        _ => {}
    }
    let (stem, order) = match name.rsplit_once('_') {
        Some((stem, "relaxed")) => (stem, Order::Relaxed),
        Some((stem, "acquire")) => (stem, Order::Acquire),
        Some((stem, "release")) => (stem, Order::Release),
        // What returns nothing orders nothing.
        _ if to.is_none() => (name, Order::Relaxed),
        _ => (name, Order::Full),
    };
    let update = |update, by, word, is_after| {
        Ok(Statement::Update { to: to.clone(), word, update, by, is_after, order })
    };
    let negated = |value: Value| match value {
        Value::Number(number) => Ok(Value::Number(-number)),
        Value::Register(_) => bail!("`{name}` takes numbers only"),
    };
    let one = || Value::Number(1);
    match stem {
        "xchg" | "atomic_xchg" => update(Update::Swap, value(1)?, word(0)?, false),
        "atomic_fetch_add" | "atomic_add" => update(Update::Add, value(0)?, word(1)?, false),
        "atomic_fetch_sub" | "atomic_sub" => update(Update::Add, negated(value(0)?)?, word(1)?, false),
        "atomic_fetch_or" | "atomic_or" => update(Update::Or, value(0)?, word(1)?, false),
        "atomic_fetch_andnot" | "atomic_andnot" => update(Update::AndNot, value(0)?, word(1)?, false),
        "atomic_inc" | "atomic_fetch_inc" => update(Update::Add, one(), word(0)?, false),
        "atomic_dec" | "atomic_fetch_dec" => update(Update::Add, negated(one())?, word(0)?, false),
        "atomic_inc_return" => update(Update::Add, one(), word(0)?, true),
        "atomic_dec_return" => update(Update::Add, negated(one())?, word(0)?, true),
        "atomic_sub_return" => update(Update::Add, negated(value(0)?)?, word(1)?, true),
        "cmpxchg" | "atomic_cmpxchg" => {
            let Value::Number(old) = value(1)? else { bail!("`{name}` compares with numbers only") };
            Ok(Statement::CompareExchange { to: result()?, word: word(0)?, old, new: value(2)?, order })
        }
        _ => bail!("`{name}` is no primitive that is known here"),
    }
}

impl Statement {
    /// The registers that it reads.
    fn read(&self, read: &mut HashSet<String>) {
        match self {
            Statement::Store { value: Value::Register(register), .. }
            | Statement::Update { by: Value::Register(register), .. }
            | Statement::CompareExchange { new: Value::Register(register), .. } => {
                read.insert(register.clone());
            }
            Statement::If { register, then, otherwise, .. } => {
                read.insert(register.clone());
                then.iter().chain(otherwise).for_each(|statement| statement.read(read));
            }
            _ => {}
        }
    }

    /// What an update returns is not asked for where its register is not `read`.
    fn forget(&mut self, read: &HashSet<String>) {
        match self {
            Statement::Update { to, .. } => *to = to.take().filter(|to| read.contains(to)),
            Statement::If { then, otherwise, .. } => {
                then.iter_mut().chain(otherwise).for_each(|statement| statement.forget(read));
            }
            _ => {}
        }
    }
}

impl Value {
    fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Value::Register(text.to_owned()), Value::Number)
    }
}
