//! Which flush, sync or call of other CPUs the mutator is in.
//!
//! # Guarantee
//!
//! A call is open from the stop at the function's first instruction to the stop at the address that it returns to, with the
//! stack as it was: no stale word of the stack counts. A function that ends by jumping to another (as
//! `tlb_remove_table_sync_one()` may to `smp_call_function()`) is open until that one returns.

use std::fmt;

use super::symbols::Symbols;

/// What the names of functions that sync begin with.
pub const SYNC: &str = "tlb_remove_table_sync";
/// The function that a sync has others call.
const SYNC_CALL: &str = "tlb_remove_table_smp_sync";
/// Waits until each CPU has been outside all walks. It sleeps.
const GRACE_PERIOD: &str = "synchronize_rcu";
/// The functions that flush.
const FLUSHES: [&str; 2] = ["flush_tlb_mm_range", "arch_tlbbatch_flush"];
/// The function that a flush has others call.
const FLUSH_CALL: &str = "flush_tlb_func";
/// The function that stands for the instruction, where it is emulated.
pub const INVLPGB: &str = "emulate_invlpgb";
/// The functions that have other CPUs call their second argument, and may wait for it.
const CALLS: [&str; 2] = ["smp_call_function_many_cond", "smp_call_function_single"];

/// The functions whose calls are followed: the address of each, and whether its second argument is a function.
pub fn followed(symbols: &Symbols) -> Vec<(u64, bool)> {
    let named = |names: &[&str], calls: bool| -> Vec<_> {
        names.iter().filter_map(|name| symbols.find(name)).map(|address| (address, calls)).collect()
    };
    let syncs = symbols.beginning(SYNC).map(|(_, address)| (address, false));
    let mut all: Vec<_> = syncs.chain(named(&FLUSHES, false)).chain(named(&[GRACE_PERIOD], false)).collect();
    all.extend(named(&[INVLPGB], false));
    all.extend(named(&CALLS, true));
    all
}

/// An open call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function that was called.
    pub function: String,
    /// The function that it has other CPUs call.
    pub asks_for: Option<String>,
    /// Where its return address is.
    pub stack: u64,
    /// Its return address.
    pub back: u64,
}

/// What an operation waits in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Of what kind it is.
    pub kind: Kind,
    /// The function.
    pub function: String,
}

/// Kinds of waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// For the answers to a flush.
    Flush,
    /// For the answers to a sync, or the end of a grace period in its place.
    Sync,
    /// For something else.
    Other,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)
    }
}

/// By what a task has flushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// By calls of other CPUs.
    pub by_calls: bool,
    /// By INVLPGB, emulated.
    pub by_invlpgb: bool,
}

/// All open calls, the outermost first.
#[derive(Debug, Default)]
pub struct Calls {
    open: Vec<Call>,
    flushed: Flushed,
}

impl Calls {
    /// A function was entered.
    pub fn enter(&mut self, call: Call) {
        let (is_invlpgb, is_call) = (call.function == INVLPGB, call.asks_for.as_deref() == Some(FLUSH_CALL));
        self.open.push(call);
        let is_flush = self.wait().is_some_and(|wait| wait.kind == Kind::Flush);
        self.flushed.by_invlpgb |= is_flush && is_invlpgb;
        self.flushed.by_calls |= is_call;
    }

    /// By what it has flushed.
    pub fn flushed(&self) -> Flushed {
        self.flushed
    }

    /// The stack is as it is after a return: calls whose return address was below are over.
    pub fn come_back(&mut self, stack: u64) {
        self.open.retain(|call| call.stack >= stack);
    }

    /// Whether an open call returns there.
    pub fn return_to(&self, address: u64) -> bool {
        self.open.iter().any(|call| call.back == address)
    }

    /// What a wait here is: of the outermost flush or sync, else of the outermost call.
    pub fn wait(&self) -> Option<Wait> {
        let kind = |call: &Call| {
            let asks = |name| call.asks_for.as_deref() == Some(name);
            if call.function.starts_with(SYNC) || call.function == GRACE_PERIOD || asks(SYNC_CALL) {
                Kind::Sync
            } else if FLUSHES.contains(&call.function.as_str()) || asks(FLUSH_CALL) {
                Kind::Flush
            } else {
                Kind::Other
            }
        };
        let known = self.open.iter().find(|call| kind(call) != Kind::Other);
        let call = known.or(self.open.first())?;
        let function = match (kind(call), &call.asks_for) {
            (Kind::Other, Some(asks_for)) => format!("{}({asks_for})", call.function),
            _ => call.function.clone(),
        };
        Some(Wait { kind: kind(call), function })
    }

