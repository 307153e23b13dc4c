//! The program that runs on Linux: as `/init` of a machine that the host boots, or by itself on any machine.

#![forbid(unsafe_code)]

mod calls;
mod experiment;
mod held;
mod init;
mod khugepaged;
mod partner;
mod selftests;
mod siblings;
mod standalone;

use std::process::ExitCode;

use anyhow::Result;

/// The first argument of a process that does one experiment.
const EXPERIMENT: &str = "experiment";

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::run();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(standalone::NOT_RUN)
        }
    }
}

fn run(arguments: &[&str]) -> Result<ExitCode> {
    match arguments {
        [siblings::STRANGER, cpu] => siblings::stranger(cpu)?,
        [partner::PARTNER, file, tables] => partner::run(file, tables)?,
        [held::LEAVER, test] => held::or_fault(held::leaver(test)),
        [held::SHARER] => held::or_fault(held::sharer()),
        [EXPERIMENT, text] => {
            let report = experiment::run(&serde_json::from_str(text)?, calls::begin()?)?;
            println!("{}", serde_json::to_string(&report)?);
        }
        _ => return standalone::run(arguments),
    }
    Ok(ExitCode::SUCCESS)
}
