//! `linux build`: Debian's Linux source, changed by steps of the series or by patches, built to a bzImage.
//!
//! # Guarantee
//!
//! The bzImage that is named was built from exactly this source, these changes and this configuration: it lies in a folder
//! that is named for all of them. Nothing outside the cache is written but what `--out` asks for. A build that fails is
//! said in make's own words, and leaves no bzImage.
//!
//! # Mechanism
//!
//! The package's source is unpacked once and never written to. What is built is a copy of it made of hard links, in which
//! only the files that a change touches are files of their own; make then builds anew what depends on those.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use super::changes;
use super::debian;
use super::files::{Files, in_source};
use super::needed;
use super::series::{self, Step};
use crate::args::linux::BuildArgs;
use crate::artifacts::Tree;
use crate::ending::{Ending, Usage};
use crate::{child, say};

/// Debian's package of the source that the series is for.
const PACKAGE: &str = "linux-source-7.3";
/// What is configured, in the checkout.
const CONFIG: &str = "tools/linux/config";
/// Half of the source: headers of one driver, which is not configured.
const LEFT_OUT: &str = "*/drivers/gpu/drm/amd/include/*";
/// What make makes.
const BZIMAGE: &str = "bzImage";
/// What make is told besides: `linux check --flush pv` answers functions of kvm.c in place of KVM, which are not to be inlined.
/// Those that say `inline` are: without EFI the file does not link otherwise.
const FLAGS: &str =
    "CFLAGS_kvm.o=-fno-inline-functions -fno-inline-small-functions -fno-inline-functions-called-once";
/// What is kept of a build: where make leaves it, and its name.
const PRODUCTS: [(&str, &str); 3] =
    [("arch/x86/boot/bzImage", BZIMAGE), (".config", "config"), ("System.map", "System.map")];
/// All changes, as a patch.
const DIFF: &str = "series.diff";
/// So many of make's last lines are shown.
const SHOWN: usize = 8;

/// Builds, and says where the bzImage is.
///
/// # Errors
///
/// One line for what is missing, what cannot be applied, or what does not build.
pub fn run(args: &BuildArgs) -> Result<Ending> {
    let root = Tree::own().root;
    let steps = series::chosen(&series::steps(&root)?, &args.series)?;
    let patches = args.patch.iter().map(|file| changes::read_patch(file)).collect::<Result<Vec<_>>>()?;
    let mut config = fs::read_to_string(root.join(CONFIG)).context(CONFIG)?;
    for file in &args.config {
        config = merged(&config, &read_config(file)?);
    }
    let (_lock, work) = Work::open()?;
    let files = changes::of(&work.source, &steps, &patches)?;
    let name = name_of(&steps, &patches, &args.config);
    let built = work.cache.join("built").join(format!("{:016x}", work.key(&name, &files, &config)?));
    if !built.exists() {
        work.lay(&files)?;
        work.configure(&config)?;
        work.make(&name)?;
        work.keep(&files, &built)?;
    }
    if let Some(out) = &args.out {
        hand_out(&built, out)?;
    }
    let place = args.out.as_ref().unwrap_or(&built);
    say::out(place.join(BZIMAGE).display());
    Ok(Ending::AsPromised)
}

/// What `uname -r` ends in: which steps, and whether there were patches and another configuration.
fn name_of(steps: &[Step], patches: &[changes::Patch], configs: &[PathBuf]) -> String {
    let steps: String = steps.iter().map(|step| step.name.as_str()).collect();
    let parts = [("-gup-", steps.as_str()), ("-patched", ""), ("-configured", "")];
    let is_there = [!steps.is_empty(), !patches.is_empty(), !configs.is_empty()];
    let parts = parts.into_iter().zip(is_there).filter(|(_, is_there)| *is_there);
    parts.map(|((head, tail), _)| format!("{head}{tail}")).collect()
}

