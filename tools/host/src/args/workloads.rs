//! Workloads, as a command line lists them.

use std::str::FromStr;

use clap::Args;
use gupsync_bench::spec::{Toggle, Workload};

use super::named::{Named, in_list};

/// The flag that lists them.
#[derive(Clone, Debug, Args)]
pub struct WorkloadArgs {
    /// What is done: workloads, separated by commas; `piggyback` is all three of its kind, `all` is everything.
    #[arg(
        long,
        value_name = "w,w,...",
        default_value = "collapse",
        value_parser = Named { names: Workload::all_names(), read: str::parse::<Workloads> },
        add = in_list(Workload::all_names())
    )]
    pub workload: Workloads,
}

/// The flag that says whether INVLPGB is used.
#[derive(Clone, Debug, Args)]
pub struct InvlpgbArgs {
    /// Whether INVLPGB is used; by default both ways, in a boot each.
    #[arg(
        long,
        value_name = "off|on",
        hide_possible_values = true,
        value_parser = Named { names: Toggle::NAMES.to_vec(), read: str::parse::<Toggle> }
    )]
    invlpgb: Option<Toggle>,
}

impl InvlpgbArgs {
    /// Both ways, or the one that was asked for.
    pub fn settings(&self) -> Vec<Toggle> {
        self.invlpgb.map_or(vec![Toggle::Off, Toggle::On], |toggle| vec![toggle])
    }
}

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
