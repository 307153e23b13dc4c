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

#[cfg(test)]
mod tests {
    use super::super::code;
    use super::*;

    const TEXT: &str = "
{
	pmd=1;
}

P0(int *pmd, atomic_t *word, int *table)
{
	int r0;
	int r1;

	WRITE_ONCE(*pmd, 0); // clear
	smp_mb(); // F1
	r1 = atomic_fetch_add_release(2, word);
	r0 = smp_load_acquire(pmd);
	if (r0 == 0) {
		*table = 1;
	} else
		smp_store_release(pmd, 3);
}

P1(atomic_t *word, int *table)
{
	int r0;

	r0 = atomic_cmpxchg_acquire(word, 2, 5);
	if (r0 != 2)
		r0 = *table;
}

exists (1:r0=1)
";

    fn translated(model: Model) -> String {
        model.translate("a/b", TEXT, &code::parse(TEXT).expect("it is right")).expect("it can be said")
    }

    #[test]
    fn linux_keeps_its_text() {
        assert_eq!(translated(Model::Lkmm), TEXT);
    }

    #[test]
    fn c11_has_fences_and_orders() {
        let wanted = "\
C a+b
{ pmd=1; expected0=2; }

P0(atomic_int *pmd, atomic_int *word, int *table)
{
  int r0;
  int r1;
  atomic_store_explicit(pmd, 0, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst);
  int s1 = atomic_fetch_add_explicit(word, 2, memory_order_release);
  r0 = atomic_load_explicit(pmd, memory_order_acquire);
  if (r0 == 0) {
    *table = 1;
  } else {
    atomic_store_explicit(pmd, 3, memory_order_release);
  }
}
";
        let error = Model::Rc11.translate("a/b", TEXT, &code::parse(TEXT).expect("it is right"));
        let error = error.expect_err("1:r0 is looked at").to_string();
        assert!(error.ends_with("is the result of a compare-exchange, which C11 does not return"), "{error}");
        let text = TEXT.replace("r0 = *table", "r1 = *table").replace("1:r0=1", "1:r1=1");
        let text =
            text.replace("int r0;\n\n\tr0 = atomic_cmpxchg", "int r0;\n\tint r1;\n\n\tr0 = atomic_cmpxchg");
        let program = code::parse(&text).expect("it is right");
        let text = Model::Rc11.translate("a/b", &text, &program).expect("it can be said");
        assert!(text.starts_with(wanted), "{text}");
        let exchange = "r0 = atomic_compare_exchange_strong_explicit(word, expected0, 5, memory_order_acquire, \
                        memory_order_relaxed);\n  if (r0 == 0) {";
        assert!(text.contains(exchange), "{text}");
    }

    #[test]
    fn assembly_has_the_instructions_of_linux() {
        let lines = |model: Model| {
            let text = translated(model);
            let cells = text.lines().flat_map(|line| line.trim_end_matches(';').split('|'));
            cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        };
        for (model, wanted) in [
            (
                Model::X86,
                vec!["mfence", "lock addl $2, (word)", "lock cmpxchgl (word), %edx", "exists (1:rbx=1)"],
            ),
            (
                Model::Armv8,
                vec![
                    "DMB SY",
                    "LDADDL W10,W11,[X15]",
                    "LDAPR W0,[X14]",
                    "LDAXR W0,[X14]",
                    "STXR W12,W10,[X14]",
                ],
            ),
            (
                Model::RiscV,
                vec![
                    "fence rw,rw",
                    "amoadd.w.rl x16,x15,(x19)",
                    "fence r,rw",
                    "lr.w.aq x5,(x18)",
                    "exists (1:x5=1)",
                ],
            ),
        ] {
            let lines = lines(model);
            for line in wanted {
                assert!(lines.iter().any(|found| found == line), "{}: no {line} in {lines:#?}", model.name());
            }
        }
    }
}
