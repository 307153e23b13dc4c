//! Armv8, as Linux and rustc compile for it: `ldapr` and `stlr`; atomics of one instruction, but for compare-exchange, of which
//! herd7 has fewer executions to try with a pair of exclusives.

use super::{AddressRegisters, Architecture, Lines, Operand};
use crate::prove::litmus::code::{Fence, Order, Update};

pub struct Armv8(AddressRegisters);

impl Armv8 {
    fn address(&self, word: &str) -> String {
        format!("[{}]", self.0.of(word))
    }

    /// A register that holds the value.
    fn held(operand: &Operand, out: &mut Lines) -> &'static str {
        match operand {
            Operand::Number(number) => {
                out.push(format!("MOV W10,#{number}"));
                "W10"
            }
            Operand::Register(register) => register,
        }
    }
}

fn suffix(order: Order) -> &'static str {
    match order {
        Order::Plain | Order::Relaxed => "",
        Order::Acquire => "A",
        Order::Release => "L",
        Order::Full => "AL",
    }
}

impl Architecture for Armv8 {
    const NAME: &'static str = "AArch64";
    const REGISTERS: &'static [(&'static str, &'static str)] = &[
        ("W0", "X0"),
        ("W1", "X1"),
        ("W2", "X2"),
        ("W3", "X3"),
        ("W4", "X4"),
        ("W5", "X5"),
        ("W6", "X6"),
        ("W7", "X7"),
    ];

    fn new(words: &[String]) -> Self {
        Armv8(AddressRegisters::new(words, 'X', 14))
    }

    fn initial(&self, process: usize) -> String {
        self.0.initial(process)
    }

    fn load(&self, to: &str, from: &str, order: Order, out: &mut Lines) {
        let instruction = if order == Order::Acquire { "LDAPR" } else { "LDR" };
        out.push(format!("{instruction} {to},{}", self.address(from)));
    }

    fn store(&self, to: &str, value: &Operand, order: Order, out: &mut Lines) {
        let value = Self::held(value, out);
        let instruction = if order == Order::Release { "STLR" } else { "STR" };
        out.push(format!("{instruction} {value},{}", self.address(to)));
    }

    fn fence(&self, fence: Fence, out: &mut Lines) {
        out.push(match fence {
            Fence::Full => "DMB SY",
            Fence::Read => "DMB LD",
            Fence::Write => "DMB ST",
        });
    }

    fn update(
        &self,
        to: Option<&str>,
        word: &str,
        update: Update,
        by: &Operand,
        order: Order,
        out: &mut Lines,
    ) {
        let by = Self::held(by, out);
        let instruction = match update {
            Update::Swap => "SWP",
            Update::Add => "LDADD",
            Update::Or => "LDSET",
            Update::AndNot => "LDCLR",
        };
        let to = to.unwrap_or("W11");
        out.push(format!("{instruction}{} {by},{to},{}", suffix(order), self.address(word)));
    }

    fn compare_exchange(&self, to: &str, word: &str, old: i32, new: &Operand, order: Order, out: &mut Lines) {
        let new = Self::held(new, out);
        let (acquire, release) = match order {
            Order::Plain | Order::Relaxed => ("", ""),
            Order::Acquire => ("A", ""),
            Order::Release | Order::Full => ("", "L"),
        };
        let (address, differs) = (self.address(word), out.label());
        out.push(format!("LD{acquire}XR {to},{address}"));
        out.push(format!("CMP {to},#{old}"));
        out.push(format!("B.NE {differs}"));
        out.push(format!("ST{release}XR W12,{new},{address}"));
        // A store-exclusive that fails is tried again; here its execution ends.
        out.push(format!("CBNZ W12,{}", out.end()));
        if order == Order::Full {
            out.push("DMB SY");
        }
        out.push(format!("{differs}:"));
    }

    fn add(&self, to: &str, number: i32, out: &mut Lines) {
        let instruction = if number < 0 { "SUB" } else { "ADD" };
        out.push(format!("{instruction} {to},{to},#{}", number.abs()));
    }

    fn branch_unless(&self, register: &str, is_equal: bool, number: i32, label: &str, out: &mut Lines) {
        out.push(format!("CMP {register},#{number}"));
        out.push(format!("B.{} {label}", if is_equal { "NE" } else { "EQ" }));
    }

    fn jump(label: &str) -> String {
        format!("B {label}")
    }
}
