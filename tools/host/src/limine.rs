//! Which bootloader boots the kernel: from an ISO Limine, where it is found and new enough, else the project's own; or, without
//! an ISO, the project's own that QEMU starts directly.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::ending::Usage;
use crate::qemu::Firmware;

/// Where distributions keep Limine's files.
const FOLDERS: &[&str] = &["/usr/share/limine", "/usr/local/share/limine"];
/// What of Limine goes on an ISO, for BIOS and for UEFI.
pub const FILES: &[&str] = &["limine-bios.sys", "limine-bios-cd.bin", "limine-uefi-cd.bin"];

/// Which of them says its version.
const VERSION_FILE: &str = "limine-bios.sys";
/// The first Limine that reads `limine.conf` and answers all that the kernel asks.
const OLDEST: [u32; 2] = [8, 2];

/// Which bootloader is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Limine if it is found, else the project's own loader: directly, or from an ISO where there has to be one.
    Auto,
    /// The project's own loader, from an ISO.
    Builtin,
    /// The project's own loader, directly.
    Direct,
    /// Limine from this folder.
    Folder(PathBuf),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Choice::Auto,
            "builtin" => Choice::Builtin,
            "direct" => Choice::Direct,
            "" => return Err("use auto, builtin, direct or the folder of a Limine binary release".to_owned()),
            folder => Choice::Folder(folder.into()),
        })
    }
}

/// The bootloader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootloader {
    /// Limine, from this folder.
    Limine(PathBuf),
    /// The project's own on an ISO, which needs UEFI.
    Builtin,
    /// The project's own, which QEMU starts as it starts a kernel (`-kernel`, by PVH), with next to no firmware.
    Direct,
}

impl fmt::Display for Bootloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bootloader::Limine(folder) => write!(f, "Limine from {}", folder.display()),
            Bootloader::Builtin => f.write_str("the built-in loader"),
            Bootloader::Direct => f.write_str("the built-in loader, directly"),
        }
    }
}

impl Bootloader {
    /// Looks for what was asked for: `LIMINE_DIR`, then the system's folders, else it is `otherwise`.
    ///
    /// # Errors
    ///
    /// If a folder was named and does not hold Limine, or one that is too old.
    pub fn find(choice: &Choice, otherwise: Bootloader) -> Result<Self, Usage> {
        match choice {
            Choice::Builtin => Ok(Bootloader::Builtin),
            Choice::Direct => Ok(Bootloader::Direct),
            Choice::Folder(folder) => Self::limine_in(folder, "--limine"),
            Choice::Auto => match std::env::var_os("LIMINE_DIR").filter(|folder| !folder.is_empty()) {
                Some(folder) => Self::limine_in(Path::new(&folder), "LIMINE_DIR"),
                None => Ok(FOLDERS
                    .iter()
                    .find_map(|folder| Self::limine_in(Path::new(folder), "the system").ok())
                    .unwrap_or(otherwise)),
            },
        }
    }

    /// The firmware it runs on, if `asked` is one that it does.
    ///
    /// # Errors
    ///
    /// One line that says what to do.
    pub fn firmware(&self, asked: Option<Firmware>) -> Result<Firmware, Usage> {
        let refused = |why: &str| Err(Usage(why.to_owned()));
        match (self, asked) {
            (Bootloader::Builtin, Some(Firmware::Bios)) => refused(
                "--firmware bios: the built-in loader needs UEFI; name a Limine folder by --limine or LIMINE_DIR",
            ),
            (Bootloader::Direct, Some(Firmware::Uefi)) => {
                refused("--firmware uefi: --limine direct starts without it; leave out one of them")
            }
            (Bootloader::Direct, None) => Ok(Firmware::Bios),
            (_, asked) => Ok(asked.unwrap_or(Firmware::Uefi)),
        }
    }

    fn limine_in(folder: &Path, named_by: &str) -> Result<Self, Usage> {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let refused = |why: String| Usage(format!("{named_by} {}: {why}", folder.display()));
        if let Some(missing) = FILES.iter().find(|file| !folder.join(file).is_file()) {
            return Err(refused(format!("holds no {missing}; name the folder of a Limine binary release")));
        }
        let bytes = fs::read(folder.join(VERSION_FILE)).map_err(|error| refused(error.to_string()))?;
        match version(&bytes) {
            // One that does not say its version may be new.
            Some(found) if found < OLDEST.to_vec() => {
                let found = found.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
                let [major, minor] = OLDEST;
                Err(refused(format!("Limine {found} is too old; use {major}.{minor} or later")))
            }
            _ => Ok(Bootloader::Limine(folder)),
        }
    }
}

/// The version that a binary of Limine names: `Limine 8.2.0`.
fn version(binary: &[u8]) -> Option<Vec<u32>> {
    const BRAND: &[u8] = b"Limine ";
    memchr::memmem::find_iter(binary, BRAND).find_map(|at| {
        let rest = &binary[at + BRAND.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let numbers = str::from_utf8(&rest[..end]).ok()?.split('.').map(str::parse);
        numbers.collect::<Result<Vec<u32>, _>>().ok().filter(|numbers| numbers.len() > 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that holds what a release of Limine holds, of this version.
    fn release(version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in FILES {
            let text = format!("\u{1}Limine\0Limine \0Limine {version} (ia-32, BIOS)\0");
            fs::write(folder.path().join(file), text).expect("a file");
        }
        folder
    }

    #[test]
    fn item_13_an_old_limine_is_refused_by_its_version() {
        let find = |version| {
            let folder = release(version);
            let choice = Choice::Folder(folder.path().to_owned());
            Bootloader::find(&choice, Bootloader::Direct).map_err(|error| error.to_string())
        };
        for (old, said) in
            [("7.13.3", "Limine 7.13.3 is"), ("8.1.2", "Limine 8.1.2 is"), ("8.0", "Limine 8.0 is")]
        {
            let error = find(old).expect_err(old);
            assert!(error.starts_with("--limine /") && error.contains(said), "{error}");
            assert!(error.ends_with("too old; use 8.2 or later"), "{error}");
        }
        for new in ["8.2.0", "8.2", "8.10.1", "9.0.0", "10.1.0", "unknown"] {
            assert!(find(new).is_ok(), "{new}");
        }
    }
}
