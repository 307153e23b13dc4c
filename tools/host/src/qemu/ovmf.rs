//! OVMF: UEFI firmware for QEMU.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};

/// Where distributions keep OVMF: code and variables.
const OVMF: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
];

/// OVMF's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ovmf {
    /// The code.
    pub code: PathBuf,
    /// The variables, if they are not in the same file.
    pub vars: Option<PathBuf>,
}

impl FromStr for Ovmf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (code, vars) = text.split_once(',').map_or((text, None), |(code, vars)| (code, Some(vars)));
        let file = |name: &str| {
            let path = Path::new(name);
            let is_there = path.is_file();
            is_there
                .then(|| path.to_owned())
                .ok_or_else(|| format!("`{name}` is no file; name CODE or CODE,VARS"))
        };
        Ok(Ovmf { code: file(code)?, vars: vars.map(file).transpose()? })
    }
}

impl Ovmf {
    /// That of the system.
    ///
    /// # Errors
    ///
    /// If there is none where distributions keep it.
    pub fn of_system() -> Result<Self> {
        let is_there = |(code, vars): &&(&str, &str)| Path::new(code).is_file() && Path::new(vars).is_file();
        let (code, vars) = OVMF
            .iter()
            .find(is_there)
            .context("no OVMF firmware found; install it: apt-get install ovmf; or name it by --ovmf")?;
        Ok(Ovmf { code: code.into(), vars: Some(vars.into()) })
    }
}
