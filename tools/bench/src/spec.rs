//! What to run, as data: the kernel's command line, one `key=value` for each field. Several comparisons for one
//! boot are separated by `;`.
//!
//! The host writes it ([`Spec`]'s `Display`), the kernel reads it (`FromStr`); what one does not know, the other
//! refuses by name.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::cast::Cast;
pub use crate::choice::*;
use gupsync::config::{FlushConfig, FreedTables};

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number that fits"))
}

fn name<N: FromStr<Err = String>>(text: &str) -> Result<N, String> {
    text.parse()
}

macro_rules! spec {
    ($($(#[$doc:meta])* $key:ident: $type:ty = $default:expr, $parse:path;)+) => {
        /// A comparison: one workload under some policies.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Spec { $($(#[$doc])* pub $key: $type),+ }

        impl Default for Spec {
            fn default() -> Self {
                Spec { $($key: $default),+ }
            }
        }

        /// What differs from the default, and the workload and the policies always.
        impl fmt::Display for Spec {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "workload={} policy={}", self.workload, self.policy)?;
                let default = Spec { workload: self.workload, policy: self.policy.clone(), ..Spec::default() };
                $(if self.$key != default.$key {
                    write!(f, concat!(" ", stringify!($key), "={}"), self.$key)?;
                })+
                Ok(())
            }
        }

        impl FromStr for Spec {
            type Err = String;

            fn from_str(line: &str) -> Result<Self, String> {
                let mut spec = Spec::default();
                for word in line.split_whitespace() {
                    let (key, value) =
                        word.split_once('=').ok_or_else(|| format!("`{word}` is not of the form key=value"))?;
                    match key {
                        $(stringify!($key) => {
                            spec.$key = $parse(value).map_err(|error: String| format!("{key}: {error}"))?;
                        })+
                        _ => return Err(format!("`{key}` is no key; see `limine.conf` for examples")),
                    }
                }
                Ok(spec)
            }
        }
    };
}

spec! {
    /// What is done.
    workload: Workload = Workload::Collapse, name;
    /// The policies, in order.
    policy: List<PolicyName> = PolicyName::safe(), name;
    /// Whether INVLPGB is used.
    invlpgb: Toggle = Toggle::Off, name;
    /// Who carries it out.
    backend: Backend = Backend::Auto, name;
    /// How many CPUs must run an mm before it is given a global ASID.
    threshold: usize = 4, number;
    /// How many global ASIDs there are. Linux has 4096 PCIDs, less the few that its local ASIDs take.
    asids: usize = 4080, number;
    /// The most pages that one INVLPGB takes: by default what the CPU says, or 8 where it is emulated.
    invlpgb_max: u64 = 0, number;
    /// How an mm without a global ASID is flushed.
    flush: Flush = Flush::Ipi, name;
    /// How an unshare flushes.
    unshare_flush: UnshareFlush = UnshareFlush::Mainline, name;
    /// How often a plain flush goes to CPUs that have another mm loaded, to trim the cpumask.
    trim: Maybe<Every> = Maybe(None), name;
    /// How many CPUs run the mm.
    mm_cpus: usize = 4, number;
    /// Where the mutator stands.
    mutator: Mutator = Mutator::Inside, name;
    /// How many CPUs have the mm loaded lazily when counting begins.
    lazy: usize = 0, number;
    /// How many CPUs have run the mm and have another one loaded when counting begins.
    stale: usize = 0, number;
    /// How many of the CPUs that run the mm are vCPUs that are preempted when they are held inside a walk.
    preempted: usize = 0, number;
    /// How many CPUs run nothing and record what interrupts them.
    isolated: usize = 0, number;
    /// How many walkers are held inside a walk in one operation of four.
    hold: usize = 1, number;
    /// Whether walkers are woken before every operation, to race with it; else only where some are held inside.
    eager: Toggle = Toggle::Off, name;
    /// Whether walkers go lazy between two turns.
    naps: Toggle = Toggle::Off, name;
    /// How many CPUs alternate between mms, walking and being lazy.
    switchers: usize = 0, number;
    /// How many CPUs flush an mm that somebody else works on.
    flushers: usize = 0, number;
    /// How many tables an operation unlinks.
    tables: u64 = 1, number;
    /// How many pages and tables a gather holds; 0 is one for which there was no memory. Linux has 510 in a page.
    gather: usize = 510, number;
    /// How many mms share the tables that are unshared.
    sharers: usize = 3, number;
    /// Whether the steps of those who leave and join shared tables are interleaved.
    interleave: Toggle = Toggle::Off, name;
    /// Whether the steps of an operation run on different CPUs.
    migrate: Toggle = Toggle::Off, name;
    /// Which operations `mixed` does, in turn.
    operations: List<Kind> = List(Kind::ALL.to_vec()), name;
    /// How many operations are counted.
    ops: u64 = 1000, number;
    /// Draws who is held, who goes first, and where walkers walk.
    seed: u64 = 1, number;
    /// A way to fail on purpose.
    fail: Maybe<Fail> = Maybe(None), name;
}

