//! Which specs cannot be run, and why.
//!
//! # Guarantee
//!
//! Every number that a spec can hold is within [`BOUNDS`] before it is used: no sum of them overflows, and none means
//! more than the hardware has. Host and kernel refuse the same, by this one check.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use gupsync::ops::mthp::PMD_ORDER;
use gupsync::types::LOCAL_ASIDS;

use crate::cast::Cast;
use crate::spec::{
    Flush, Kind, MAX_PAGES, MAX_RANGES, MAX_SHARERS, MAX_TABLES, Mutator, SETTINGS, Sender, Setting, Spec,
    Workload,
};

/// More CPUs than any machine of today has.
const MANY_CPUS: u64 = 8192;
/// So many times that no count of a row overflows.
const MANY_TIMES: u64 = 1_000_000_000;

/// The bounds of every number, by key. A seed has none but its type's.
pub const BOUNDS: [(&str, RangeInclusive<u64>); 28] = [
    ("threshold", 1..=MANY_CPUS),
    ("mm_cpus", 1..=MANY_CPUS),
    ("pcids", 0..=LOCAL_ASIDS as u64),
    // PCIDs have 12 bits, and local ASIDs take some of them.
    ("asids", 0..=4080),
    ("asid_every", 1..=MANY_TIMES),
    // ECX has 16 bits for the pages after the first.
    ("invlpgb_max", 0..=1 << 16),
    ("hotplug", 0..=MANY_CPUS),
    ("lazy", 0..=MANY_CPUS),
    ("stale", 0..=MANY_CPUS),
    ("preempted", 0..=MANY_CPUS),
    ("isolated", 0..=MANY_CPUS),
    ("isolated_members", 0..=MANY_CPUS),
    ("switchers", 0..=MANY_CPUS),
    ("flushers", 0..=MANY_CPUS),
    ("bystanders", 0..=MANY_CPUS),
    ("hold", 0..=MANY_CPUS),
    ("pages", 1..=MAX_PAGES),
    ("tables", 1..=MAX_TABLES),
    ("ranges", 1..=MAX_RANGES),
    // khugepaged makes no folio of two pages.
    ("order", 2..=PMD_ORDER),
    ("batch", 1..=128),
    ("gather", 0..=MANY_TIMES),
    ("gather_tables", 1..=MANY_TIMES),
    ("sharers", 2..=MAX_SHARERS as u64),
    ("ops", 1..=MANY_TIMES),
    ("seed", 0..=u64::MAX),
    ("trim", 1..=MANY_TIMES),
    ("pins", 1..=MANY_TIMES),
];

/// The bounds of the number that `setting` holds, if it holds one.
pub fn bounds(setting: &Setting) -> Option<RangeInclusive<u64>> {
    BOUNDS.iter().find(|(key, _)| *key == setting.key).map(|(_, bounds)| bounds.clone())
}

/// Why a spec cannot be run: a setting, its value, and the remedy. The remedy names other settings as `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The key of the setting.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it, and what to do.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: {}", self.key, self.value, self.remedy)
    }
}

impl Refusal {
    /// The same in the words of the host's command line: settings are flags there.
    pub fn in_flags(&self) -> String {
        let is_flag = |key: &str| key == "cpus" || SETTINGS.iter().any(|setting| setting.key == key);
        let flag = |key: &str, value: &str| format!("--{} {value}", key.replace('_', "-"));
        let word = |word: &str| match word.split_once('=') {
            Some((key, value)) if is_flag(key) => flag(key, value),
            _ => word.to_owned(),
        };
        let remedy: Vec<_> = self.remedy.split(' ').map(word).collect();
        format!("{}: {}", flag(self.key, &self.value), remedy.join(" "))
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string()
    }
}

impl Spec {
    /// Refuses what cannot be run on `cpus` CPUs.
    ///
    /// # Errors
    ///
    /// The setting, and the remedy.
    pub fn check(&self, cpus: usize) -> Result<(), Refusal> {
        for setting in SETTINGS {
            let number = (setting.get)(self).trim_start_matches("every:").parse::<u64>();
            if let (Some(bounds), Ok(number)) = (bounds(setting), number)
                && !bounds.contains(&number)
            {
                let (least, most) = bounds.into_inner();
                return self.refuse(setting.key, format!("use {least} to {most}"));
            }
        }
        if self.policy.is_empty() {
            return self.refuse("policy", "name at least one".to_owned());
        }
        self.check_twice("policy", &self.policy)?;
        self.check_twice("operations", &self.operations)?;
        self.check_tables()?;
        self.check_isolated_members()?;
        self.check_exit()?;
        self.check_preempted()?;
        self.check_unflushed()?;
        self.check_mthp()?;
        if self.is_piggyback() {
            let why = "a piggyback needs a mutator, a walker and a sibling";
            self.check_first_mm("mm_cpus", self.isolated_members + 3, why)?;
        }
        self.check_pins()?;
        self.check_hotplug()?;
        self.check_sender(cpus)?;
        let need = Cast::need(self);
        if need > cpus {
            let key = if self.workload == Workload::Mixed { "workload" } else { "mm_cpus" };
            let said = Cast::say_need(self, need, cpus);
            return self.refuse(key, format!("{said}; give the machine cpus={need}, or lower it"));
        }
        Ok(())
    }

