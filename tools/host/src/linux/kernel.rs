//! Which Linux is booted: the file that was named, else Debian's newest, from the cache or fetched into it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::debian;
use crate::ending::Usage;

/// Where the setup header of a bzImage has its magic number, and where it points to the version.
/// (Documentation/arch/x86/boot.rst)
const MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
const VERSION: usize = 0x20e;
/// What the pointer counts from.
const SETUP: usize = 0x200;

/// A Linux kernel that QEMU can boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its bzImage.
    pub file: PathBuf,
    /// What `uname -r` says on it.
    pub release: String,
    /// Where it is from.
    from: String,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {} ({})", self.release, self.from)
    }
}

impl Kernel {
    /// The one in `file`; if none is named, Debian's newest.
    ///
    /// # Errors
    ///
    /// [`Usage`], if the file holds none; or why Debian's cannot be had.
    pub fn find(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else {
            let (file, from) = debian::kernel()?;
            return Self::in_file(&file, from);
        };
        Ok(Self::in_file(file, file.display().to_string())
            .map_err(|error| Usage(format!("--kernel {error:#}")))?)
    }

    fn in_file(file: &Path, from: String) -> Result<Self> {
        let name = || file.display().to_string();
        let image =
            fs::read(file).map_err(|error| anyhow!("{}: {error}; name the bzImage of a kernel", name()))?;
        let release = release_of(&image);
        let release = release.with_context(|| {
            format!("{}: is no bzImage; name the file arch/x86/boot/bzImage of a build", name())
        })?;
        Ok(Kernel { file: file.to_owned(), release, from })
    }

    /// What it is called in a row: its version, and what its builder has added, if that is not a distribution.
    #[must_use]
    pub fn name(&self) -> String {
        self.release.split('+').next().unwrap_or_default().chars().take(MAX_NAME).collect()
    }
}

/// So much of a release is a name.
const MAX_NAME: usize = 24;

/// The release that a bzImage says it has.
fn release_of(image: &[u8]) -> Option<String> {
    let (at, magic) = MAGIC;
    if image.get(at..at + magic.len())? != magic {
        return None;
    }
    let pointer = image.get(VERSION..VERSION + 2)?;
    let text = image.get(SETUP + usize::from(u16::from_le_bytes([pointer[0], pointer[1]]))..)?;
    let release = text.split(|byte| [0, b' '].contains(byte)).next()?;
    Some(String::from_utf8_lossy(release).into_owned()).filter(|release| !release.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a bzImage that says this version.
    fn image(version: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x300 + version.len()].copy_from_slice(version.as_bytes());
        image
    }

    #[test]
    fn the_release_of_a_kernel_is_in_its_header() {
        let image = image("7.3.4+deb13-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP");
        assert_eq!(release_of(&image).as_deref(), Some("7.3.4+deb13-cloud-amd64"));
        for (at, byte) in [(0x202, 0), (0x300, 0)] {
            let mut broken = image.clone();
            broken[at] = byte;
            assert_eq!(release_of(&broken), None, "{at:#x}");
        }
        assert_eq!(release_of(&image[..0x203]), None);
    }

    #[test]
    fn a_file_that_is_no_kernel_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("vmlinux");
        fs::write(&file, "\x7fELF").expect("a file");
        let error = Kernel::find(Some(&file)).expect_err("it is no bzImage");
        assert!(error.is::<Usage>(), "{error:#}");
        assert!(error.to_string().contains("vmlinux: is no bzImage; name the file"), "{error:#}");
        let error = Kernel::find(Some(&folder.path().join("none"))).expect_err("it is not there");
        assert!(error.to_string().starts_with("--kernel ") && error.is::<Usage>(), "{error:#}");
    }

    #[test]
    fn a_row_is_named_by_the_version_without_the_distribution() {
        let named = |release: &str| {
            Kernel { file: PathBuf::new(), release: release.to_owned(), from: String::new() }.name()
        };
        assert_eq!(named("7.3.4+deb13-cloud-amd64"), "7.3.4");
        assert_eq!(named("7.3.4-gupsync"), "7.3.4-gupsync");
    }
}
