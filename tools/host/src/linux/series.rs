//! The series for Linux: the steps of `tools/linux/series`, and what they make of a source tree.
//!
//! # Guarantee
//!
//! A step is applied whole or not at all: every rule of its semantic patches has changed the file that it is for, every new
//! file is new. A rule that finds no place is an error that names it, and no tree without that change.
//!
//! # Mechanism
//!
//! A step is a folder: `needs` names the step below it; `new/` holds files of its own, `append/` lines for the end of a file
//! of Linux, `edits/PATH.cocci` semantic patches for the file `PATH`. spatch says nothing of a rule that matches nowhere, so
//! each rule is applied by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

use super::files::{Files, current};
use crate::child;
use crate::ending::{Usage, demand};

/// Where the steps lie in a checkout.
const FOLDER: &str = "tools/linux/series";
/// Each rule of a semantic patch begins and ends its declarations by this line.
const MARK: &str = "@@";

/// A step of the series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What `--series` calls it.
    pub name: String,
    needs: Option<String>,
    /// Its files by their paths in the step's folder, with what they hold.
    files: BTreeMap<PathBuf, String>,
}

/// All steps of the checkout at `root`, each after the one that it needs.
///
/// # Errors
///
/// A folder that is no step.
pub fn steps(root: &Path) -> Result<Vec<Step>> {
    let folder = root.join(FOLDER);
    let mut left = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        left.push(Step::read(&entry?.path())?);
    }
    left.sort_by(|a, b| a.name.cmp(&b.name));
    let mut steps: Vec<Step> = Vec::new();
    while !left.is_empty() {
        let is_next =
            |step: &Step| step.needs.as_ref().is_none_or(|needs| steps.iter().any(|step| step.name == *needs));
        let next = left.iter().position(is_next);
        let next = next.with_context(|| format!("{FOLDER}/{}: needs what is no step", left[0].name))?;
        steps.push(left.remove(next));
    }
    Ok(steps)
}

/// Those of `steps` that `--series` asks for, in their order.
///
/// # Errors
///
/// One line that names a step that there is not, or one whose ground is missing.
pub fn chosen(steps: &[Step], asked: &str) -> Result<Vec<Step>, Usage> {
    let names: BTreeSet<&str> = match asked {
        "none" => BTreeSet::new(),
        "all" => steps.iter().map(|step| step.name.as_str()).collect(),
        list => list.split(',').collect(),
    };
    for name in &names {
        let step = steps.iter().find(|step| step.name == *name);
        let all: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
        demand(step.is_some(), || {
            format!("--series {asked}: there is no step `{name}`; use all, none or some of {}", all.join(","))
        })?;
        let needs = step.and_then(|step| step.needs.as_deref());
        demand(needs.is_none_or(|needs| names.contains(needs)), || {
            let needs = needs.unwrap_or_default();
            format!("--series {asked}: step {name} needs {needs}; use --series {needs},{asked}")
        })?;
    }
    Ok(steps.iter().filter(|step| names.contains(step.name.as_str())).cloned().collect())
}

impl Step {
    fn read(folder: &Path) -> Result<Self> {
        let name = folder.file_name().context("a step has a name")?.to_string_lossy().into_owned();
        let mut files = BTreeMap::new();
        for entry in WalkDir::new(folder) {
            let entry = entry?;
            if entry.file_type().is_file() {
                let path = entry.path();
                let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
                files.insert(path.strip_prefix(folder)?.to_owned(), text);
            }
        }
        let needs = files.remove(Path::new("needs"));
        let needs = needs.with_context(|| format!("{}: has no file `needs`", folder.display()))?;
        let needs = Some(needs.trim().to_owned()).filter(|needs| !needs.is_empty());
        Ok(Step { name, needs, files })
    }

    /// Applies the step to `changed`, and to files of the `source` that are not among them yet.
    ///
    /// # Errors
    ///
    /// What has no place in this source, or what spatch says.
    pub fn apply(&self, source: &Path, changed: &mut Files) -> Result<()> {
        for (path, text) in &self.files {
            let what = || format!("step {}: {}", self.name, path.display());
            let no_such = |what: &str| format!("{what}: the source has no such file");
            let mut parts = path.components();
            let kind = parts.next().with_context(what)?;
            let file = parts.as_path().to_owned();
            match kind.as_os_str().to_str() {
                Some("new") => {
                    let before = current(source, changed, &file)?;
                    ensure!(before.is_none(), "{}: the source has such a file", what());
                    changed.insert(file, text.clone());
                }
                Some("append") => {
                    let before = current(source, changed, &file)?.with_context(|| no_such(&what()))?;
                    changed.insert(file, before + text);
                }
                Some("edits") => {
                    let file = file.with_extension("");
                    let before = current(source, changed, &file)?.with_context(|| no_such(&what()))?;
                    let after = edited(&file, before, text).with_context(what)?;
                    changed.insert(file, after);
                }
                _ => anyhow::bail!("{}: not in new/, append/ or edits/", what()),
            }
        }
        Ok(())
    }
}

