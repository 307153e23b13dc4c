//! What is asked of a boot, and whether a row answers it.
//!
//! # Guarantee
//!
//! A row is taken for an answer only if every setting in it is the one that was asked for, it is about the mm whose turn it
//! is, from a machine of so many CPUs, and, if it is `ok`, of so many operations.

use gupsync_bench::cast::Cast;
use gupsync_bench::spec::{Backend, MmName, PolicyName, Status};
use gupsync_bench::{Row, Spec};

/// One policy of one spec.
#[derive(Debug)]
pub struct Question<'s> {
    pub spec: &'s Spec,
    pub policy: PolicyName,
    /// The rows that are to come, in order, without what is counted; that of all mms is the last.
    rows: Vec<(Row, u64)>,
}

impl<'s> Question<'s> {
    /// Those of a spec on a machine of `cpus` CPUs.
    pub fn all(spec: &'s Spec, cpus: usize) -> Vec<Self> {
        // What cannot be run has no cast, and no row is to come of it.
        let teams = spec.check(cpus).map_or(Vec::new(), |()| Cast::new(spec, cpus).teams);
        let question = |policy: &PolicyName| {
            let row = |mm| Row::new(spec, *policy, mm, cpus, Status::Ok);
            let of_team =
                teams.iter().map(|team| (Row { mm_cpus: team.mm_cpus(), ..row(team.name) }, spec.ops));
            let mut rows: Vec<_> = of_team.filter(|_| teams.len() > 1).collect();
            rows.push((row(MmName::Total), spec.ops.saturating_mul(teams.len() as u64)));
            Question { spec, policy: *policy, rows }
        };
        spec.policy.iter().map(question).collect()
    }

    /// On a machine of how many CPUs.
    pub fn cpus(&self) -> usize {
        self.rows[0].0.cpus
    }

    /// How many rows are to come.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// What is to come in place `index`, as a row that did not.
    pub fn failed(&self, index: usize, status: Status, reason: String) -> Row {
        Row { status, detail: Some(reason), ..self.rows[index].0.clone() }
    }

    /// The place that `row` takes, at or after `from`: that of its mm. What is cut short has a row of all mms only.
    pub fn place_of(&self, row: &Row, from: usize) -> usize {
        (from..self.rows.len()).find(|place| self.rows[*place].0.mm == row.mm).unwrap_or(from)
    }

