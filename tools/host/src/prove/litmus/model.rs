//! The memory models that litmus tests are tried under.

use anyhow::{Context, Result};

use super::code::Program;
use super::{asm, c11};

/// A memory model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Model {
    /// x86-TSO.
    X86,
    /// Linux's own.
    Lkmm,
    /// C++20 as repaired: what Rust's atomics promise.
    Rc11,
    Armv8,
    RiscV,
}

impl Model {
    /// All of them, in the order of the columns.
    pub const ALL: [Model; 5] = [Model::X86, Model::Lkmm, Model::Rc11, Model::Armv8, Model::RiscV];

    /// As the heads of tests write it.
    pub fn name(self) -> &'static str {
        match self {
            Model::X86 => "x86",
            Model::Lkmm => "LKMM",
            Model::Rc11 => "RC11",
            Model::Armv8 => "Armv8",
            Model::RiscV => "RISC-V",
        }
    }

    /// The one of that name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|model| model.name() == name);
        found.with_context(|| format!("`{name}` is no memory model"))
    }

    /// The model's file, in herd7's library or in the folder of the tests. (Linux's own is a configuration of its own.)
    pub fn cat(self) -> &'static str {
        match self {
            Model::X86 => "x86.cat",
            Model::Lkmm => "linux-kernel.cat",
            Model::Rc11 => "rc11.cat",
            Model::Armv8 => "aarch64.cat",
            Model::RiscV => "riscv.cat",
        }
    }

    /// The test called `name`, in the language of this model. `text` is the same in Linux's C.
    ///
    /// # Errors
    ///
    /// What cannot be said in it.
    pub fn translate(self, name: &str, text: &str, program: &Program) -> Result<String> {
        let name = name.replace('/', "+");
        match self {
            Model::Lkmm => Ok(text.to_owned()),
            Model::Rc11 => c11::translate(&name, program),
            Model::X86 => asm::translate::<asm::x86::X86>(&name, program),
            Model::Armv8 => asm::translate::<asm::armv8::Armv8>(&name, program),
            Model::RiscV => asm::translate::<asm::riscv::RiscV>(&name, program),
        }
    }
}
