//! A kernel's symbols: which function an address lies in, and where a function or a variable is.
//!
//! They are what `/proc/kallsyms` says to root. A symbol ends where the next one begins.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};

/// The symbols of one kernel.
#[derive(Debug)]
pub struct Symbols {
    /// Of code alone, by address.
    code: Vec<(u64, String)>,
    /// All of them; the first of those with one name.
    all: HashMap<String, u64>,
    /// Where its code begins and ends.
    text: (u64, u64),
}

impl Symbols {
    /// Reads the text of `/proc/kallsyms`.
    ///
    /// # Errors
    ///
    /// If it names no code, or hides where that is.
    pub fn parse(text: &str) -> Result<Self> {
        let (mut code, mut all) = (Vec::new(), HashMap::new());
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let Ok(address) = u64::from_str_radix(address, 16) else { continue };
            if matches!(kind, "t" | "T" | "w" | "W") {
                code.push((address, name.to_owned()));
            }
            all.entry(name.to_owned()).or_insert(address);
        }
        ensure!(!code.is_empty(), "the kernel's /proc/kallsyms names no function");
        ensure!(code.iter().any(|(address, _)| *address != 0), "the kernel's /proc/kallsyms hides addresses");
        code.sort_by_key(|(address, _)| *address);
        let bound = |name: &str, other: u64| all.get(name).copied().unwrap_or(other);
        let text = (bound("_stext", code[0].0), bound("_etext", u64::MAX));
        Ok(Symbols { code, all, text })
    }

    /// Where a function or variable is.
    pub fn find(&self, name: &str) -> Option<u64> {
        self.all.get(name).copied()
    }

    /// The same, of what is needed.
    ///
    /// # Errors
    ///
    /// One line that names it, and what the kernel is to be built with.
    pub fn need(&self, name: &str, option: &str) -> Result<u64> {
        self.find(name).with_context(|| format!("the kernel has no symbol {name}; build it with {option}"))
    }

    /// The functions whose names begin so.
    pub fn beginning<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (&'s str, u64)> {
        let code = self.code.iter().filter(move |(_, name)| name.starts_with(prefix));
        code.map(|(address, name)| (name.as_str(), *address))
    }

    /// The function that an address lies in, and how far.
    pub fn function(&self, address: u64) -> Option<(&str, u64)> {
        if address < self.text.0 || address >= self.text.1 {
            return None;
        }
        let after = self.code.partition_point(|(start, _)| *start <= address);
        let start = self.code[..after].last()?.0;
        // Aliases: the first that kallsyms names.
        let first = self.code.partition_point(|(address, _)| *address < start);
        Some((self.code[first].1.as_str(), address - start))
    }

    /// An address in words.
    pub fn say(&self, address: u64) -> String {
        match self.function(address) {
            Some((name, 0)) => name.to_owned(),
            Some((name, offset)) => format!("{name}+{offset:#x}"),
            None => format!("{address:#x}"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const TEXT: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000100 t collapse_huge_page
ffffffff81000100 t alias_of_it
ffffffff81000200 T tlb_remove_table_sync_one
ffffffff81000240 T tlb_remove_table_sync_rcu
ffffffff81000300 T flush_tlb_mm_range
ffffffff81000400 T _etext
ffffffff82000000 D page_offset_base
ffffffff82000008 d collapse_huge_page
ffffffffc0000000 t of_a_module\t[module]
";

    #[test]
    fn an_address_lies_in_the_function_before_it() -> Result<()> {
        let symbols = Symbols::parse(TEXT)?;
        for (address, words) in [
            (0xffff_ffff_8100_0100, "collapse_huge_page"),
            (0xffff_ffff_8100_01ff, "collapse_huge_page+0xff"),
            (0xffff_ffff_8100_0241, "tlb_remove_table_sync_rcu+0x1"),
            // Data, user memory, and what lies beyond the code.
            (0xffff_ffff_8200_0001, "0xffffffff82000001"),
            (0x40_1000, "0x401000"),
            (0xffff_ffff_8100_0400, "0xffffffff81000400"),
        ] {
            assert_eq!(symbols.say(address), words);
        }
        Ok(())
    }

    #[test]
    fn what_is_needed_is_found_or_named() -> Result<()> {
        let symbols = Symbols::parse(TEXT)?;
        assert_eq!(symbols.find("collapse_huge_page"), Some(0xffff_ffff_8100_0100));
        let syncs: Vec<_> = symbols.beginning("tlb_remove_table_sync").map(|(name, _)| name).collect();
        assert_eq!(syncs, ["tlb_remove_table_sync_one", "tlb_remove_table_sync_rcu"]);
        let error = symbols.need("steal_time", "CONFIG_KVM_GUEST").expect_err("it is not there");
        assert_eq!(error.to_string(), "the kernel has no symbol steal_time; build it with CONFIG_KVM_GUEST");
        Ok(())
    }

    #[test]
    fn kallsyms_that_say_nothing_are_an_error() {
        for (text, fault) in [
            ("", "names no function"),
            ("0000000000000000 T _stext\n0000000000000000 t f\n", "hides addresses"),
        ] {
            assert!(Symbols::parse(text).expect_err(text).to_string().contains(fault));
        }
    }
}