    /// Whether `row` answers the question in place `index`.
    ///
    /// # Errors
    ///
    /// What it says of what, and what was asked.
    pub fn check(&self, index: usize, row: &Row) -> Result<(), String> {
        let (asked, ops) = &self.rows[index];
        let is_free = |key| key == "backend" && self.spec.backend == Backend::Auto && self.spec.invlpgb.is_on();
        let mut fields = vec![
            ("mm", row.mm.to_string(), asked.mm.to_string()),
            ("cpus", row.cpus.to_string(), asked.cpus.to_string()),
        ];
        for ((key, value), (_, asked)) in row.settings().into_iter().zip(asked.settings()) {
            if !(is_free(key) && ["native", "emulated"].contains(&value.as_str())) {
                fields.push((key, value, asked));
            }
        }
        if row.status == Status::Ok {
            let said = row.counts.ops.map_or("none".to_owned(), |ops| ops.to_string());
            fields.push(("ops", said, ops.to_string()));
        }
        match fields.into_iter().find(|(_, value, asked)| value != asked) {
            Some((key, value, asked)) => Err(format!("{key}={value} where {key}={asked} was asked for")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use gupsync_bench::counts::Counts;

    use super::*;

    fn answer(spec: &Spec, mm: MmName, cpus: usize, ops: u64) -> Row {
        let counts = Counts { ops: Some(ops), ..Counts::default() };
        Row { counts, ..Row::new(spec, spec.policy[0], mm, cpus, Status::Ok) }
    }

    #[test]
    fn item_14_a_row_that_differs_in_one_field_is_no_answer() {
        let spec: Spec = "policy=pending ops=40 invlpgb=on backend=native".parse().expect("a spec");
        let question = Question::all(&spec, 8).remove(0);
        assert_eq!(question.check(0, &answer(&spec, MmName::Total, 8, 40)), Ok(()));
        for (words, key) in [
            ("workload=unmap", "workload"),
            ("policy=broadcast", "policy"),
            ("invlpgb=off", "invlpgb"),
            ("backend=emulated", "backend"),
            ("flush=hypercall", "flush"),
            ("threshold=3", "threshold"),
            ("mutator=outside", "mutator"),
            ("seed=2", "seed"),
            ("mm_cpus=3", "mm_cpus"),
            ("asids=1", "asids"),
            ("invlpgb_max=1", "invlpgb_max"),
            ("unshare_flush=series", "unshare_flush"),
            ("trim=every:2", "trim"),
            ("pins=every:2", "pins"),
            ("lazy=1", "lazy"),
            ("stale=1", "stale"),
            ("preempted=1", "preempted"),
            ("isolated=1", "isolated"),
            ("switchers=1", "switchers"),
            ("flushers=1", "flushers"),
            ("hold=2", "hold"),
            ("eager=on", "eager"),
            ("naps=on", "naps"),
            ("tables=2", "tables"),
            ("gather=2", "gather"),
            ("sharers=2", "sharers"),
            ("interleave=on", "interleave"),
            ("migrate=on", "migrate"),
        ] {
            let other: Spec = format!("{spec} {words}").parse().expect("a spec");
            let error = question.check(0, &answer(&other, MmName::Total, 8, 40)).expect_err(words);
            assert!(error.starts_with(&format!("{key}=")) && error.ends_with(" was asked for"), "{error}");
        }
        for (row, fault) in [
            (answer(&spec, MmName::Ipi, 8, 40), "mm=ipi where mm=total was asked for"),
            (answer(&spec, MmName::Total, 4, 40), "cpus=4 where cpus=8 was asked for"),
            (answer(&spec, MmName::Total, 8, 39), "ops=39 where ops=40 was asked for"),
        ] {
            assert_eq!(question.check(0, &row), Err(fault.to_owned()));
        }
    }

    #[test]
    fn item_14_the_machine_chooses_the_backend_where_it_was_not_asked_for() {
        let spec: Spec = "policy=pending ops=40 invlpgb=on".parse().expect("a spec");
        let question = Question::all(&spec, 8).remove(0);
        for (backend, is_answer) in [("native", true), ("emulated", true), ("auto", true)] {
            let ready: Spec = format!("{spec} backend={backend}").parse().expect("a spec");
            let row = answer(&ready, MmName::Total, 8, 40);
            assert_eq!(question.check(0, &row).is_ok(), is_answer, "{backend}");
        }
        let off: Spec = "policy=pending ops=40".parse().expect("a spec");
        assert!(question.check(0, &answer(&off, MmName::Total, 8, 40)).is_err());
    }

    #[test]
    fn item_14_mixed_has_a_row_for_each_mm_and_their_sum() {
        let spec: Spec = "workload=mixed threshold=3 policy=pending ops=40".parse().expect("a spec");
        let question = Question::all(&spec, 16).remove(0);
        assert_eq!(question.len(), 6);
        let first = Row { mm_cpus: 3, ..answer(&spec, MmName::Global, 16, 40) };
        assert_eq!(question.check(0, &first), Ok(()));
        assert!(question.check(0, &Row { mm_cpus: 4, ..first.clone() }).is_err());
        assert!(question.check(1, &first).is_err_and(|error| error.starts_with("mm=global")));
        assert_eq!(question.check(5, &answer(&spec, MmName::Total, 16, 200)), Ok(()));
        assert!(question.check(5, &answer(&spec, MmName::Total, 16, 40)).is_err());
        let early = Row { status: Status::Memory, ..answer(&spec, MmName::Total, 16, 0) };
        assert_eq!((question.place_of(&early, 0), question.place_of(&first, 0)), (5, 0));
    }
}