/// The settings of a fragment, each a line `CONFIG_NAME=value`.
fn read_config(file: &Path) -> Result<Vec<String>, Usage> {
    let named = |error: String| Usage(format!("--config {}: {error}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
    let off = |line: &str| Some(format!("{}=n", line.strip_prefix("# ")?.strip_suffix(" is not set")?));
    let settings = text.lines().map(|line| off(line).unwrap_or_else(|| line.to_owned()));
    let settings: Vec<_> = settings.filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect();
    let is_bad = |line: &&String| !line.starts_with("CONFIG_") || !line.contains('=');
    match settings.iter().find(is_bad) {
        Some(line) => Err(named(format!("`{line}` is no CONFIG_NAME=value"))),
        None => Ok(settings),
    }
}

/// A fragment, with `settings` in place of those that it has of the same names.
fn merged(fragment: &str, settings: &[String]) -> String {
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let names: BTreeSet<_> = settings.iter().map(|line| name(line)).collect();
    let kept = fragment.lines().filter(|line| !names.contains(&name(line))).map(str::to_owned);
    kept.chain(settings.iter().cloned()).map(|line| line + "\n").collect()
}

/// Copies what was built.
fn hand_out(built: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("--out {}", out.display()))?;
    for name in PRODUCTS.map(|(_, name)| name).into_iter().chain([DIFF]) {
        fs::copy(built.join(name), out.join(name)).with_context(|| format!("--out {}", out.display()))?;
    }
    Ok(())
}

/// Where it is built.
pub(super) struct Work {
    pub(super) cache: PathBuf,
    /// The source as it is in the package.
    source: PathBuf,
    /// The copy that is changed and built.
    pub(super) tree: PathBuf,
}

impl Work {
    /// The place, and a lock on it: two builds at once would change each other's files.
    pub(super) fn open() -> Result<(File, Self)> {
        needed::demand(needed::KERNEL)?;
        let cache = debian::cache()?.join("build");
        fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
        let lock = cache.join("lock");
        let lock = File::create(&lock).with_context(|| lock.display().to_string())?;
        lock.lock().context("the cache cannot be locked")?;
        Ok((lock, Work::unpack(cache)?))
    }

    /// The source, from the package if it is not unpacked yet.
    fn unpack(cache: PathBuf) -> Result<Self> {
        let package = debian::package(PACKAGE)?;
        let name = package.file_stem().context("a package has a name")?.to_string_lossy().into_owned();
        let source = cache.join(format!("{name}.source"));
        if !source.exists() {
            say::err(format_args!("unpacking {name}: 1 GB"));
            let work = tempfile::tempdir_in(&cache)?;
            let (outer, inner) = (work.path().join("deb"), work.path().join("source"));
            fs::create_dir_all(&inner)?;
            run_in(&cache, Command::new("dpkg-deb").arg("-x").arg(&package).arg(&outer))?;
            let archive = outer.join("usr/src").join(format!("{PACKAGE}.tar.xz"));
            let mut tar = Command::new("tar");
            tar.arg("--strip-components=1").arg("--exclude").arg(LEFT_OUT);
            run_in(&cache, tar.arg("-C").arg(&inner).arg("-xf").arg(&archive))?;
            fs::rename(&inner, &source)?;
        }
        let tree = cache.join(format!("{name}.tree"));
        if !tree.exists() {
            let copy = cache.join("copy");
            let _ = fs::remove_dir_all(&copy);
            run_in(&cache, Command::new("cp").arg("-al").arg(&source).arg(&copy))?;
            fs::rename(&copy, &tree)?;
        }
        Ok(Work { cache, source, tree })
    }

    /// What names the result: the source, its changes, the configuration, and the compiler.
    fn key(&self, name: &str, files: &Files, config: &str) -> Result<u64> {
        let compiler = child::output(Command::new("gcc").arg("--version"))?.stdout;
        let mut hasher = DefaultHasher::new();
        (self.source.file_name(), name, files, config, FLAGS, compiler).hash(&mut hasher);
        Ok(hasher.finish())
    }

    /// Gives the copy these files, and takes back those that a build before has changed. A file that is as it is to be
    /// stays untouched, so that make does not build it anew.
    fn lay(&self, files: &Files) -> Result<()> {
        let list = self.tree.with_extension("changed");
        let before = match fs::read_to_string(&list) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text.with_context(|| list.display().to_string())?,
        };
        let before: BTreeSet<PathBuf> = before.lines().map(PathBuf::from).collect();
        let all: BTreeSet<_> = before.iter().chain(files.keys()).collect();
        let lines: String = all.iter().map(|file| format!("{}\n", file.display())).collect();
        fs::write(&list, lines)?;
        for file in all {
            let text = match files.get(file) {
                Some(text) => Some(text.clone()),
                None => in_source(&self.source, file)?,
            };
            self.write(file, text.as_deref()).with_context(|| file.display().to_string())?;
        }
        Ok(())
    }

    /// Makes a file of the copy hold this, or not be there.
    fn write(&self, file: &Path, text: Option<&str>) -> Result<()> {
        let path = self.tree.join(file);
        let is_so = fs::read_to_string(&path).ok().as_deref() == text;
        if is_so {
            return Ok(());
        }
        // Not written through the link: the source keeps what it holds.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        if let Some(text) = text {
            fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
            fs::write(&path, text)?;
        }
        Ok(())
    }

    pub(super) fn make_command(&self) -> Command {
        let mut make = Command::new("make");
        // Without MAKEFLAGS of a make that this may run under.
        make.current_dir(&self.tree).arg("ARCH=x86_64").arg("--silent").env_remove("MAKEFLAGS");
        make
    }

    /// Configures the fragment, all else as small as it can be, and sees that all of it was taken.
    fn configure(&self, config: &str) -> Result<()> {
        let fragment = self.cache.join("fragment");
        let path = self.tree.join(".config");
        fs::write(&fragment, config)?;
        let mut make = self.make_command();
        make.arg("allnoconfig").env("KCONFIG_ALLCONFIG", &fragment);
        run_in(&self.tree, &mut make).context("the kernel cannot be configured")?;
        let made = fs::read_to_string(&path)?;
        let lost = lost(config, &made);
        let lost = lost.join(", ");
        ensure!(
            lost.is_empty(),
            "{CONFIG}, or --config: this source does not take {lost}: what that depends on is off; leave it out or add it"
        );
        Ok(())
    }

    fn make(&self, name: &str) -> Result<()> {
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        say::err(format_args!(
            "building Linux{name} with {jobs} jobs: some ten minutes of one CPU at first, less if little has changed"
        ));
        let mut make = self.make_command();
        make.arg(format!("-j{jobs}")).arg(BZIMAGE).arg(FLAGS).env("LOCALVERSION", name);
        make.env("KBUILD_BUILD_TIMESTAMP", "@0")
            .env("KBUILD_BUILD_USER", "gupsync")
            .env("KBUILD_BUILD_HOST", "gupsync");
        run_in(&self.tree, &mut make).context("the kernel does not build")
    }

    /// Keeps what was built under the name of what it was built from.
    fn keep(&self, files: &Files, built: &Path) -> Result<()> {
        let folder = built.parent().context("it lies in a folder")?;
        fs::create_dir_all(folder)?;
        let work = tempfile::tempdir_in(folder)?;
        for (from, name) in PRODUCTS {
            fs::copy(self.tree.join(from), work.path().join(name))
                .with_context(|| format!("make has made no {from}"))?;
        }
        fs::write(work.path().join(DIFF), changes::diff(&self.source, files)?)?;
        fs::rename(work.keep(), built)?;
        Ok(())
    }
}