    fn check_twice<T: PartialEq + fmt::Display>(&self, key: &'static str, names: &[T]) -> Result<(), Refusal> {
        match (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
            Some(twice) => self.refuse(key, format!("names {} twice; name each once", names[twice])),
            None => Ok(()),
        }
    }

    fn check_tables(&self) -> Result<(), Refusal> {
        if self.tables > MAX_RANGES && self.kinds().contains(&Kind::Unshare) {
            let remedy = format!("an unshare is of up to {MAX_RANGES} tables; use tables={MAX_RANGES}");
            return self.refuse("tables", remedy);
        }
        Ok(())
    }

    /// Of the mms of `mixed`, none comes to its end with shared tables.
    fn check_exit(&self) -> Result<(), Refusal> {
        if self.exit.is_on() && self.workload != Workload::Unshare {
            let remedy = "an mm exits that has left shared tables; use workload=unshare or exit=off";
            return self.refuse("exit", remedy.to_owned());
        }
        Ok(())
    }

    /// The CPU of the mutator that has the mm loaded works, and some other walks.
    fn check_isolated_members(&self) -> Result<(), Refusal> {
        if self.isolated_members == 0 {
            return Ok(());
        }
        let least = self.isolated_members + 1 + usize::from(self.mutator == Mutator::Inside);
        self.check_first_mm("isolated_members", least, "some CPU that runs the mm is to walk it")
    }

    /// Refuses what `key` says, and says `why`, where the first mm runs on fewer CPUs than `least`.
    fn check_first_mm(&self, key: &'static str, least: usize, why: &str) -> Result<(), Refusal> {
        let (of_size, size) = match self.workload {
            Workload::Mixed => ("threshold", self.threshold),
            _ => ("mm_cpus", self.mm_cpus),
        };
        if size < least { self.refuse(key, format!("{why}; use {of_size}={least} or more")) } else { Ok(()) }
    }

    fn check_preempted(&self) -> Result<(), Refusal> {
        if self.preempted == 0 || self.workload == Workload::Mixed {
            return Ok(());
        }
        if self.flush != Flush::Hypercall {
            let remedy = "means something with flush=hypercall only; add that or use preempted=0";
            return self.refuse("preempted", remedy.to_owned());
        }
        let least = self.preempted + self.isolated_members + 1;
        self.check_first_mm("preempted", least, "one CPU that runs the mm is not preempted")
    }

    /// A mutator's task that moves needs a CPU that is as its own: one that runs the mm and sleeps, or, from outside,
    /// one that runs nothing.
    fn check_sender(&self, cpus: usize) -> Result<(), Refusal> {
        if self.sender == Sender::Pinned {
            return Ok(());
        }
        if self.mutator == Mutator::Outside {
            let need = Cast::need(self);
            if self.bystanders == 0 && need >= cpus {
                let least = need.saturating_add(1);
                let remedy = format!("its task goes to a CPU that runs nothing; give the machine cpus={least}");
                return self.refuse("sender", remedy);
            }
            return Ok(());
        }
        let least = 2 + self.touchers() + self.hold + self.hotplug + self.isolated_members;
        self.check_first_mm("sender", least, "its task goes to a CPU of the mm that is not held")
    }

    /// A CPU that goes offline walks the mm, and is needed for nothing else.
    fn check_hotplug(&self) -> Result<(), Refusal> {
        if self.hotplug == 0 {
            return Ok(());
        }
        let needed = self.hold
            + self.touchers()
            + usize::from(self.pins.0.is_some())
            + usize::from(self.is_piggyback())
            + usize::from(self.mutator == Mutator::Inside);
        let least = self.hotplug + needed + self.isolated_members;
        self.check_first_mm("hotplug", least, "a CPU goes offline that walks the mm, and is not held")
    }

