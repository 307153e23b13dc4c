//! Scenarios at random: the same seed draws the same specs in the same order, whatever happens to them. Each of them
//! can be run on the machine, and every setting takes part, by the rule in its line of the table.

use gupsync::ops::mthp::PMD_ORDER;
use gupsync::types::ENTRIES;
use gupsync_bench::Spec;
use gupsync_bench::cast::Cast;
use gupsync_bench::draw::{Draws, Rule};
use gupsync_bench::spec::{Flush, Kind, List, Mark, PolicyName, SETTINGS, Toggle, Workload};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;

use crate::boot;

/// At the most so many specs are run in one boot.
const SPECS: usize = 12;
/// The most bytes of a command line.
const CMDLINE: usize = boot::CMDLINE / 2;

/// Draws specs for a machine.
#[derive(Debug)]
pub struct Draw {
    random: SplitMix64,
    cpus: usize,
}

impl Draw {
    /// What `seed` draws for a machine with `cpus` CPUs.
    pub fn new(seed: u64, cpus: usize) -> Self {
        Draw { random: SplitMix64::seed_from_u64(seed), cpus }
    }

    /// The specs of one boot: as many as its command line has room for.
    pub fn boot(&mut self) -> Vec<Spec> {
        let (mut specs, mut length) = (Vec::new(), 0);
        while specs.len() < SPECS {
            let spec = self.spec();
            length += spec.to_string().len() + "; ".len();
            if length > CMDLINE {
                break;
            }
            specs.push(spec);
        }
        specs
    }

    /// A spec that can be run.
    pub fn spec(&mut self) -> Spec {
        loop {
            let spec = self.any();
            if spec.check(self.cpus).is_ok() {
                return spec;
            }
        }
    }

    /// A spec. A setting that has to go with others is drawn after them.
    fn any(&mut self) -> Spec {
        let mut spec = Spec::drawn(self);
        spec.policy = self.policies();
        if spec.workload == Workload::Mixed {
            spec.operations = self.operations();
            spec.preempted = self.random.random_range(0..=2);
        } else if spec.flush == Flush::Hypercall {
            spec.preempted = self.random.random_range(0..spec.mm_cpus);
        }
        if spec.workload == Workload::Unshare {
            spec.exit = *Toggle::ALL.choose(&mut self.random).expect("it is on or off");
        }
        if spec.order < PMD_ORDER {
            spec.batch = self.random.random_range(1..=8);
        }
        if spec.populate.is_on() && spec.gather < ENTRIES {
            // A flush for every few pages of many full tables: minutes of interrupts that are all alike.
            spec.tables = spec.tables.min(2);
        }
        self.give_roles(&mut spec);
        spec
    }

    /// Gives some of the CPUs that are left a role.
    fn give_roles(&mut self, spec: &mut Spec) {
        let mut left = self.cpus.saturating_sub(Cast::need(spec));
        let mut roles: Vec<_> = SETTINGS.iter().filter(|setting| setting.is(Mark::Role)).collect();
        roles.shuffle(&mut self.random);
        for role in roles {
            let cpus = self.random.random_range(0..=left.min(2));
            (role.set)(spec, &cpus.to_string()).expect("a role is a number of CPUs");
            left -= cpus;
        }
    }

    /// All safe policies, or two or three of them.
    fn policies(&mut self) -> List<PolicyName> {
        let mut policies = PolicyName::safe();
        if self.random.random_ratio(7, 8) {
            policies.0.shuffle(&mut self.random);
            policies.0.truncate(self.random.random_range(2..=3));
        }
        policies
    }

    /// Some of the operations, in any order.
    fn operations(&mut self) -> List<Kind> {
        let mut kinds = Kind::ALL.to_vec();
        kinds.shuffle(&mut self.random);
        kinds.truncate(self.random.random_range(1..=kinds.len()));
        List(kinds)
    }
}

impl Draws for Draw {
    fn draw<T: Clone>(&mut self, rule: Rule<T>, usual: T) -> T {
        let values = match rule {
            Rule::OneOf(values) => values,
            Rule::Sometimes(values) if self.random.random_ratio(1, 3) => values,
            Rule::Sometimes(_) | Rule::Beside => return usual,
        };
        values.choose(&mut self.random).expect("a rule has values").clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use gupsync_bench::spec::Sample;

    use super::*;

    fn drawn(seed: u64, cpus: usize) -> Vec<Spec> {
        let mut draw = Draw::new(seed, cpus);
        (0..500).map(|_| draw.spec()).collect()
    }

    #[test]
    fn a_seed_draws_the_same_specs_every_time() {
        assert_eq!(drawn(7, 8), drawn(7, 8));
        assert_ne!(drawn(7, 8), drawn(8, 8));
    }

    #[test]
    fn every_spec_can_be_run_and_survives_the_command_line() {
        for cpus in [1, 2, 4, 16, 64] {
            for spec in drawn(1, cpus) {
                assert_eq!(spec.check(cpus), Ok(()), "{spec}");
                assert_eq!(spec.to_string().parse(), Ok(spec));
            }
        }
    }

    #[test]
    fn every_setting_varies() {
        let mut values = BTreeMap::<String, BTreeSet<String>>::new();
        for spec in drawn(1, 16) {
            for word in spec.to_string().split(' ') {
                let (key, value) = word.split_once('=').expect("a spec is words of key=value");
                values.entry(key.to_owned()).or_default().insert(value.to_owned());
            }
        }
        for setting in SETTINGS {
            // A default is written only of what says what is run.
            let least = if setting.is(Mark::What) { 2 } else { 1 };
            let varies = values.get(setting.key).is_some_and(|values| values.len() >= least);
            // What carries INVLPGB out depends on the machine.
            // Without the guard of NMIs, safe policies are to be caught.
            let is_fixed = ["backend", "nmi_guard"].contains(&setting.key) || setting.is(Mark::Hidden);
            assert_eq!(varies, !is_fixed, "{}: {:?}", setting.key, values.get(setting.key));
        }
        assert_eq!(values["workload"].len(), Workload::ALL.len());
    }

    #[test]
    fn the_sibling_of_a_piggyback_is_sampled_too() {
        let is_sibling_held = |spec: &Spec| spec.hold > 0 && [0, spec.mm_cpus - 1].contains(&spec.preempted);
        let specs = drawn(1, 16);
        for at in Sample::ALL {
            let is_it =
                |spec: &Spec| spec.is_piggyback() && spec.sample.0 == Some(*at) && is_sibling_held(spec);
            assert!(specs.iter().any(is_it), "{at}");
        }
    }

    #[test]
    fn a_boot_fits_its_command_line() {
        let mut draw = Draw::new(1, 16);
        for _ in 0..50 {
            let specs = draw.boot();
            assert!(
                !specs.is_empty()
                    && specs.iter().map(|spec| spec.to_string().len() + 2).sum::<usize>() <= CMDLINE
            );
        }
    }
}
