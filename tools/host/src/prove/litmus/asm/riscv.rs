//! RISC-V, as Linux and rustc compile for it: fences beside accesses that acquire or release, AMOs with their own bits.

use super::{AddressRegisters, Architecture, Lines, Operand};
use crate::prove::litmus::code::{Fence, Order, Update};

pub struct RiscV(AddressRegisters);

impl RiscV {
    fn address(&self, word: &str) -> String {
        format!("({})", self.0.of(word))
    }

    /// A register that holds the value.
    fn held(operand: &Operand, out: &mut Lines) -> &'static str {
        match operand {
            Operand::Number(number) => {
                out.push(format!("addi x15,x0,{number}"));
                "x15"
            }
            Operand::Register(register) => register,
        }
    }
}

fn suffix(order: Order) -> &'static str {
    match order {
        Order::Plain | Order::Relaxed => "",
        Order::Acquire => ".aq",
        Order::Release => ".rl",
        Order::Full => ".aqrl",
    }
}

impl Architecture for RiscV {
    const NAME: &'static str = "RISCV";
    const REGISTERS: &'static [(&'static str, &'static str)] = &[
        ("x5", "x5"),
        ("x6", "x6"),
        ("x7", "x7"),
        ("x8", "x8"),
        ("x9", "x9"),
        ("x10", "x10"),
        ("x11", "x11"),
        ("x12", "x12"),
    ];

    fn new(words: &[String]) -> Self {
        RiscV(AddressRegisters::new(words, 'x', 18))
    }

    fn initial(&self, process: usize) -> String {
        self.0.initial(process)
    }

    fn load(&self, to: &str, from: &str, order: Order, out: &mut Lines) {
        out.push(format!("lw {to},0{}", self.address(from)));
        if order == Order::Acquire {
            out.push("fence r,rw");
        }
    }

    fn store(&self, to: &str, value: &Operand, order: Order, out: &mut Lines) {
        let value = Self::held(value, out);
        if order == Order::Release {
            out.push("fence rw,w");
        }
        out.push(format!("sw {value},0{}", self.address(to)));
    }

    fn fence(&self, fence: Fence, out: &mut Lines) {
        out.push(match fence {
            Fence::Full => "fence rw,rw",
            Fence::Read => "fence r,r",
            Fence::Write => "fence w,w",
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
        let (instruction, by) = match (update, by) {
            (Update::AndNot, Operand::Number(number)) => ("amoand.w", &Operand::Number(!number)),
            (Update::AndNot | Update::Or, by) => ("amoor.w", by),
            (Update::Swap, by) => ("amoswap.w", by),
            (Update::Add, by) => ("amoadd.w", by),
        };
        let by = Self::held(by, out);
        let to = to.unwrap_or("x16");
        out.push(format!("{instruction}{} {to},{by},{}", suffix(order), self.address(word)));
    }

    fn compare_exchange(&self, to: &str, word: &str, old: i32, new: &Operand, order: Order, out: &mut Lines) {
        let new = Self::held(new, out);
        let (acquire, release) = match order {
            Order::Plain | Order::Relaxed => ("", ""),
            Order::Acquire => (".aq", ""),
            Order::Release | Order::Full => ("", ".rl"),
        };
        let (address, differs) = (self.address(word), out.label());
        out.push(format!("addi x16,x0,{old}"));
        out.push(format!("lr.w{acquire} {to},{address}"));
        out.push(format!("bne {to},x16,{differs}"));
        out.push(format!("sc.w{release} x17,{new},{address}"));
        // A store-conditional that fails is tried again; here its execution ends.
        out.push(format!("bne x17,x0,{}", out.end()));
        if order == Order::Full {
            out.push("fence rw,rw");
        }
        out.push(format!("{differs}:"));
    }

    fn add(&self, to: &str, number: i32, out: &mut Lines) {
        out.push(format!("addi {to},{to},{number}"));
    }

    fn branch_unless(&self, register: &str, is_equal: bool, number: i32, label: &str, out: &mut Lines) {
        out.push(format!("addi x16,x0,{number}"));
        out.push(format!("{} {register},x16,{label}", if is_equal { "bne" } else { "beq" }));
    }

    fn jump(label: &str) -> String {
        format!("beq x0,x0,{label}")
    }
}