    /// How many workers touch while an operation is done.
    fn touchers(&self) -> usize {
        usize::from(self.touch.is_on() || self.remap.is_on())
    }

    fn check_mthp(&self) -> Result<(), Refusal> {
        if self.order == PMD_ORDER && self.batch > 1 {
            return self.refuse("batch", "a batch is of mTHPs; use order=8 or below, or batch=1".to_owned());
        }
        let is_whole = self.is_piggyback() || self.pins.0.is_some();
        if self.ranges > 1 && (self.is_piggyback() || self.order < PMD_ORDER) {
            let remedy = "piggybacks and mTHPs are of one range at a time; use ranges=1";
            return self.refuse("ranges", remedy.to_owned());
        }
        if self.order < PMD_ORDER && is_whole {
            let remedy =
                "where a sibling interrupts or a page is pinned, a range is collapsed as a whole; use order=9";
            return self.refuse("order", remedy.to_owned());
        }
        Ok(())
    }

    /// Where nothing is flushed, translations may be stale, and pages be used after they were freed.
    fn check_unflushed(&self) -> Result<(), Refusal> {
        let is_possible = matches!(self.workload, Workload::Collapse | Workload::Unshare)
            && !self.exit.is_on()
            && !self.touch.is_on()
            && !self.remap.is_on()
            && self.trim.0.is_none();
        if self.flush == Flush::None && !is_possible {
            let remedy =
                "goes with workload=collapse or unshare, without exit, touch, remap and trim; use these";
            return self.refuse("flush", remedy.to_owned());
        }
        Ok(())
    }

    fn check_pins(&self) -> Result<(), Refusal> {
        if self.pins.0.is_none() {
            return Ok(());
        }
        if !self.kinds().contains(&Kind::Collapse) {
            let remedy = match self.workload {
                Workload::Mixed => "nothing collapses; add collapse to operations or use pins=off",
                _ => "nothing collapses; use workload=collapse or pins=off",
            };
            return self.refuse("pins", remedy.to_owned());
        }
        if !Cast::has_workers(self) {
            let least = if self.workload == Workload::Mixed { "threshold=3" } else { "mm_cpus=2" };
            let remedy = format!("another CPU than the mutator holds the pin; use {least} or more");
            return self.refuse("pins", remedy);
        }
        Ok(())
    }

