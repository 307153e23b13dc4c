//! What to run, as data: the kernel's command line, one `key=value` for each setting. Several comparisons for one
//! boot are separated by `;`.
//!
//! The host writes it ([`Spec`]'s `Display`), the kernel reads it (`FromStr`), and refuses by name what it does not
//! know. The settings are in [`settings`](crate::settings).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use gupsync::config::{FlushConfig, FreedTables};

use crate::cast::Cast;
pub use crate::choice::*;
pub use crate::settings::{Mark, SETTINGS, Setting, Spec};
pub use crate::value::*;

/// The most tables that one operation unlinks.
pub const MAX_TABLES: u64 = 4;
/// The most mms that share a table.
pub const MAX_SHARERS: usize = 6;

/// What says what is run, and what differs from the default.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Spec::default();
        let mut between = "";
        for setting in SETTINGS {
            let value = (setting.get)(self);
            if setting.is(Mark::What) || value != (setting.get)(&default) {
                write!(f, "{between}{}={value}", setting.key)?;
                between = " ";
            }
        }
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
            let setting = SETTINGS.iter().find(|setting| setting.key == key);
            let setting =
                setting.ok_or_else(|| format!("`{key}` is no key; see `limine.conf` for examples"))?;
            (setting.set)(&mut spec, value).map_err(|error| format!("{key}: {error}"))?;
        }
        Ok(spec)
    }
}

impl Spec {
    /// The number of CPUs in each role, by the role's name.
    pub fn roles(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let roles = SETTINGS.iter().filter(|setting| setting.is(Mark::Role));
        roles.map(|setting| (setting.key, setting.number(self).expect("a role is a number of CPUs")))
    }

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
        Workload::PIGGYBACK.contains(&self.workload)
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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let line = "workload=mixed policy=pending,broadcast flush=hypercall seed=9 trim=every:8 lazy=2 operations=unmap,protect \
                    ops=7 fail=hang-late";
        let spec: Spec = line.parse().expect("a spec");
        assert_eq!(spec.trim, Maybe(Some(Every(8))));
        assert_eq!(spec.to_string(), line);
        assert_eq!(spec.roles().filter(|(_, cpus)| *cpus > 0).collect::<Vec<_>>(), [("lazy", 2)]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        for (line, fault) in [
            ("turbo=on", "`turbo` is no key"),
            ("invlpgb", "`invlpgb` is not of the form key=value"),
            ("invlpgb=maybe", "invlpgb: `maybe` is no toggle; use one of: off, on"),
            ("lazy=-1", "lazy: `-1` is not a number that fits"),
            ("flush=mixed", "flush: `mixed` is no way to flush"),
            ("policy=pending,hope", "policy: `hope` is no policy"),
        ] {
            let error = line.parse::<Spec>().expect_err(line);
            assert!(error.starts_with(fault), "{line}: {error}");
        }
    }
}
