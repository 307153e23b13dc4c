//! What to run, as data: the kernel's command line, one `key=value` for each setting. Several comparisons for one
//! boot are separated by `;`.
//!
//! The host writes it ([`Spec`]'s `Display`), the kernel reads it (`FromStr`), and refuses by name what it does not
//! know. The settings are in [`settings`](crate::settings).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use gupsync::config::{FlushConfig, FreedTables};
use gupsync::ops::unmap::Room;

pub use crate::choice::*;
pub use crate::settings::{MAX_PAGES, MAX_RANGES, MAX_SHARERS, MAX_TABLES, Mark, SETTINGS, Setting, Spec};
pub use crate::text::*;
use crate::value::About;

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
            pcids: self.pcids,
            asids: self.asids,
            methods_interrupt: self.flush.interrupts() && self.workload != Workload::Mixed,
            unlazy_fence: self.unlazy_fence == UnlazyFence::Added,
            unshare_flush: match self.unshare_flush {
                UnshareFlush::Mainline => FreedTables::No,
                UnshareFlush::Series => FreedTables::Yes,
            },
        }
    }

    /// What its gathers hold.
    pub(crate) fn room(&self) -> Room {
        Room { pages: self.gather, tables: self.gather_tables }
    }

    /// The operations of the workload, in turn.
    pub fn kinds(&self) -> &[Kind] {
        match self.workload {
            Workload::Mixed => &self.operations,
            Workload::Unshare => &[Kind::Unshare],
            Workload::Unmap => &[Kind::Unmap],
            Workload::Protect => &[Kind::Protect],
            Workload::Reclaim => &[Kind::Reclaim],
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

    /// What the row of `policy` is about.
    pub fn about(&self, policy: PolicyName) -> About<'_> {
        About { workload: self.workload, kinds: self.kinds(), invlpgb: self.invlpgb, policy }
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
