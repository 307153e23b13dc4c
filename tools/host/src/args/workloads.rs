//! Workloads, as a command line lists them.

use std::str::FromStr;

use gupsync_bench::spec::Workload;

/// Workloads, in order.
#[derive(Clone, Debug)]
pub struct Workloads(pub Vec<Workload>);

impl FromStr for Workloads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split(',').map(Workload::named).collect::<Result<Vec<_>, _>>()?.concat();
        match (1..named.len()).find(|at| named[..*at].contains(&named[*at])) {
            Some(twice) => Err(format!("names {} twice; name each once", named[twice])),
            None => Ok(Workloads(named)),
        }
    }
}
