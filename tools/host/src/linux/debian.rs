//! Debian's newest packaged kernel, fetched into a cache.
//!
//! # Guarantee
//!
//! Nothing is installed, and the system's package lists are left as they are: apt works in a folder of its own, with sources
//! of its own, and checks what it fetches by Debian's keys. What is in the cache is complete: it is moved there at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{child, say};

/// Where kernels are looked for, in this order.
const SUITES: [&str; 2] = ["trixie-backports", "trixie"];
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// How packages with an image are named, before and after the version. From 7.0 on the image is in `linux-binary`.
const PACKAGES: [&str; 2] = ["linux-binary-", "linux-image-"];
const FLAVOUR: &str = "-cloud-amd64";
const REMEDY: &str = "name a kernel by --kernel bzImage";

/// Debian's newest kernel for virtual machines: its bzImage, and where it is from.
///
/// # Errors
///
/// Why it cannot be had, and what to do instead.
pub fn kernel() -> Result<(PathBuf, String)> {
    let cache = cache()?;
    if let Some(found) = cached(&cache) {
        return Ok(found);
    }
    fetch(&cache).with_context(|| format!("no kernel of Debian can be had; {REMEDY}"))
}

/// Where kernels are kept.
///
/// # Errors
///
/// If the system has no place for that.
pub fn cache() -> Result<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|base| base.is_absolute());
    let base = base.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set; set one to a folder")?;
    let cache = base.join("gupsync/linux");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

/// The kernel that was fetched before: it is kept as `SUITE_PACKAGE`. A file that is removed is fetched anew.
fn cached(cache: &Path) -> Option<(PathBuf, String)> {
    let files = fs::read_dir(cache).ok()?.flatten().map(|entry| entry.file_name());
    let names: Vec<_> = files.filter_map(|name| name.into_string().ok()).collect();
    let rank = |name: &&String| {
        let (suite, package) = name.split_once('_').filter(|(_, package)| package.ends_with(FLAVOUR))?;
        Some((SUITES.iter().rev().position(|known| *known == suite)?, version(package)))
    };
    let newest = names.iter().filter(|name| rank(name).is_some()).max_by_key(rank)?;
    let (suite, package) = newest.split_once('_')?;
    Some((cache.join(newest), format!("Debian's {package}, {suite}, from the cache")))
}

fn fetch(cache: &Path) -> Result<(PathBuf, String)> {
    of_a_suite(|suite| {
        // In the cache, so that the last step is a rename.
        let work = tempfile::tempdir_in(cache)?;
        let apt = Apt::new(suite, work.path())?;
        let package = apt.newest_kernel()?;
        let image = apt.image_of(&package)?;
        let kept = cache.join(format!("{suite}_{package}"));
        fs::rename(image, &kept)?;
        Ok((kept, format!("Debian's {package}, {suite}, fetched now")))
    })
}

/// What the first suite gives that has it; or why none does.
fn of_a_suite<T>(fetch: impl Fn(&str) -> Result<T>) -> Result<T> {
    ensure!(Path::new(KEYS).is_file(), "{KEYS} is not there (package debian-archive-keyring)");
    let mut reasons = Vec::new();
    for suite in SUITES {
        match fetch(suite) {
            Ok(found) => return Ok(found),
            Err(error) => reasons.push(format!("{suite}: {error:#}")),
        }
    }
    bail!("{}", reasons.join("; "))
}

/// The package `name`, of the first suite that has it, from the cache or fetched into it.
///
/// # Errors
///
/// Why it cannot be had.
pub fn package(name: &str) -> Result<PathBuf> {
    let cache = cache()?;
    if let Some(found) = newest_deb(&cache, name) {
        return Ok(found);
    }
    say::err(format_args!("fetching {name}"));
    let fetched = of_a_suite(|suite| {
        let work = tempfile::tempdir_in(&cache)?;
        let deb = Apt::new(suite, work.path())?.download(name)?;
        let kept = cache.join(deb.file_name().context("a file has a name")?);
        fs::rename(deb, &kept)?;
        Ok(kept)
    });
    fetched.with_context(|| format!("Debian's {name} cannot be had"))
}

/// The newest version of a package that lies in a folder.
fn newest_deb(folder: &Path, name: &str) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name());
    let names = files.filter_map(|name| name.into_string().ok());
    let of = |file: &String| {
        file.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')) && file.ends_with(".deb")
    };
    names.filter(of).max_by_key(|name| version(name)).map(|name| folder.join(name))
}

/// apt, in a folder of its own.
struct Apt<'w> {
    work: &'w Path,
}

impl<'w> Apt<'w> {
    /// With the packages of `suite`.
    fn new(suite: &str, work: &'w Path) -> Result<Self> {
        for folder in ["lists/partial", "archives/partial", "tree"] {
            fs::create_dir_all(work.join(folder))?;
        }
        fs::write(work.join("status"), "")?;
        let source = format!("deb [arch=amd64 signed-by={KEYS}] {MIRROR} {suite} main\n");
        fs::write(work.join("sources.list"), source)?;
        let apt = Apt { work };
        apt.run("apt-get", &["-qq", "update"])?;
        Ok(apt)
    }