    fn refuse(&self, key: &'static str, remedy: String) -> Result<(), Refusal> {
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let value = setting.map_or(String::new(), |setting| (setting.get)(self));
        Err(Refusal { key, value, remedy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Mark;

    #[test]
    fn item_11_every_number_has_bounds_and_is_refused_beyond_them() {
        for setting in SETTINGS {
            let is_number = ["N", "off|every:N"].contains(&(setting.form)().as_str());
            assert_eq!(bounds(setting).is_some(), is_number, "{}", setting.key);
            let Some(bounds) = bounds(setting) else { continue };
            let prefix = if (setting.form)() == "N" { "" } else { "every:" };
            for beyond in [bounds.start().checked_sub(1), bounds.end().checked_add(1)].into_iter().flatten() {
                let mut spec = Spec::default();
                // What cannot be read at all needs no bound here.
                let Ok(()) = (setting.set)(&mut spec, &format!("{prefix}{beyond}")) else { continue };
                let refusal = spec.check(usize::MAX).expect_err(setting.key);
                assert_eq!(refusal.key, setting.key);
                assert_eq!(refusal.remedy, format!("use {} to {}", bounds.start(), bounds.end()));
            }
        }
    }

    #[test]
    fn a_sender_that_moves_has_somewhere_to_go() {
        for (words, cpus, remedy) in [
            ("mm_cpus=2", 8, Some("its task goes to a CPU of the mm that is not held; use mm_cpus=3 or more")),
            ("mm_cpus=2 hold=0", 8, None),
            ("mm_cpus=3", 8, None),
            (
                "mm_cpus=3 touch=on",
                8,
                Some("its task goes to a CPU of the mm that is not held; use mm_cpus=4 or more"),
            ),
            (
                "workload=mixed threshold=2",
                32,
                Some("its task goes to a CPU of the mm that is not held; use threshold=3 or more"),
            ),
            ("mutator=outside", 5, Some("its task goes to a CPU that runs nothing; give the machine cpus=6")),
            ("mutator=outside mm_cpus=1", 3, None),
        ] {
            let spec: Spec = format!("{words} sender=preemptible").parse().expect("a spec");
            let refused = spec.check(cpus).err().map(|refusal| refusal.to_string());
            assert_eq!(refused, remedy.map(|remedy| format!("sender=preemptible: {remedy}")), "{words}");
        }
    }

    #[test]
    fn some_cpu_of_the_mm_walks() {
        let remedy = |words: &str| {
            words.parse::<Spec>().expect("it parses").check(8).err().map(|refusal| refusal.remedy)
        };
        let use_more =
            |more: &str| Some(format!("some CPU that runs the mm is to walk it; use {more} or more"));
        assert_eq!(remedy("isolated_members=2 mm_cpus=3"), use_more("mm_cpus=4"));
        assert_eq!(remedy("isolated_members=2 mm_cpus=3 mutator=outside"), None);
        assert_eq!(remedy("isolated_members=2 mm_cpus=4"), None);
        assert_eq!(remedy("isolated_members=0 mm_cpus=1"), None);
        assert_eq!(remedy("workload=mixed threshold=1 isolated_members=1"), use_more("threshold=3"));
    }

    #[test]
    fn a_cpu_that_goes_offline_is_needed_for_nothing_else() {
        for (words, more) in [
            ("mm_cpus=2", Some("mm_cpus=3")),
            ("mm_cpus=2 hold=0", None),
            ("mm_cpus=2 mutator=outside", None),
            ("mm_cpus=3 touch=on", Some("mm_cpus=4")),
            ("mm_cpus=3 pins=every:2", Some("mm_cpus=4")),
            ("mm_cpus=3 isolated_members=1", Some("mm_cpus=4")),
            ("workload=piggyback-kernel mm_cpus=3", Some("mm_cpus=4")),
            ("workload=mixed threshold=2", Some("threshold=3")),
        ] {
            let spec: Spec = format!("{words} hotplug=1").parse().expect("a spec");
            let refused = spec.check(64).err().map(|refusal| refusal.to_string());
            let say = |more| {
                format!("hotplug=1: a CPU goes offline that walks the mm, and is not held; use {more} or more")
            };
            assert_eq!(refused, more.map(say), "{words}");
        }
    }

    #[test]
    fn pins_are_for_collapses_and_for_workers() {
        for (words, remedy) in [
            ("workload=protect pins=every:4", Some("nothing collapses; use workload=collapse or pins=off")),
            (
                "workload=mixed operations=unmap,unshare pins=every:4",
                Some("nothing collapses; add collapse to operations or use pins=off"),
            ),
            (
                "mm_cpus=1 pins=every:4",
                Some("another CPU than the mutator holds the pin; use mm_cpus=2 or more"),
            ),
            (
                "workload=mixed threshold=2 pins=every:4",
                Some("another CPU than the mutator holds the pin; use threshold=3 or more"),
            ),
            ("workload=piggyback-kernel pins=every:4", None),
            ("workload=mixed threshold=3 operations=unmap,collapse pins=every:4", None),
            ("mm_cpus=1 mutator=outside pins=every:4", None),
            ("workload=mixed threshold=1 mutator=outside pins=every:4", None),
        ] {
            let spec: Spec = words.parse().expect("a spec");
            let refused = spec.check(64).err().map(|refusal| refusal.to_string());
            assert_eq!(refused, remedy.map(|remedy| format!("pins=every:4: {remedy}")), "{words}");
        }
    }

    #[test]
    fn item_11_no_sum_of_cpus_overflows() {
        // With the four CPUs of the mm it is 0, if it is anything.
        let spec: Spec = "lazy=18446744073709551612".parse().expect("a spec");
        assert_eq!((Cast::need(&spec), spec.check(8).expect_err("too many").key), (usize::MAX, "lazy"));
        let mut spec: Spec = "workload=mixed threshold=8192".parse().expect("a spec");
        for role in SETTINGS.iter().filter(|setting| setting.is(Mark::Role)) {
            (role.set)(&mut spec, "8192").expect("it is a number");
        }
        let refusal = spec.check(255).expect_err("there are not so many");
        assert!(refusal.to_string().ends_with("give the machine cpus=81921, or lower it"), "{refusal}");
    }

    #[test]
    fn item_11_a_policy_and_an_operation_are_named_once() {
        for (words, name) in
            [("policy=pending,broadcast,pending", "pending"), ("operations=unmap,protect,unmap", "unmap")]
        {
            let spec: Spec = words.parse().expect("a spec");
            let refusal = spec.check(8).expect_err("twice").to_string();
            assert_eq!(refusal, format!("{words}: names {name} twice; name each once"));
        }
    }
}
