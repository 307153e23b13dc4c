//! What a kernel build needs, and Linux's selftests: as root it is installed, else one line says how.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{child, say};

/// A program or a header, and Debian's package of it.
type Needed = (&'static str, &'static str);

/// What a kernel needs.
pub const KERNEL: &[Needed] = &[
    ("make", "make"),
    ("gcc", "gcc"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("perl", "perl"),
    ("xz", "xz-utils"),
    ("dpkg-deb", "dpkg"),
    ("spatch", "coccinelle"),
    ("git", "git"),
    ("/usr/include/gelf.h", "libelf-dev"),
];
/// What selftests need besides.
pub const SELFTESTS: &[Needed] = &[("/usr/include/numa.h", "libnuma-dev")];

/// Debian's packages of what is not there.
fn missing(needed: &[Needed], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    needed.iter().filter(|(what, _)| !is_there(what)).map(|(_, package)| *package).collect()
}

fn is_there(what: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    Path::new(what).is_absolute() && Path::new(what).exists()
        || env::split_paths(&path).any(|folder| folder.join(what).is_file())
}

/// Installs what is missing, as root.
///
/// # Errors
///
/// One line with the command to be run, or with apt-get's last words.
pub fn demand(needed: &[Needed]) -> Result<()> {
    let packages = missing(needed, is_there);
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !rustix::process::geteuid().is_root() || !is_there("apt-get") {
        bail!("missing: {names}; run: sudo apt-get install -y --no-install-recommends {names}");
    }
    say::err(format_args!("installing {names}"));
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        child::output(apt.args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])?;
    let output = apt(&[&["install", "-y", "--no-install-recommends"], packages.as_slice()].concat())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("nothing");
    (missing(needed, is_there).is_empty())
        .then_some(())
        .with_context(|| format!("apt-get could not install {names}: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_by_its_package() {
        assert_eq!(missing(KERNEL, |_| true), Vec::<&str>::new());
        let is_there = |what: &str| what != "spatch" && !what.ends_with(".h");
        assert_eq!(missing(KERNEL, is_there), ["coccinelle", "libelf-dev"]);
        assert_eq!(missing(SELFTESTS, is_there), ["libnuma-dev"]);
    }

    #[test]
    fn programs_are_looked_for_in_the_path_and_headers_where_they_lie() {
        assert!(is_there("sh") && is_there("/proc/self/status"));
        assert!(!is_there("no-such-program") && !is_there("/no/such/header.h"));
    }
}
