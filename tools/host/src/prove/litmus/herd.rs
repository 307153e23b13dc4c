//! herd7 and Linux's memory model: where they are, and what they say.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::folder::FOLDER;
use super::model::Model;
use crate::artifacts::Tree;
use crate::child;

/// What Linux's model consists of, among others.
const LKMM_FILE: &str = "linux-kernel.cfg";
/// Where it lies in a source tree of Linux.
const LKMM_FOLDER: &str = "tools/memory-model";
/// So many seconds of a CPU's time a test may take. The longest takes two.
const SECONDS: &str = "60";

/// What is needed, or what to do about what is not there.
pub struct Herd {
    program: PathBuf,
    /// Linux's model.
    lkmm: PathBuf,
}

/// What came out of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether what must not come out can.
    pub is_found: bool,
    /// Whether there is a data race.
    pub is_race: bool,
}

impl Herd {
    /// # Errors
    ///
    /// One line that says how to get what is missing.
    pub fn find() -> Result<Self> {
        let program = program("HERD7", "herd7").ok_or_else(|| {
            anyhow!(
                "no herd7: apt-get install herdtools7 (Debian forky or later), or name the program by HERD7"
            )
        })?;
        let lkmm = lkmm(&program).ok_or_else(|| {
            anyhow!("no {LKMM_FILE}: apt-get install linux-source, or name Linux's {LKMM_FOLDER} by LKMM_DIR")
        })?;
        Ok(Herd { program, lkmm })
    }

    /// What herd7 says of itself, and which model of Linux it reads.
    ///
    /// # Errors
    ///
    /// If it cannot be run.
    pub fn version(&self) -> Result<String> {
        let output = child::output(Command::new(&self.program).arg("-version"))?;
        ensure!(output.status.success(), "{} -version: {}", self.program.display(), output.status);
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.split([',', ' ', '\n']).next().unwrap_or_default().to_owned();
        Ok(format!("herd7 {version}, {}", self.lkmm.display()))
    }

    /// Runs the tests in `files` under `model`: the outcome of each, by its name.
    ///
    /// # Errors
    ///
    /// If herd7 could not be run, or has left out a test.
    pub fn run(&self, model: Model, files: &[PathBuf]) -> Result<HashMap<String, Outcome>> {
        let mut command = Command::new(&self.program);
        command.args(["-timeout", SECONDS]);
        match model {
            Model::Lkmm => command.arg("-I").arg(&self.lkmm).arg("-conf").arg(self.lkmm.join(LKMM_FILE)),
            Model::Rc11 => command.args(["-c11", "-cat", model.cat()]),
            // There are no data races in assembly, so that the first execution that must not be will do.
            _ => command.arg("-I").arg(Tree::own().root.join(FOLDER)).args([
                "-speedcheck",
                "fast",
                "-cat",
                model.cat(),
            ]),
        };
        let output = child::output(command.args(files))?;
        let outcomes = read(&String::from_utf8_lossy(&output.stdout));
        if outcomes.len() != files.len() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "herd7 came to {} of {} tests under {}: {}",
                outcomes.len(),
                files.len(),
                model.name(),
                said.trim()
            );
        }
        Ok(outcomes)
    }
}

/// `Observation NAME Never|Sometimes|Always ...`, behind the flags of that test.
fn read(said: &str) -> HashMap<String, Outcome> {
    let mut outcomes = HashMap::new();
    let mut is_race = false;
    for line in said.lines() {
        let mut words = line.split(' ');
        match words.next() {
            Some("Test") => is_race = false,
            // The first is Linux's word, the second that of C.
            Some("Flag") => is_race |= matches!(words.next(), Some("data-race" | "*undef*")),
            Some("Observation") => {
                if let (Some(name), Some(observed)) = (words.next(), words.next()) {
                    outcomes.insert(name.to_owned(), Outcome { is_found: observed != "Never", is_race });
                }
            }
            _ => {}
        }
    }
    outcomes
}

/// A program: named by a variable, in PATH, or where opam puts it.
pub fn program(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(named) = env::var_os(variable).filter(|named| !named.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".opam"));
    let opam = home.and_then(|opam| fs::read_dir(opam).ok());
    let opam = opam.into_iter().flatten().flatten().map(|switch| switch.path().join("bin"));
    let folders = env::split_paths(&path).chain(["/usr/local/bin".into(), "/opt/bin".into()]).chain(opam);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Linux's model: named by `LKMM_DIR`, in herd7's own library, in a source tree of Linux, or in Debian's archive of one.
fn lkmm(program: &Path) -> Option<PathBuf> {
    let is_there = |folder: &PathBuf| folder.join(LKMM_FILE).is_file();
    if let Some(named) = env::var_os("LKMM_DIR").filter(|named| !named.is_empty()) {
        return Some(PathBuf::from(named)).filter(is_there);
    }
    let library = child::output(Command::new(program).arg("-libdir")).ok();
    let library = library.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let below = |folder: &str| {
        let mut found: Vec<_> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        found.sort();
        // The newest first.
        found.into_iter().rev()
    };
    let kernels = below("/lib/modules").flat_map(|kernel| [kernel.join("source"), kernel.join("build")]);
    let trees = below("/usr/src").chain(kernels).map(|tree| tree.join(LKMM_FOLDER));
    let unpacked = || below("/usr/src").find_map(|archive| unpacked(&archive).ok());
    library.into_iter().chain(trees).find(is_there).or_else(unpacked)
}

/// The model out of an archive `linux-source-VERSION.tar.xz`, unpacked beside what is built.
fn unpacked(archive: &Path) -> Result<PathBuf> {
    let name = archive.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_prefix("linux-source-").and_then(|rest| rest.strip_suffix(".tar.xz"));
    let folder = Tree::own().target_of("litmus").join(name.context("is another file")?);
    if !folder.join(LKMM_FILE).is_file() {
        fs::create_dir_all(&folder)?;
        let mut tar = Command::new("tar");
        tar.arg("-xf").arg(archive).arg("-C").arg(&folder).arg("--strip-components=3").arg("--wildcards");
        let output = child::output(
            tar.arg(format!("*/{LKMM_FOLDER}/linux-kernel.*")).arg(format!("*/{LKMM_FOLDER}/lock.cat")),
        )?;
        ensure!(output.status.success(), "{}: {}", archive.display(), output.status);
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_herd7_says_is_read() {
        let said = "\
Test a Allowed
States 1
No
Observation a Never 0 3
Time a 0.01

Test b Allowed
Flag data-race
Observation b Never 0 3
Test c Allowed
Flag *undef*
Observation c Sometimes 1 3
Test d Allowed
Flag mixed-accesses
Observation d Always 1 0
";
        let outcomes = read(said);
        let of = |name: &str| outcomes.get(name).map(|outcome| (outcome.is_found, outcome.is_race));
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(of),
            [Some((false, false)), Some((false, true)), Some((true, true)), Some((true, false)), None]
        );
    }
}