    /// Runs one of its programs here.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        let at = |name: &str| self.work.join(name).display().to_string();
        let settings = [
            ("Dir::State", at("")),
            ("Dir::State::lists", at("lists")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", at("")),
            ("Dir::Cache::archives", at("archives")),
            ("Dir::Etc::sourcelist", at("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".to_owned()),
            ("APT::Sandbox::User", "root".to_owned()),
            ("Acquire::Retries", "2".to_owned()),
        ];
        for (key, value) in settings {
            command.arg("-o").arg(format!("{key}={value}"));
        }
        run(command.args(arguments).current_dir(self.work))
    }

    /// The newest package with an image.
    fn newest_kernel(&self) -> Result<String> {
        let names = self.run("apt-cache", &["pkgnames", "linux-"])?;
        newest(names.lines()).map(str::to_owned).context("it has no linux-binary and no linux-image for amd64")
    }

    /// Fetches a package.
    fn download(&self, package: &str) -> Result<PathBuf> {
        self.run("apt-get", &["-qq", "download", package])?;
        newest_deb(self.work, package).context("apt-get has downloaded nothing")
    }

    /// Fetches a package, and returns the image that it holds.
    fn image_of(&self, package: &str) -> Result<PathBuf> {
        let deb = self.download(package)?;
        let tree = self.work.join("tree");
        run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&tree))?;
        image_in(&tree).with_context(|| format!("{package} holds no image"))
    }
}

/// Runs a program; its last word is the reason where it fails.
fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = child::output(command)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}", said.trim().lines().last().unwrap_or("it has failed without a word"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The image below a folder: `usr/lib/modules/VERSION/vmlinuz`, or `boot/vmlinuz-VERSION` until 6.12.
fn image_in(folder: &Path) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let is_image = entry.file_name().to_string_lossy().starts_with("vmlinuz");
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match (is_folder, is_image) {
            (true, _) => {
                if let Some(image) = image_in(&path) {
                    return Some(image);
                }
            }
            (false, true) => return Some(path),
            (false, false) => {}
        }
    }
    None
}

/// The newest of the packages with an image, those of the first kind before those of the second.
fn newest<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let of = |kind: &str| {
        let is_one = |name: &&str| {
            let version = name.strip_prefix(kind).and_then(|rest| rest.strip_suffix(FLAVOUR));
            version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        };
        names.clone().filter(is_one).max_by_key(|name| version(name))
    };
    PACKAGES.into_iter().find_map(of)
}

/// The numbers of a name, in order.
fn version(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_package_is_that_of_the_highest_version() {
        let names = [
            "linux-image-cloud-amd64",
            "linux-image-9.0.1+deb13-cloud-amd64",
            "linux-binary-7.3.4+deb13-amd64",
            "linux-binary-7.2.12+deb13-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-binary-7.3.10+deb13-cloud-arm64",
            "linux-binary-unsigned-7.3.5+deb13-cloud-amd64",
            "linux-binary-7.3.4-rt+deb13-amd64",
        ];
        assert_eq!(newest(names.into_iter()), Some("linux-binary-7.3.4+deb13-cloud-amd64"));
        assert_eq!(newest(names[..2].iter().copied()), Some("linux-image-9.0.1+deb13-cloud-amd64"));
        assert_eq!(newest(names[..1].iter().copied()), None);
        assert!(version("linux-binary-7.3.10+deb13") > version("linux-binary-7.3.4+deb13"));
    }

    #[test]
    fn what_was_fetched_before_is_taken_from_the_cache_the_better_suite_first() {
        let cache = tempfile::tempdir().expect("a folder");
        assert_eq!(cached(cache.path()), None);
        let keep = |name: &str| fs::write(cache.path().join(name), "").expect("a file");
        keep("trixie_linux-image-9.12.1+deb13-cloud-amd64");
        keep("elsewhere_linux-binary-9.9.9+deb13-cloud-amd64");
        keep("trixie-backports_linux-binary-7.3.4+deb13-cloud-amd64");
        keep("trixie-backports_linux-binary-7.3.10+deb13-cloud-amd64");
        keep("trixie-backports_linux-source-7.4");
        let (file, from) = cached(cache.path()).expect("one is there");
        assert!(file.ends_with("trixie-backports_linux-binary-7.3.10+deb13-cloud-amd64"), "{file:?}");
        assert_eq!(from, "Debian's linux-binary-7.3.10+deb13-cloud-amd64, trixie-backports, from the cache");
    }

    #[test]
    fn a_package_is_found_by_its_whole_name_and_newest_version() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a_1.9_all.deb", "a_1.10_all.deb", "a-b_2_all.deb", "a_3_all.part"] {
            fs::write(folder.path().join(name), "").expect("a file");
        }
        let found =
            |name: &str| newest_deb(folder.path(), name).and_then(|path| Some(path.file_name()?.to_owned()));
        assert_eq!(found("a"), Some("a_1.10_all.deb".into()));
        assert_eq!(found("b"), None);
    }

    #[test]
    fn an_image_is_found_where_either_kind_of_package_has_it() {
        for place in ["usr/lib/modules/7.3.4/vmlinuz", "boot/vmlinuz-6.12.1"] {
            let tree = tempfile::tempdir().expect("a folder");
            let file = tree.path().join(place);
            fs::create_dir_all(file.parent().expect("it has one")).expect("a folder");
            fs::create_dir_all(tree.path().join("usr/share/doc")).expect("a folder");
            assert_eq!(image_in(tree.path()), None);
            fs::write(&file, "").expect("a file");
            assert_eq!(image_in(tree.path()), Some(file));
        }
    }
}
