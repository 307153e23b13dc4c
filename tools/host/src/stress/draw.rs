//! Scenarios at random: the same seed draws the same specs in the same order, whatever happens to them. Each of them
//! can be run on the machine, and every key of a spec takes part.

use gupsync_bench::Spec;
use gupsync_bench::cast::Cast;
use gupsync_bench::spec::{
    Every, Flush, Kind, List, MAX_SHARERS, MAX_TABLES, Maybe, Mutator, PolicyName, Toggle, UnshareFlush,
    Workload,
};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;

/// At the most so many specs are run in one boot.
const SPECS: usize = 12;
/// The most bytes of a command line. Every bootloader carries twice as many.
const CMDLINE: usize = 8 << 10;
/// How often an mm without a global ASID can be flushed beside the CPUs that run it.
const TRIM: [u64; 4] = [1, 2, 3, 8];
/// None, fewer than there are mms, and more than anybody needs.
const ASIDS: [usize; 4] = [0, 1, 2, 4080];
/// What the CPU says, and what splits a flush.
const INVLPGB_MAX: [u64; 4] = [0, 1, 3, 8];
/// No memory, room for one table and its pages or so, and all that Linux has.
const GATHER: [usize; 4] = [0, 2, 5, 510];

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

    /// A spec. What goes with some others only is drawn beside those.
    fn any(&mut self) -> Spec {
        let mut spec = Spec {
            workload: self.one_of(Workload::ALL),
            policy: self.policies(),
            invlpgb: self.one_of(Toggle::ALL),
            threshold: self.random.random_range(1..=4),
            flush: self.one_of(Flush::ALL),
            unshare_flush: self.one_of(UnshareFlush::ALL),
            mm_cpus: self.random.random_range(1..=self.cpus.min(6)),
            mutator: self.one_of(Mutator::ALL),
            hold: self.random.random_range(0..=3),
            ops: self.random.random_range(20..=80),
            seed: self.random.random_range(1..1000),
            ..Spec::default()
        };
        spec.asids = self.sometimes(&ASIDS, spec.asids);
        spec.invlpgb_max = self.sometimes(&INVLPGB_MAX, spec.invlpgb_max);
        spec.trim = Maybe(self.random.random_ratio(1, 4).then(|| Every(self.one_of(&TRIM))));
        spec.naps = self.sometimes(Toggle::ALL, spec.naps);
        spec.eager = self.sometimes(Toggle::ALL, spec.eager);
        spec.tables = self.sometimes(&Vec::from_iter(1..=MAX_TABLES), spec.tables);
        spec.gather = self.sometimes(&GATHER, spec.gather);
        spec.sharers = self.sometimes(&Vec::from_iter(2..=MAX_SHARERS), spec.sharers);
        spec.interleave = self.sometimes(Toggle::ALL, spec.interleave);
        spec.migrate = self.sometimes(Toggle::ALL, spec.migrate);
        if spec.workload == Workload::Mixed {
            spec.operations = self.operations();
            spec.preempted = self.random.random_range(0..=2);
        } else if spec.flush == Flush::Hypercall {
            spec.preempted = self.random.random_range(0..spec.mm_cpus);
        }
        self.give_roles(&mut spec);
        spec
    }

    /// Gives some of the CPUs that are left something to do.
    fn give_roles(&mut self, spec: &mut Spec) {
        let mut left = self.cpus.saturating_sub(Cast::need(spec));
        let mut roles =
            [&mut spec.lazy, &mut spec.stale, &mut spec.isolated, &mut spec.switchers, &mut spec.flushers];
        roles.shuffle(&mut self.random);
        for role in roles {
            *role = self.random.random_range(0..=left.min(2));
            left -= *role;
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

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        *values.choose(&mut self.random).expect("there is always one")
    }

    /// One of `values` in a third of the draws: a spec in which everything is unusual hides what matters.
    fn sometimes<T: Copy>(&mut self, values: &[T], usual: T) -> T {
        if self.random.random_ratio(1, 3) { self.one_of(values) } else { usual }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

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
    fn every_key_varies() {
        let mut values = BTreeMap::<String, BTreeSet<String>>::new();
        for spec in drawn(1, 16) {
            for word in spec.to_string().split(' ') {
                let (key, value) = word.split_once('=').expect("a spec is words of key=value");
                values.entry(key.to_owned()).or_default().insert(value.to_owned());
            }
        }
        assert_eq!(values["workload"].len(), Workload::ALL.len());
        let keys = [
            "policy",
            "invlpgb",
            "threshold",
            "asids",
            "invlpgb_max",
            "flush",
            "unshare_flush",
            "trim",
            "mm_cpus",
            "mutator",
            "lazy",
            "stale",
            "preempted",
            "isolated",
            "hold",
            "naps",
            "eager",
            "switchers",
            "flushers",
            "tables",
            "gather",
            "sharers",
            "interleave",
            "migrate",
            "operations",
            "ops",
            "seed",
        ];
        // The default is not written.
        assert!(keys.iter().all(|key| values.contains_key(*key)), "{:?}", values.keys());
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
