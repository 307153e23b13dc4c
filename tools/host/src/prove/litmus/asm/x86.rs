//! x86-64: accesses are in order but for a store and a later load; what is locked is a full fence.

use super::{Architecture, Lines, Operand};
use crate::prove::litmus::code::{Fence, Order, Update};

pub struct X86;

fn operand(operand: &Operand) -> String {
    match operand {
        Operand::Number(number) => format!("${number}"),
        Operand::Register(register) => format!("%{register}"),
    }
}

impl Architecture for X86 {
    const NAME: &'static str = "X86_64";
    const REGISTERS: &'static [(&'static str, &'static str)] = &[
        ("ebx", "rbx"),
        ("ecx", "rcx"),
        ("esi", "rsi"),
        ("edi", "rdi"),
        ("r8d", "r8"),
        ("r9d", "r9"),
        ("r10d", "r10"),
        ("r11d", "r11"),
    ];

    fn new(_: &[String]) -> Self {
        X86
    }

    fn initial(&self, _: usize) -> String {
        String::new()
    }

    fn load(&self, to: &str, from: &str, _: Order, out: &mut Lines) {
        out.push(format!("movl ({from}), %{to}"));
    }

    fn store(&self, to: &str, value: &Operand, _: Order, out: &mut Lines) {
        out.push(format!("movl {}, ({to})", operand(value)));
    }

    fn fence(&self, fence: Fence, out: &mut Lines) {
        if fence == Fence::Full {
            out.push("mfence");
        }
    }

    /// herd7 has no `lock or`, nor `and`: a bit that is set was clear, and one that is cleared was set. Nor has it `xadd`:
    /// where the old value is asked for, a `cmpxchg` that succeeds, or the execution ends.
    fn update(&self, to: Option<&str>, word: &str, update: Update, by: &Operand, _: Order, out: &mut Lines) {
        let by_text = match (update, by) {
            (Update::AndNot, Operand::Number(number)) => format!("${}", -number),
            _ => operand(by),
        };
        let instruction = match update {
            Update::Swap => {
                out.push(format!("movl {by_text}, %eax"));
                out.push(format!("xchgl %eax, ({word})"));
                if let Some(to) = to {
                    out.push(format!("movl %eax, %{to}"));
                }
                return;
            }
            Update::Add | Update::Or | Update::AndNot => "addl",
        };
        let Some(to) = to else {
            out.push(format!("lock addl {by_text}, ({word})"));
            return;
        };
        out.push(format!("movl ({word}), %eax"));
        out.push("movl %eax, %edx");
        out.push(format!("{instruction} {by_text}, %edx"));
        out.push(format!("lock cmpxchgl ({word}), %edx"));
        out.push(format!("jne {}", out.end()));
        out.push(format!("movl %eax, %{to}"));
    }

    fn compare_exchange(&self, to: &str, word: &str, old: i32, new: &Operand, _: Order, out: &mut Lines) {
        out.push(format!("movl ${old}, %eax"));
        out.push(format!("movl {}, %edx", operand(new)));
        out.push(format!("lock cmpxchgl ({word}), %edx"));
        out.push(format!("movl %eax, %{to}"));
    }

    fn add(&self, to: &str, number: i32, out: &mut Lines) {
        out.push(format!("addl ${number}, %{to}"));
    }

    fn branch_unless(&self, register: &str, is_equal: bool, number: i32, label: &str, out: &mut Lines) {
        out.push(format!("cmpl ${number}, %{register}"));
        out.push(format!("{} {label}", if is_equal { "jne" } else { "je" }));
    }

    fn jump(label: &str) -> String {
        format!("jmp {label}")
    }
}