/// Runs a program to its end; what it said last is the error.
pub(super) fn run_in(folder: &Path, command: &mut Command) -> Result<()> {
    let output = child::output(command.current_dir(folder))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(SHOWN)..];
    bail!("{} ended with {}: {}", command.get_program().display(), output.status, last.join("\n"));
}

/// The lines of a fragment that a configuration does not have.
fn lost(fragment: &str, made: &str) -> Vec<String> {
    let made: BTreeSet<_> = made.lines().collect();
    let settings = fragment.lines().filter(|line| line.starts_with("CONFIG_"));
    let is_lost = |line: &&str| match line.strip_suffix("=n") {
        Some(name) => made.iter().any(|line| line.starts_with(&format!("{name}="))),
        None => !made.contains(line),
    };
    settings.filter(is_lost).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_configuration_has_not_taken_is_named() {
        let made = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=8\nCONFIG_D=y\n";
        assert_eq!(lost("# why\nCONFIG_A=y\nCONFIG_B=n\nCONFIG_E=n\nCONFIG_N=8\n", made), Vec::<String>::new());
        let bad = "CONFIG_B=y\nCONFIG_D=n\nCONFIG_N=80\nCONFIG_C=y\n";
        assert_eq!(lost(bad, made), ["CONFIG_B=y", "CONFIG_D=n", "CONFIG_N=80", "CONFIG_C=y"]);
    }

    #[test]
    fn a_fragment_takes_the_place_of_what_it_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("more");
        fs::write(&file, "# Why.\nCONFIG_B=n\n\n# CONFIG_A is not set\nCONFIG_N=4\n").expect("a file");
        let settings = read_config(&file).expect("it can be read");
        assert_eq!(
            merged("# x\nCONFIG_A=y\nCONFIG_AB=y\n", &settings),
            "# x\nCONFIG_AB=y\nCONFIG_B=n\nCONFIG_A=n\nCONFIG_N=4\n"
        );
        fs::write(&file, "THP=n\n").expect("a file");
        let error = read_config(&file).expect_err("it says no setting").to_string();
        assert!(
            error.starts_with("--config ") && error.ends_with("more: `THP=n` is no CONFIG_NAME=value"),
            "{error}"
        );
        assert!(read_config(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_copy_changes_and_the_source_does_not() {
        let cache = tempfile::tempdir().expect("a folder");
        let (source, tree) = (cache.path().join("s"), cache.path().join("t"));
        fs::create_dir(&source).expect("a folder");
        fs::create_dir(&tree).expect("a folder");
        fs::write(source.join("a"), "old").expect("a file");
        fs::hard_link(source.join("a"), tree.join("a")).expect("a link");
        let work = Work { cache: cache.path().to_owned(), source: source.clone(), tree: tree.clone() };
        let lay = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(file, text)| (file.into(), (*text).to_owned())).collect();
            work.lay(&files).expect("they can be written");
            ["a", "d/b"].map(|file| fs::read_to_string(tree.join(file)).ok())
        };
        assert_eq!(lay(&[("a", "new"), ("d/b", "own")]), [Some("new".into()), Some("own".into())]);
        assert_eq!(fs::read_to_string(source.join("a")).expect("it is there"), "old");
        let written = || fs::metadata(tree.join("a")).and_then(|about| about.modified()).expect("it is there");
        let first = written();
        assert_eq!(lay(&[("a", "new")]), [Some("new".into()), None]);
        assert_eq!(written(), first, "what is as it is to be is not written again");
        assert_eq!(lay(&[]), [Some("old".into()), None]);
        assert!(written() > first, "what is taken back is newer than what was built of it");
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let mut sh = Command::new("sh");
        sh.arg("-c").arg("for n in 1 2 3 4 5 6 7 8 9; do echo line $n; done; exit 2");
        let error = run_in(Path::new("/"), &mut sh).expect_err("it fails").to_string();
        assert!(
            error.starts_with("sh ended with exit status: 2: line 2\n") && error.ends_with("line 9"),
            "{error}"
        );
    }
}
