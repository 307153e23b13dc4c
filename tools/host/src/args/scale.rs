//! Arguments of `scale`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Arg, Args};
use gupsync_bench::Spec;
use gupsync_bench::spec::SETTINGS;
use gupsync_sim::MAX_CPUS;

use super::bounds::{self, number};
use super::format::Format;
use super::named::Named;
use super::settings::Settings;
use super::workloads::{InvlpgbArgs, WorkloadArgs};

/// What is run, on machines of how many CPUs.
#[derive(Clone, Debug, Args)]
pub struct ScaleArgs {
    /// Machines of how many CPUs: numbers, and `A..B` for A, 2A, 4A and so on up to B.
    #[arg(long, value_name = "N,A..B,...", default_value = "1,2,8,64,256,768,1024,1792,8192", value_parser = str::parse::<Sizes>)]
    pub cpus: Sizes,
    /// What is done.
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// Whether INVLPGB is used.
    #[command(flatten)]
    pub invlpgb: InvlpgbArgs,
    /// Operations a second, for what an isolated CPU sees of them. khugepaged's defaults come to 0.8 at the most: 4,096
    /// pages, so 8 ranges, each 10 seconds.
    #[arg(long, value_name = "R", default_value = "0.8", value_parser = rate)]
    pub rate: f64,
    /// All other settings.
    #[command(flatten)]
    pub settings: Settings,
    /// How the rows are printed: tables for people, or every field of every row.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Where to write the rows as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write what happened there, as a trace for Perfetto: with few sizes, and few operations.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// Numbers of CPUs, each once, the least first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(pub Vec<usize>);

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |text: &str| number::<1, { MAX_CPUS as u64 }>(text).map(|cpus| cpus as usize);
        let mut sizes = Vec::new();
        for part in text.split(',') {
            match part.split_once("..") {
                None => sizes.push(read(part)?),
                Some((first, last)) => {
                    let (first, last) = (read(first)?, read(last)?);
                    if first > last {
                        return Err(format!("`{part}` begins beyond its end; use {last}..{first}"));
                    }
                    sizes.extend(
                        std::iter::successors(Some(first), |cpus| Some(cpus * 2))
                            .take_while(|cpus| *cpus <= last),
                    );
                }
            }
        }
        sizes.sort_unstable();
        sizes.dedup();
        Ok(Sizes(sizes))
    }
}

/// The flag of a setting of which this command takes several values.
fn listed(flag: Arg, form: &'static str, usual: &'static str, read: fn(&str) -> Result<(), String>) -> Arg {
    let read = move |text: &str| text.split(',').try_for_each(read).map(|()| text.to_owned());
    flag.value_name(form).value_parser(Named { names: Vec::new(), read }).default_value(usual)
}

/// `--mm-cpus` of this command.
pub fn mm_cpus(flag: Arg) -> Arg {
    let read = |text: &str| text.parse::<Members>().map(drop);
    listed(flag, "K|all,...", "8", read).help("How many CPUs run the mm, where there is room: numbers, or all")
}

/// `--order` of this command.
pub fn order(flag: Arg) -> Arg {
    let order = SETTINGS.iter().find(|setting| setting.key == "order").expect("it is a setting");
    let usual: &'static str = (order.get)(&Spec::default()).leak();
    listed(flag, "N,...", usual, |text| {
        let order = SETTINGS.iter().find(|setting| setting.key == "order").expect("it is a setting");
        bounds::read(order, text).map(drop)
    })
}

/// How many CPUs run the mm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// So many, where there is room.
    Some(usize),
    /// As many as there is room for.
    All,
}

impl FromStr for Members {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Members::All),
            text => match number::<1, { MAX_CPUS as u64 }>(text) {
                Ok(cpus) => Ok(Members::Some(cpus as usize)),
                Err(error) => Err(format!("{error}, or `all`")),
            },
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
        _ => Err("use a number from 0 up".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_listed_and_doubled() {
        let sizes = |text: &str| text.parse::<Sizes>().map(|sizes| sizes.0);
        assert_eq!(sizes("1..8,6,2"), Ok(vec![1, 2, 4, 6, 8]));
        assert_eq!(sizes("3..20"), Ok(vec![3, 6, 12]));
        assert_eq!(sizes("8192"), Ok(vec![8192]));
        for (text, fault) in
            [("0", "from 1 to 8192"), ("8193", "from 1 to 8192"), ("8..2", "use 2..8"), ("", "from 1")]
        {
            assert!(sizes(text).is_err_and(|error| error.contains(fault)), "{text}");
        }
    }

    #[test]
    fn members_are_a_number_or_all() {
        assert_eq!(("all".parse(), "7".parse()), (Ok(Members::All), Ok(Members::Some(7))));
        assert!("0".parse::<Members>().is_err_and(|error| error.contains("or `all`")));
    }
}