/// The rules of a semantic patch, each with its declarations.
fn rules(patch: &str) -> Vec<String> {
    let (mut rules, mut marks) = (Vec::<String>::new(), 0);
    for line in patch.lines() {
        if line == MARK {
            if marks % 2 == 0 {
                rules.push(String::new());
            }
            marks += 1;
        }
        if let Some(rule) = rules.last_mut() {
            rule.push_str(line);
            rule.push('\n');
        }
    }
    rules
}

/// What the semantic patch `patch` makes of `text`, which is that of `file`.
fn edited(file: &Path, text: String, patch: &str) -> Result<String> {
    let rules = rules(patch);
    ensure!(!rules.is_empty(), "holds no rule");
    let work = tempfile::tempdir()?;
    let (script, copy) =
        (work.path().join("rule.cocci"), work.path().join(file.file_name().context("a file")?));
    fs::write(&copy, text)?;
    for (index, rule) in rules.iter().enumerate() {
        let before = fs::read_to_string(&copy)?;
        fs::write(&script, rule)?;
        let mut spatch = Command::new("spatch");
        spatch.arg("--very-quiet").arg("--in-place").arg("--sp-file").arg(&script).arg(&copy);
        let output = child::output(&mut spatch)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(output.status.success(), "rule {}: spatch: {}", index + 1, said.trim());
        ensure!(
            fs::read_to_string(&copy)? != before,
            "rule {} finds no place in {}",
            index + 1,
            file.display()
        );
    }
    Ok(fs::read_to_string(&copy)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::Tree;

    fn step(name: &str, needs: &str, files: &[(&str, &str)]) -> Step {
        Step {
            name: name.to_owned(),
            needs: Some(needs.to_owned()).filter(|needs| !needs.is_empty()),
            files: files.iter().map(|(path, text)| (path.into(), (*text).to_owned())).collect(),
        }
    }

    #[test]
    fn a_step_comes_after_the_one_that_it_needs() {
        let steps = steps(&Tree::own().root).expect("they can be read");
        let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "d", "c", "e", "t"]);
    }

    #[test]
    fn steps_are_chosen_with_their_ground() {
        let steps = [step("a", "", &[]), step("b", "a", &[]), step("d", "b", &[])];
        let names = |asked: &str| {
            let chosen = chosen(&steps, asked).map_err(|error| error.to_string())?;
            Ok::<_, String>(chosen.into_iter().map(|step| step.name).collect::<String>())
        };
        assert_eq!(names("all"), Ok("abd".into()));
        assert_eq!(names("none"), Ok(String::new()));
        assert_eq!(names("b,a"), Ok("ab".into()));
        assert_eq!(names("a,d"), Err("--series a,d: step d needs b; use --series b,a,d".into()));
        assert_eq!(names("x"), Err("--series x: there is no step `x`; use all, none or some of a,b,d".into()));
    }

    #[test]
    fn a_semantic_patch_is_its_rules() {
        let patch = "// Why.\n@@\n@@\n  #include <a.h>\n\n@@\nidentifier x;\n@@\n- f(x);\n";
        assert_eq!(rules(patch), ["@@\n@@\n  #include <a.h>\n\n", "@@\nidentifier x;\n@@\n- f(x);\n"]);
    }

    #[test]
    fn files_are_made_and_added_to_and_no_file_is_replaced() {
        let source = tempfile::tempdir().expect("a folder");
        fs::write(source.path().join("Makefile"), "obj-y += a.o\n").expect("a file");
        let made = step("a", "", &[("new/b.c", "int b;\n"), ("append/Makefile", "obj-y += b.o\n")]);
        let mut changed = Files::new();
        made.apply(source.path(), &mut changed).expect("it has its places");
        let file = |name: &str| changed.get(Path::new(name)).map(String::as_str);
        assert_eq!(file("b.c"), Some("int b;\n"));
        assert_eq!(file("Makefile"), Some("obj-y += a.o\nobj-y += b.o\n"));
        let again = made.apply(source.path(), &mut changed).expect_err("it is there");
        assert_eq!(again.to_string(), "step a: new/b.c: the source has such a file");
    }

    #[test]
    fn a_rule_that_finds_no_place_is_an_error() {
        if child::output(Command::new("spatch").arg("--version")).is_err() {
            crate::say::err("a_rule_that_finds_no_place_is_an_error: not run: no spatch (Debian: coccinelle)");
            return;
        }
        let source = tempfile::tempdir().expect("a folder");
        fs::write(source.path().join("a.c"), "int f(int x)\n{\n\treturn g(x);\n}\n").expect("a file");
        let rule = |name: &str| format!("@@\nexpression e;\n@@\n- {name}(e)\n+ h(e + 0)\n");
        let of = |text: &str| step("a", "", &[("edits/a.c.cocci", text)]);
        let mut changed = Files::new();
        of(&rule("g")).apply(source.path(), &mut changed).expect("it has a place");
        assert_eq!(changed[Path::new("a.c")], "int f(int x)\n{\n\treturn h(x + 0);\n}\n");
        // One of two that has none is enough, and the file is as it was.
        let error =
            of(&(rule("h") + &rule("g"))).apply(source.path(), &mut changed).expect_err("there is no g");
        assert_eq!(format!("{error:#}"), "step a: edits/a.c.cocci: rule 2 finds no place in a.c");
        assert_eq!(changed[Path::new("a.c")], "int f(int x)\n{\n\treturn h(x + 0);\n}\n");
    }
}
