//! Arguments of `linux check`.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::args::bounds::number;
use crate::args::kernel::KernelArgs;
use crate::args::named::{Named, in_list};
use crate::linux::check::round::Test;

/// How the kernel flushes translations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// By interrupts.
    Ipi,
    /// As a guest of KVM: a preempted vCPU is left to the hypervisor.
    Pv,
    /// By INVLPGB, of a global ASID, which step t of the series emulates.
    Invlpgb,
}

impl Flush {
    /// All, with their names.
    pub const ALL: [(&'static str, Flush); 3] =
        [("ipi", Flush::Ipi), ("pv", Flush::Pv), ("invlpgb", Flush::Invlpgb)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, flush)| *flush == self).map_or("", |(name, _)| name)
    }
}

/// Some of what has names, in the order in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<T>(pub Vec<T>);

fn choose<T: Copy + PartialEq>(all: &[(&'static str, T)], text: &str) -> Result<Chosen<T>, String> {
    let mut chosen = Vec::new();
    for word in text.split(',') {
        let found = all.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        let value = found.ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
            format!("there is no {word:?}; use {}", names.join(", "))
        })?;
        if chosen.contains(&value) {
            return Err(format!("names {word} twice; name each once"));
        }
        chosen.push(value);
    }
    Ok(Chosen(chosen))
}

impl FromStr for Chosen<Test> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        choose(&Test::ALL, text)
    }
}

impl FromStr for Chosen<Flush> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        choose(&Flush::ALL, text)
    }
}

fn names<T>(all: &[(&'static str, T)]) -> Vec<&'static str> {
    all.iter().map(|(name, _)| *name).collect()
}

/// Arguments of `linux check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The kernel to look at.
    #[command(flatten)]
    pub boot: KernelArgs,
    /// What is tested, separated by commas: a collapse; a process that leaves a shared PMD table; two that leave it, the
    /// walker being of the first; the same, with the memory reused while the walker is inside.
    #[arg(
        long,
        value_name = "t,t,...",
        default_value = "collapse,unshare,three,leak",
        value_parser = Named { names: names(&Test::ALL), read: str::parse::<Chosen<Test>> },
        add = in_list(names(&Test::ALL))
    )]
    pub test: Chosen<Test>,
    /// How translations are flushed, separated by commas: by interrupts; as a guest of KVM, whose vCPU is preempted; by
    /// INVLPGB, on a kernel with step t of the series.
    #[arg(
        long,
        value_name = "f,f,...",
        default_value = "ipi,pv",
        value_parser = Named { names: names(&Flush::ALL), read: str::parse::<Chosen<Flush>> },
        add = in_list(names(&Flush::ALL))
    )]
    pub flush: Chosen<Flush>,
    /// How often each operation is done with a walker held.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = number::<1, 100_000>)]
    pub rounds: u64,
    /// Do each test again with the sync made a no-op, and see that missed where no flush stands in for it.
    #[arg(long)]
    pub self_test: bool,
    /// Print every round, and every line of the console, on standard error.
    #[arg(long)]
    pub verbose: bool,
    /// Stop a boot after so many seconds: what was not told by then is inconclusive.
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = number::<1, { 7 * 24 * 60 * 60 }>)]
    pub timeout: u64,
}

impl CheckArgs {
    /// The hard limit of a boot.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_known_and_named_once() {
        assert_eq!("leak,collapse".parse(), Ok(Chosen(vec![Test::Leak, Test::Collapse])));
        let error = "pv,pv".parse::<Chosen<Flush>>();
        assert_eq!(error, Err("names pv twice; name each once".to_owned()));
        for text in ["", "ipi,", "nmi"] {
            let error = text.parse::<Chosen<Flush>>().expect_err(text);
            assert!(error.ends_with("; use ipi, pv, invlpgb"), "{error}");
        }
    }
}