/// The most tables that one operation unlinks.
pub const MAX_TABLES: u64 = 4;
/// The most mms that share a table.
pub const MAX_SHARERS: usize = 6;

impl Spec {
    /// How the world of this comparison flushes.
    pub fn flush_config(&self) -> FlushConfig {
        FlushConfig {
            invlpgb: self.invlpgb.is_on(),
            threshold: self.threshold,
            asids: self.asids,
            hypercall: self.flush == Flush::Hypercall || self.workload == Workload::Mixed,
            unshare_flush: match self.unshare_flush {
                UnshareFlush::Mainline => FreedTables::No,
                UnshareFlush::Series => FreedTables::Yes,
            },
        }
    }

    /// The operations of the workload, in turn.
    pub fn kinds(&self) -> &[Kind] {
        match self.workload {
            Workload::Mixed => &self.operations,
            Workload::Unshare => &[Kind::Unshare],
            Workload::Unmap => &[Kind::Unmap],
            Workload::Protect => &[Kind::Protect],
            Workload::Collapse
            | Workload::PiggybackProtect
            | Workload::PiggybackKernel
            | Workload::PiggybackEveryone => &[Kind::Collapse],
        }
    }

    /// Whether a sibling's interrupt is what the workload is about.
    pub fn is_piggyback(&self) -> bool {
        matches!(
            self.workload,
            Workload::PiggybackProtect | Workload::PiggybackKernel | Workload::PiggybackEveryone
        )
    }

    /// Refuses what cannot be run on `cpus` CPUs.
    ///
    /// # Errors
    ///
    /// One line that names the input and the remedy.
    pub fn check(&self, cpus: usize) -> Result<(), String> {
        let Spec { tables, sharers, .. } = self;
        let rules = [
            (self.mm_cpus == 0, "mm_cpus=0: an mm needs at least one CPU".to_owned()),
            (self.ops == 0, "ops=0: nothing to count; use at least 1".to_owned()),
            (self.threshold == 0, "threshold=0: use at least 1, or invlpgb=off".to_owned()),
            (!(1..=MAX_TABLES).contains(tables), format!("tables={tables}: use 1 to {MAX_TABLES}")),
            (!(2..=MAX_SHARERS).contains(sharers), format!("sharers={sharers}: use 2 to {MAX_SHARERS}")),
            (self.policy.is_empty(), "policy: name at least one".to_owned()),
        ];
        if let Some((_, what)) = rules.into_iter().find(|(broken, _)| *broken) {
            return Err(what);
        }
        if self.preempted > 0 && self.workload != Workload::Mixed {
            if self.flush != Flush::Hypercall {
                return Err(format!("preempted={}: means something with flush=hypercall only", self.preempted));
            }
            if self.preempted >= self.mm_cpus {
                return Err(format!(
                    "preempted={} of mm_cpus={}: one CPU of the mm is not preempted; raise mm_cpus",
                    self.preempted, self.mm_cpus
                ));
            }
        }
        if self.is_piggyback() && self.mm_cpus < 3 {
            return Err(format!(
                "mm_cpus={}: a piggyback needs a mutator, a walker and a sibling; use at least 3",
                self.mm_cpus
            ));
        }
        let need = Cast::need(self);
        if need > cpus {
            return Err(format!("{}; add CPUs or lower it", Cast::say_need(self, need, cpus)));
        }
        Ok(())
    }
}

/// Reads comparisons separated by `;`: at least one, if only the default one.
///
/// # Errors
///
/// As [`Spec`]'s `FromStr`.
pub fn parse_all(line: &str) -> Result<Vec<Spec>, String> {
    line.split(';').map(str::parse).collect()
}
