//! What is booted: the kernel, a bootloader, and the configuration that the bootloader reads, on an ISO or in two files.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use gupsync::types::PAGE_SIZE;

use crate::artifacts::Tree;
use crate::child;
use crate::ending::Usage;
use crate::limine;
pub use crate::limine::{Bootloader, Choice};
use crate::qemu::Medium;

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

/// Refuses a place where no file can be written.
///
/// # Errors
///
/// [`Usage`].
pub fn demand_writable(out: &Path) -> Result<()> {
    let is_new = !out.exists();
    let opened = fs::File::options().append(true).create(true).open(out);
    let refused =
        |error| Usage(format!("--out {}: cannot be written: {error}; name another file", out.display()));
    opened.map_err(refused)?;
    if is_new {
        fs::remove_file(out)?;
    }
    Ok(())
}

/// What `bootloader` boots from, in `folder`.
#[must_use]
pub fn medium(bootloader: &Bootloader, folder: &Path) -> Medium {
    match bootloader {
        Bootloader::Direct => Medium::Direct {
            loader: folder.join("gupsync-loader-direct"),
            bundle: folder.join("gupsync.bundle"),
        },
        _ => Medium::Iso(folder.join("gupsync.iso")),
    }
}

/// Writes that.
///
/// # Errors
///
/// If something does not build, or a tool is missing or fails.
pub fn write(tree: &Tree, bootloader: &Bootloader, config: &str, folder: &Path) -> Result<Medium> {
    let medium = medium(bootloader, folder);
    match &medium {
        Medium::Iso(iso) => write_iso(tree, bootloader, config, iso)?,
        Medium::Direct { loader, bundle } => {
            fs::copy(tree.direct_loader()?, loader).context("cannot copy the loader")?;
            write_bundle(config, &fs::read(tree.kernel()?)?, bundle)?;
        }
        Medium::Linux { .. } => unreachable!("no bootloader of this kernel starts that"),
    }
    Ok(medium)
}

/// Writes the configuration, a zero byte, and from the next page on the kernel: what the direct loader reads.
fn write_bundle(config: &str, kernel: &[u8], bundle: &Path) -> Result<()> {
    let mut bytes = config.as_bytes().to_vec();
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(PAGE_SIZE as usize), 0);
    bytes.extend_from_slice(kernel);
    fs::write(bundle, bytes).with_context(|| format!("cannot write {}", bundle.display()))
}

/// Writes an ISO.
///
/// # Errors
///
/// If the kernel does not build, a tool is missing or fails, or the bootloader is for no ISO.
pub fn write_iso(tree: &Tree, bootloader: &Bootloader, config: &str, iso: &Path) -> Result<()> {
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
            for file in limine::FILES {
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
        Bootloader::Direct => bail!("{bootloader}: boots from no ISO"),
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
    let output = child::output(command).context("`tools/gupsync` installs it or says how")?;
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
