//! What is built for targets of its own: the kernel, and the loader.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A checkout, and where it is built.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The top of the checkout.
    pub root: PathBuf,
    target: PathBuf,
    quick: bool,
}

impl Tree {
    /// The checkout that this program was built from.
    pub fn own() -> Self {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tools/host is two levels down");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Tree { root: root.to_owned(), target: target.join("boot"), quick: false }
    }

    /// Another checkout, built into `target`.
    pub fn at(root: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Tree { root: root.into(), target: target.into(), quick: false }
    }

    /// A target folder beside the kernel's.
    pub fn target_of(&self, purpose: &str) -> PathBuf {
        self.target.with_file_name(purpose)
    }

    /// The same, built in less time to run a little slower.
    pub fn quick(self) -> Self {
        Tree { quick: true, ..self }
    }

    /// Builds the kernel and returns its ELF file.
    ///
    /// # Errors
    ///
    /// What cargo said, if it does not build.
    pub fn kernel(&self) -> Result<PathBuf> {
        self.build("gupsync-kernel", "x86_64-unknown-none", "kernel", "gupsync-kernel")
    }

    /// Builds the loader and returns its EFI file.
    ///
    /// # Errors
    ///
    /// What cargo said, if it does not build.
    pub fn loader(&self) -> Result<PathBuf> {
        self.build("gupsync-loader", "x86_64-unknown-uefi", "release", "gupsync-loader.efi")
    }

    fn build(&self, package: &str, target: &str, profile: &str, file: &str) -> Result<PathBuf> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        if self.quick {
            cargo.env("CARGO_PROFILE_KERNEL_LTO", "off").env("CARGO_PROFILE_KERNEL_CODEGEN_UNITS", "16");
        }
        let output = cargo
            .current_dir(&self.root)
            .args(["build", "--quiet", "--package", package, "--target", target, "--profile", profile])
            .arg("--target-dir")
            .arg(&self.target)
            // They would replace those that the kernel is built with.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .output()
            .context("cannot run cargo")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{package} does not build:\n{said}");
        Ok(self.target.join(target).join(profile).join(file))
    }
}
