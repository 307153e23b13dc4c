//! Items 12 and 15: the start script, in checkouts that hold nothing else, with a cargo that is a script too: which checkout
//! it names, where that is built, and how it ends.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gupsync_host::artifacts::{ROOT, Tree};
use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::cli::said;
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("cli::item_12_checkouts_that_share_a_target_folder_are_built_apart", shared),
        trial("cli::item_12_a_relative_target_folder_and_an_unset_home", relative),
        trial("cli::item_17_a_cargo_without_rustup_is_told_what_lacks", distribution),
        trial("cli::item_15_the_start_script_ends_with_3", fails),
    ]
}

/// Another process writes it: what other tests fork meanwhile would keep it open for writing, and so not to be run.
fn script(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("a folder")?)?;
    let mut shell = Command::new("sh");
    shell.args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\""]).arg(path).arg(text);
    ensure!(shell.status()?.success(), "{} cannot be written", path.display());
    Ok(())
}

/// A checkout with the start script, and a cargo that `builds`: by default a host program that says how it was started.
struct Checkout(TempDir);

const BUILDS: &str = "mkdir -p \"$CARGO_TARGET_DIR/release\"; program=$CARGO_TARGET_DIR/release/gupsync-host
echo '#!/bin/sh' >\"$program\"; echo 'echo $GUPSYNC_ROOT $CARGO_TARGET_DIR; exit 2' >>\"$program\"; chmod +x \"$program\"";

impl Checkout {
    fn new(builds: &str) -> Result<Self> {
        let work = tempfile::tempdir()?;
        fs::create_dir(work.path().join("tools"))?;
        fs::copy(Tree::own().root.join("tools/gupsync"), work.path().join("tools/gupsync"))?;
        for target in ["x86_64-unknown-none", "x86_64-unknown-uefi", "x86_64-unknown-linux-musl"] {
            fs::create_dir_all(work.path().join("sysroot/lib/rustlib").join(target))?;
        }
        script(&work.path().join("bin/rustc"), &format!("echo {}", work.path().join("sysroot").display()))?;
        script(&work.path().join("bin/cargo"), builds)?;
        Ok(Checkout(work))
    }

    /// The start script, given `target`, in the folder above the checkout.
    fn start(&self, target: &str) -> Result<Command> {
        let mut path = vec![self.0.path().join("bin")];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").context("PATH")?));
        let mut command = Command::new(self.0.path().join("tools/gupsync"));
        command.arg("--version").env("PATH", std::env::join_paths(path)?).env("CARGO_TARGET_DIR", target);
        command.env_remove(ROOT).current_dir(self.0.path().parent().context("a folder")?);
        Ok(command)
    }
}

/// The root and the target folder that the host program was started with.
fn told(command: &mut Command) -> Result<(String, String)> {
    let output = command.output()?;
    ensure!(output.status.code() == Some(2), "the host program's own status is lost: {}", said(&output));
    let text = String::from_utf8(output.stdout)?;
    let (root, target) = text.trim().split_once(' ').context("two words")?;
    Ok((root.to_owned(), target.to_owned()))
}

fn shared() -> Result<()> {
    let target = tempfile::tempdir()?;
    let name = target.path().display().to_string();
    let (one, other) = (Checkout::new(BUILDS)?, Checkout::new(BUILDS)?);
    let (first, second) = (told(&mut one.start(&name)?)?, told(&mut other.start(&name)?)?);
    for (checkout, (root, folder)) in [(&one, &first), (&other, &second)] {
        ensure!(Path::new(root) == checkout.0.path().canonicalize()?, "{root}");
        ensure!(folder.starts_with(&name) && *folder != name, "{folder}");
    }
    ensure!(first.1 != second.1, "both are built in {}", first.1);
    // What the host program starts is built where it was built itself.
    ensure!(told(&mut one.start(&first.1)?)? == first);
    // One that is not shared is its own already.
    let own = one.0.path().canonicalize()?.join("target").display().to_string();
    ensure!(told(&mut one.start("")?)?.1 == own && told(&mut one.start(&own)?)?.1 == own);
    Ok(())
}

fn relative() -> Result<()> {
    let checkout = Checkout::new(BUILDS)?;
    let name =
        format!("{}/built", checkout.0.path().file_name().and_then(|name| name.to_str()).context("a name")?);
    let (_, target) = told(checkout.start(&name)?.env_remove("HOME"))?;
    ensure!(Path::new(&target).is_absolute() && Path::new(&target).is_dir(), "{target}");
    Ok(())
}

fn fails() -> Result<()> {
    let checkout = Checkout::new("exit 101")?;
    let output = checkout.start("")?.output()?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    let told = said(&output);
    ensure!(told.lines().last() == Some("error: the host program does not build"), "{told}");
    ensure!(told.lines().count() == 2 && told.starts_with("first build: the host program, "), "{told}");
    // A folder that cannot be made: cargo says why, and the script how it ends.
    let own = Command::new(Tree::own().root.join("tools/gupsync"))
        .arg("--version")
        .env("CARGO_TARGET_DIR", "/proc/nothing")
        .output()?;
    ensure!(own.status.code() == Some(3), "{}: {}", own.status, said(&own));
    ensure!(
        said(&own).ends_with("cannot be written; name a folder that can be by CARGO_TARGET_DIR"),
        "{}",
        said(&own)
    );
    Ok(())
}

/// Item 17: without rustup, what it would install is not there.
fn distribution() -> Result<()> {
    let checkout = Checkout::new(BUILDS)?;
    fs::remove_dir(checkout.0.path().join("sysroot/lib/rustlib/x86_64-unknown-uefi"))?;
    // All programs but rustup, from where the system has them.
    let path = format!("{}:/usr/bin:/bin", checkout.0.path().join("bin").display());
    let output = checkout.start("")?.env("PATH", path).env_remove("HOME").output()?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    let told = said(&output);
    ensure!(
        told.contains("/bin/cargo is not rustup's") && told.ends_with("install rustup from https://rustup.rs"),
        "{told}"
    );
    ensure!(told.lines().count() == 1, "{told}");
    Ok(())
}