    /// All of them in words.
    pub fn say(&self) -> String {
        let words = self.open.iter().map(|call| match &call.asks_for {
            Some(asks_for) => format!("{}({asks_for})", call.function),
            None => call.function.clone(),
        });
        words.collect::<Vec<_>>().join(" > ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::check::symbols::tests::TEXT;

    fn call(function: &str, asks_for: Option<&str>, stack: u64, back: u64) -> Call {
        Call { function: function.into(), asks_for: asks_for.map(str::to_owned), stack, back }
    }

    fn waits(calls: &Calls) -> Option<(Kind, String)> {
        calls.wait().map(|wait| (wait.kind, wait.function))
    }

    #[test]
    fn a_flush_that_is_over_is_not_waited_in() {
        let mut calls = Calls::default();
        calls.enter(call("flush_tlb_mm_range", None, 0x9f00, 1));
        calls.enter(call("smp_call_function_many_cond", Some("flush_tlb_func"), 0x9e00, 2));
        assert_eq!(waits(&calls), Some((Kind::Flush, "flush_tlb_mm_range".into())));
        calls.come_back(0x9e08);
        assert_eq!(calls.say(), "flush_tlb_mm_range");
        calls.come_back(0x9f08);
        assert_eq!(waits(&calls), None);
    }

    #[test]
    fn a_sync_that_jumps_to_its_call_is_open_until_that_returns() {
        let mut calls = Calls::default();
        calls.enter(call("tlb_remove_table_sync_one", None, 0x9f00, 1));
        calls.enter(call("smp_call_function_many_cond", Some("tlb_remove_table_smp_sync"), 0x9f00, 1));
        assert!(calls.return_to(1) && !calls.return_to(2));
        assert_eq!(waits(&calls), Some((Kind::Sync, "tlb_remove_table_sync_one".into())));
        calls.come_back(0x9f08);
        assert_eq!(waits(&calls), None);
    }

    #[test]
    fn an_inlined_flush_or_sync_is_known_by_what_it_asks_for_and_else_it_is_neither() {
        for (asks_for, kind, name) in [
            ("flush_tlb_func", Kind::Flush, "smp_call_function_many_cond"),
            ("tlb_remove_table_smp_sync", Kind::Sync, "smp_call_function_many_cond"),
            ("do_sync_core", Kind::Other, "smp_call_function_many_cond(do_sync_core)"),
        ] {
            let mut calls = Calls::default();
            calls.enter(call("smp_call_function_many_cond", Some(asks_for), 0x9e00, 2));
            assert_eq!(waits(&calls), Some((kind, name.into())));
        }
    }

    #[test]
    fn what_a_flush_is_made_of_is_told_from_the_calls_of_others() {
        let flush = |inside: Option<Call>| {
            let mut calls = Calls::default();
            calls.enter(call("flush_tlb_mm_range", None, 0x9f00, 1));
            inside.into_iter().for_each(|call| calls.enter(call));
            calls.flushed()
        };
        let flushed = |by_calls, by_invlpgb| Flushed { by_calls, by_invlpgb };
        assert_eq!(flush(None), flushed(false, false));
        assert_eq!(flush(Some(call("emulate_invlpgb", None, 0x9e00, 2))), flushed(false, true));
        let asks = |asks_for| call("smp_call_function_many_cond", Some(asks_for), 0x9e00, 2);
        assert_eq!(flush(Some(asks("flush_tlb_func"))), flushed(true, false));
        assert_eq!(flush(Some(asks("do_sync_core"))), flushed(false, false));
        // INVLPGB for the kernel's own pages is no flush of the process.
        let mut calls = Calls::default();
        calls.enter(call("emulate_invlpgb", None, 0x9e00, 2));
        assert_eq!(calls.flushed(), flushed(false, false));
    }

    #[test]
    fn every_function_that_syncs_is_followed() {
        let symbols = Symbols::parse(TEXT).expect("symbols");
        let followed: Vec<_> = followed(&symbols).into_iter().map(|(at, _)| symbols.say(at)).collect();
        let expected = ["tlb_remove_table_sync_one", "tlb_remove_table_sync_rcu", "flush_tlb_mm_range"];
        assert_eq!(followed, expected);
    }
}
