//! The ISO: the kernel, a bootloader, and the configuration that the bootloader reads.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use crate::artifacts::Tree;
use crate::qemu::Firmware;

/// Where distributions keep Limine's files.
const LIMINE_FOLDERS: &[&str] = &["/usr/share/limine", "/usr/local/share/limine"];
/// What of Limine goes on an ISO, for BIOS and for UEFI.
const LIMINE_FILES: &[&str] = &["limine-bios.sys", "limine-bios-cd.bin", "limine-uefi-cd.bin"];

/// Which bootloader is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Limine if it is found, else the project's own loader.
    Auto,
    /// The project's own loader.
    Builtin,
    /// Limine from this folder.
    Folder(PathBuf),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Choice::Auto,
            "builtin" => Choice::Builtin,
            folder => Choice::Folder(folder.into()),
        })
    }
}

/// The bootloader that goes on the ISO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootloader {
    /// Limine, from this folder.
    Limine(PathBuf),
    /// The project's own, which needs UEFI.
    Builtin,
}

impl fmt::Display for Bootloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bootloader::Limine(folder) => write!(f, "Limine from {}", folder.display()),
            Bootloader::Builtin => f.write_str("the built-in loader"),
        }
    }
}

impl Bootloader {
    /// Looks for what was asked for: `LIMINE_DIR`, then the system's folders, then the built-in loader.
    ///
    /// # Errors
    ///
    /// If a folder was named and does not hold Limine.
    pub fn find(choice: &Choice) -> Result<Self> {
        match choice {
            Choice::Builtin => Ok(Bootloader::Builtin),
            Choice::Folder(folder) => Self::limine_in(folder, "--limine"),
            Choice::Auto => match std::env::var_os("LIMINE_DIR").filter(|folder| !folder.is_empty()) {
                Some(folder) => Self::limine_in(Path::new(&folder), "LIMINE_DIR"),
                None => Ok(LIMINE_FOLDERS
                    .iter()
                    .find_map(|folder| Self::limine_in(Path::new(folder), "the system").ok())
                    .unwrap_or(Bootloader::Builtin)),
            },
        }
    }

    /// Refuses firmware that this bootloader does not run on.
    ///
    /// # Errors
    ///
    /// One line that says what to do.
    pub fn check(&self, firmware: Firmware) -> Result<()> {
        let fits = firmware == Firmware::Uefi || *self != Bootloader::Builtin;
        ensure!(
            fits,
            "--firmware bios: the built-in loader needs UEFI; name a Limine folder by --limine or LIMINE_DIR"
        );
        Ok(())
    }

    fn limine_in(folder: &Path, named_by: &str) -> Result<Self> {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        if let Some(missing) = LIMINE_FILES.iter().find(|file| !folder.join(file).is_file()) {
            bail!(
                "{named_by} {}: holds no {missing}; name the folder of a Limine binary release",
                folder.display()
            );
        }
        Ok(Bootloader::Limine(folder))
    }
}

/// The menu that a person sees: `limine.conf` at the top of the checkout.
///
/// # Errors
///
/// If it cannot be read.
pub fn menu(tree: &Tree) -> Result<String> {
    let path = tree.root.join("limine.conf");
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The same with its first entry only, this command line, and no waiting.
pub fn one_entry(menu: &str, cmdline: &str) -> String {
    let mut entries = 0;
    let mut config = String::new();
    for line in menu.lines() {
        let word = line.trim_start();
        entries += usize::from(word.starts_with('/'));
        let option = word.split(':').next().unwrap_or_default();
        match option {
            _ if entries > 1 => break,
            "timeout" => config.push_str("timeout: 0"),
            "cmdline" => config.push_str(&format!("    cmdline: {cmdline}")),
            _ => config.push_str(line),
        }
        config.push('\n');
    }
    config
}

/// Writes an ISO.
///
/// # Errors
///
/// If a tool is missing or fails.
pub fn write(tree: &Tree, bootloader: &Bootloader, config: &str, iso: &Path) -> Result<()> {
    let kernel = tree.kernel()?;
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let root = work.path().join("iso");
    let boot = root.join("boot");
    fs::create_dir_all(&boot)?;
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-as", "mkisofs", "-quiet", "-R", "-J", "-o"]).arg(iso);
    match bootloader {
        Bootloader::Limine(folder) => {
            fs::copy(&kernel, boot.join("gupsync"))?;
            for file in LIMINE_FILES {
                fs::copy(folder.join(file), boot.join(file)).with_context(|| format!("cannot copy {file}"))?;
            }
            fs::write(boot.join("limine.conf"), config)?;
            xorriso.args([
                "-b",
                "boot/limine-bios-cd.bin",
                "-no-emul-boot",
                "-boot-load-size",
                "4",
                "-boot-info-table",
            ]);
            xorriso.args(["--efi-boot", "boot/limine-uefi-cd.bin", "-efi-boot-part", "--efi-boot-image"]);
            xorriso.arg("--protective-msdos-label");
        }
        Bootloader::Builtin => {
            // Firmware reads FAT only: all that the loader needs lies inside the boot image.
            let fat = boot.join("efi.img");
            fs::write(work.path().join("limine.conf"), config)?;
            fat_image(
                &fat,
                &[
                    (&tree.loader()?, "EFI/BOOT/BOOTX64.EFI"),
                    (&work.path().join("limine.conf"), "limine.conf"),
                    (&kernel, "boot/gupsync"),
                ],
            )?;
            xorriso.args(["-e", "boot/efi.img", "-no-emul-boot"]);
        }
    }
    run(xorriso.arg(&root))
}

/// Writes a FAT file system that holds `files`.
fn fat_image(image: &Path, files: &[(&Path, &str)]) -> Result<()> {
    let bytes = files.iter().map(|(file, _)| Ok(fs::metadata(file)?.len())).sum::<Result<u64>>()?;
    // Room for the file system itself, and not less than FAT16 wants.
    let size = (bytes + (1 << 20)).max(8 << 20).next_multiple_of(1 << 20);
    fs::File::create(image)?.set_len(size)?;
    run(Command::new("mformat").arg("-i").arg(image).arg("::"))?;
    for folder in ["::/EFI", "::/EFI/BOOT", "::/boot"] {
        run(Command::new("mmd").arg("-i").arg(image).arg(folder))?;
    }
    for (file, name) in files {
        run(Command::new("mcopy").arg("-i").arg(image).arg(file).arg(format!("::/{name}")))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}; `tools/gupsync` installs it or says how"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed: {}", said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use gupsync_bench::spec;

    use super::*;

    #[test]
    fn every_entry_of_the_menu_can_be_run_on_16_cpus() {
        let menu = menu(&Tree::own()).expect("limine.conf");
        let cmdlines: Vec<_> = menu.lines().filter_map(|line| line.trim().strip_prefix("cmdline: ")).collect();
        assert_eq!(cmdlines.len(), menu.lines().filter(|line| line.starts_with('/')).count());
        for spec in cmdlines.into_iter().flat_map(|cmdline| spec::parse_all(cmdline).expect(cmdline)) {
            assert_eq!(spec.check(16), Ok(()), "{spec}");
        }
    }

    #[test]
    fn one_entry_has_the_command_line_it_is_given() {
        let config = one_entry(&menu(&Tree::own()).expect("limine.conf"), "ops=7");
        assert_eq!(config.matches("cmdline:").count(), 1);
        assert!(
            config.starts_with('#')
                && config.contains("timeout: 0\n")
                && config.contains("    cmdline: ops=7\n")
        );
    }
}
