//! The simplest scenario that still fails: what is returned has been seen to fail, and nothing simpler that was tried
//! did.

use std::collections::BTreeSet;

use anyhow::Result;
use gupsync_bench::Spec;
use gupsync_bench::spec::{List, Mark, SETTINGS, Setting};

/// Simplifies `spec`, which has failed, in at most `tries` calls of `fails`. Only what runs on `cpus` CPUs is tried.
///
/// # Errors
///
/// The errors of `fails`.
pub fn shrink(
    spec: Spec,
    cpus: usize,
    mut tries: u32,
    mut fails: impl FnMut(&Spec) -> Result<bool>,
) -> Result<Spec> {
    let mut tried = BTreeSet::from([spec.to_string()]);
    let mut simplest = spec;
    loop {
        let next = simpler(&simplest)
            .into_iter()
            .find(|spec| spec.check(cpus).is_ok() && !tried.contains(&spec.to_string()));
        let Some(candidate) = next.filter(|_| tries > 0) else { return Ok(simplest) };
        tries -= 1;
        tried.insert(candidate.to_string());
        if fails(&candidate)? {
            simplest = candidate;
        }
    }
}

/// What is one step simpler than `spec`, the longest steps first.
fn simpler(spec: &Spec) -> Vec<Spec> {
    let one_policy = spec
        .policy
        .iter()
        .filter(|_| spec.policy.len() > 1)
        .map(|policy| Spec { policy: List(vec![*policy]), ..spec.clone() });
    let fewer_ops = Spec { ops: spec.ops.div_ceil(2), ..spec.clone() };
    one_policy.chain(defaults(spec)).chain([fewer_ops]).chain(fewer_cpus(spec)).collect()
}

/// `spec` with more and more of its keys as they were: all of them are back at their defaults, then each half, each
/// quarter, and so on down to each one.
fn defaults(spec: &Spec) -> Vec<Spec> {
    let text = spec.to_string();
    let is_small = spec.mm_cpus < Spec::default().mm_cpus;
    let says_what = |key: &str| SETTINGS.iter().any(|setting| setting.key == key && setting.is(Mark::What));
    let is_kept = |word: &&str| {
        word.split_once('=').is_some_and(|(key, _)| says_what(key) || key == "mm_cpus" && is_small)
    };
    let (kept, changed): (Vec<&str>, Vec<&str>) = text.split(' ').partition(is_kept);
    let sizes = std::iter::successors(Some(changed.len()), |size| (*size > 1).then(|| size.div_ceil(2)));
    let without = |start: usize, size: usize| {
        let rest = changed.iter().enumerate().filter(|(index, _)| !(start..start + size).contains(index));
        let words: Vec<_> = kept.iter().chain(rest.map(|(_, word)| word)).copied().collect();
        words.join(" ").parse().expect("a spec without some of its words is one")
    };
    let chunks = sizes.flat_map(|size| (0..changed.len()).step_by(size.max(1)).map(move |start| (start, size)));
    chunks.map(|(start, size)| without(start, size)).collect()
}

/// `spec` with one CPU fewer of a kind.
fn fewer_cpus(spec: &Spec) -> Vec<Spec> {
    let kinds = SETTINGS
        .iter()
        .filter(|setting| ["mm_cpus", "preempted"].contains(&setting.key) || setting.is(Mark::Role));
    let fewer = |kind: &Setting| {
        let mut fewer = spec.clone();
        let cpus = kind.number(spec)?.checked_sub(1)?;
        (kind.set)(&mut fewer, &cpus.to_string()).ok()?;
        Some(fewer)
    };
    kinds.filter_map(fewer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: &str = "workload=mixed policy=broadcast,pending,gather invlpgb=on threshold=2 asids=2 trim=every:3 mm_cpus=5 \
         lazy=2 stale=1 isolated=2 hold=3 naps=on tables=3 gather=5 sharers=4 migrate=on ops=77 seed=9";

    fn shrunk(tries: u32, fails: impl Fn(&Spec) -> bool) -> (Spec, u32) {
        let mut calls = 0;
        let spec = shrink(FOUND.parse().expect("a spec"), 16, tries, |spec| {
            calls += 1;
            assert_eq!(spec.check(16), Ok(()));
            Ok(fails(spec))
        });
        (spec.expect("the runner has no errors"), calls)
    }

    #[test]
    fn what_does_not_matter_goes() {
        let matters = |spec: &Spec| {
            spec.policy.iter().any(|policy| **policy == *"pending")
                && spec.lazy >= 1
                && spec.gather == 5
                && spec.ops >= 10
        };
        let (spec, _) = shrunk(1000, matters);
        // A mixed one needs a lower threshold to fit.
        assert_eq!(
            spec.to_string(),
            "workload=mixed policy=pending threshold=2 seed=9 mm_cpus=1 lazy=1 gather=5 ops=10"
        );
    }

    #[test]
    fn what_fails_no_more_is_left_as_it_was() {
        let (spec, _) = shrunk(1000, |_| false);
        assert_eq!(spec, FOUND.parse().expect("a spec"));
    }

    #[test]
    fn no_more_is_tried_than_allowed() {
        let (_, calls) = shrunk(10, |spec| spec.ops > 1);
        assert_eq!(calls, 10);
    }
}
