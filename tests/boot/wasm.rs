//! The simulator in WebAssembly, run by Node, gives the rows that it gives natively: every field of every row.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use gupsync_bench::{Row, Spec};
use gupsync_host::artifacts::Tree;
use gupsync_host::{module, there};
use gupsync_web::Answer;
use libtest_mimic::Trial;

use crate::needed::{Needed, trial_that_needs};
use crate::sim::{FEW, MANY, native, of_several_mms, one_mm};
use crate::spec;

/// After the scripts of the page: answers each line of the standard input.
const DRIVER: &str = "
const fs = require('fs');
const module_ = new WebAssembly.Module(fs.readFileSync(process.argv[1]));
for (const request of fs.readFileSync(0, 'utf8').split('\\n').filter(Boolean)) console.log(run(module_, request, () => {}));
";

/// Whether Node and the module can be had.
fn needed() -> Needed {
    let node = there::program("node", "--version", "nodejs");
    node.and_then(|_| module::can_be_built()).map_err(|lack| format!("{lack:#}"))
}

pub fn trials(is_list: bool) -> Vec<Trial> {
    let needed = if is_list { Ok(()) } else { needed() };
    let matrix = |(cpus, modes): (usize, &'static [&'static str])| {
        trial_that_needs(
            &needed,
            &format!("wasm::gives_the_rows_of_the_native_one_on_{cpus}_cpus"),
            move || are_equal(cpus, &one_mm(cpus, modes)),
        )
    };
    let mut trials: Vec<_> = [(1, FEW), (8, MANY), (64, FEW)].map(matrix).into();
    trials.push(trial_that_needs(&needed, "wasm::gives_the_rows_of_several_mms", several_mms));
    trials.push(trial_that_needs(&needed, "wasm::another_seed_is_told_apart", is_told_apart));
    trials.push(trial_that_needs(&needed, "wasm::what_is_refused_is_said_in_one_line", refuses));
    trials
}

/// What Node says to each request.
fn answers(requests: &[String]) -> Result<Vec<Answer>> {
    let module = module::build(&Tree::own())?;
    let mut node = Command::new("node")
        .args(["--eval", &(gupsync_web::RUN.concat() + DRIVER)])
        .arg(module)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    node.stdin.take().context("a pipe")?.write_all(requests.join("\n").as_bytes())?;
    let output = node.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let answers = text.lines().map(serde_json::from_str).collect::<Result<Vec<_>, _>>()?;
    ensure!(answers.len() == requests.len(), "{} answers to {} requests", answers.len(), requests.len());
    Ok(answers)
}

fn are_equal(cpus: usize, specs: &[Spec]) -> Result<()> {
    let requests: Vec<_> = specs.iter().map(|spec| format!("cpus={cpus} {spec}")).collect();
    ensure!(!requests.is_empty(), "nothing was compared");
    for (spec, answer) in specs.iter().zip(answers(&requests)?) {
        let Answer::Rows(rows) = answer else { anyhow::bail!("{spec}: {answer:?}") };
        let expected = native(spec, cpus)?;
        ensure!(rows.len() == expected.len(), "{spec}: {} rows, and {} natively", rows.len(), expected.len());
        for (row, expected) in rows.iter().zip(&expected) {
            ensure!(row == expected, "{spec}: natively {expected:#?}\nin WebAssembly {row:#?}");
        }
    }
    Ok(())
}

fn several_mms() -> Result<()> {
    are_equal(32, &of_several_mms())
}

/// The comparison would see a difference: what another seed draws.
fn is_told_apart() -> Result<()> {
    let (one, other) =
        (spec("policy=pending ops=8 naps=on"), "cpus=8 policy=pending ops=8 naps=on seed=2".to_owned());
    let Some(Answer::Rows(rows)) = answers(&[other])?.pop() else { anyhow::bail!("no rows") };
    let Some(expected) = native(&one, 8)?.pop() else { anyhow::bail!("no rows") };
    let alike = Row { seed: expected.seed, ..rows[0].clone() };
    ensure!(alike != expected, "{expected:#?}");
    Ok(())
}

fn refuses() -> Result<()> {
    let requests = ["cpus=2", "cpus=8193", "cpus=8 turbo=on"].map(str::to_owned);
    for (request, answer) in requests.iter().zip(answers(&requests)?) {
        let here: Answer = serde_json::from_str(&gupsync_web::answer(request, |_| ()))?;
        ensure!(answer == here && matches!(here, Answer::Error(_)), "{request}: {answer:?}, natively {here:?}");
    }
    Ok(())
}
