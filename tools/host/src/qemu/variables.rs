//! OVMF's variables, as its first boot leaves them.
//!
//! Firmware that finds none writes them, byte by byte, into what QEMU emulates as flash, which is a fifth of what it does in
//! a boot. So the first boot keeps what it has written, and later ones begin with that. What they write is dropped.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempPath;

use super::ovmf::Ovmf;
use crate::artifacts::Tree;

/// The file that a boot finds its variables in.
pub enum Variables {
    /// What it writes there is dropped.
    Kept(PathBuf),
    /// What it writes there is kept as the second, if the boot is one of the kernel's.
    New(TempPath, PathBuf),
}

impl Variables {
    /// Those for the next boot with `ovmf`, whose variables are in `vars` before its first.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or none be written.
    pub fn of(ovmf: &Ovmf, vars: &Path) -> Result<Self> {
        let folder = Tree::own().target_of("firmware");
        let kept = folder.join(format!("{:016x}.fd", identity(&[&ovmf.code, vars])?));
        if kept.is_file() {
            return Ok(Variables::Kept(kept));
        }
        let error = || format!("{}: OVMF's variables cannot be kept there", folder.display());
        fs::create_dir_all(&folder).with_context(error)?;
        let new = tempfile::NamedTempFile::new_in(&folder).with_context(error)?.into_temp_path();
        fs::write(&new, fs::read(vars).with_context(|| vars.display().to_string())?).with_context(error)?;
        Ok(Variables::New(new, kept))
    }

    /// QEMU's argument for them.
    pub fn drive(&self) -> String {
        let (mode, path) = match self {
            Variables::Kept(path) => ("snapshot=on", path.as_path()),
            Variables::New(path, _) => ("snapshot=off", &**path),
        };
        format!("if=pflash,format=raw,unit=1,{mode},file={}", path.display())
    }

    /// The boot with them has come as far as the kernel.
    ///
    /// # Errors
    ///
    /// If they cannot be kept.
    pub fn keep(self) -> Result<()> {
        match self {
            Variables::Kept(_) => Ok(()),
            Variables::New(new, kept) => Ok(new.persist(kept)?),
        }
    }
}

/// What tells firmware from any other, and from what it was before it was installed anew.
fn identity(files: &[&Path]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        let about = fs::metadata(file).with_context(|| file.display().to_string())?;
        (file, about.len(), about.modified()?).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firmware(folder: &Path) -> Result<Ovmf> {
        let (code, vars) = (folder.join("code"), folder.join("vars"));
        fs::write(&code, "code")?;
        fs::write(&vars, "none")?;
        Ok(Ovmf { code, vars: Some(vars) })
    }

    #[test]
    fn what_the_first_boot_of_the_kernel_has_written_is_there_for_the_next() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let ovmf = firmware(folder.path())?;
        let next = || Variables::of(&ovmf, &folder.path().join("vars"));
        let of_new = |variables: &Variables| match variables {
            Variables::New(new, _) => Some(new.to_path_buf()),
            Variables::Kept(_) => None,
        };
        // One that died is as if it had not been.
        let died = next()?;
        fs::write(of_new(&died).context("there are none yet")?, "half")?;
        drop(died);
        let first = next()?;
        let path = of_new(&first).context("there are none yet")?;
        assert_eq!(fs::read_to_string(&path)?, "none");
        fs::write(&path, "some")?;
        first.keep()?;
        let Variables::Kept(kept) = next()? else { anyhow::bail!("they are not kept") };
        assert_eq!((fs::read_to_string(&kept)?, path.exists()), ("some".to_owned(), false));
        // Other firmware finds none.
        fs::write(folder.path().join("code"), "other code")?;
        assert!(of_new(&next()?).is_some());
        fs::remove_file(kept)?;
        Ok(())
    }
}
