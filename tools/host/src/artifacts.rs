//! The checkout that is measured, and what is built of it for targets of its own: the kernel, the loader, the
//! simulator for a page.
//!
//! # Guarantee
//!
//! What is built is built from the sources of this checkout, and no other checkout builds into the same folder: two that
//! share a target folder, and a copy of one, each have a folder of their own in it, named for where they lie.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::child;

/// The variable in which `tools/gupsync` says in which checkout it lies.
pub const ROOT: &str = "GUPSYNC_ROOT";
/// The kernel's package, and its program.
const KERNEL: &str = "gupsync-kernel";
/// What the simulator in a page is built for.
pub const WASM: &str = "wasm32-unknown-unknown";
/// What a checkout holds.
const START_SCRIPT: &str = "tools/gupsync";

/// A checkout, and where it is built.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The top of the checkout.
    pub root: PathBuf,
    target: PathBuf,
    quick: bool,
    traced: bool,
}

impl Tree {
    /// The checkout whose `tools/gupsync` has started this program, or whose tests it runs.
    ///
    /// # Errors
    ///
    /// One line that says how to start this program, if that cannot be told.
    pub fn find() -> Result<Self> {
        let root = root(env::var_os(ROOT), env::var_os("CARGO_MANIFEST_DIR"), &env::current_exe()?)?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target = std::path::absolute(target)?.join(own_folder(&root)).join("boot");
        Ok(Tree { root, target, quick: false, traced: false })
    }

    /// The same.
    ///
    /// # Panics
    ///
    /// If it cannot be told: the program sees to that first, and where cargo runs tests it always can.
    pub fn own() -> Self {
        Self::find().unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Another checkout, built into `target`.
    pub fn at(root: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Tree { root: root.into(), target: target.into(), quick: false, traced: false }
    }

    /// A target folder beside the kernel's.
    pub fn target_of(&self, purpose: &str) -> PathBuf {
        self.target.with_file_name(purpose)
    }

    /// The same, built in less time to run a little slower.
    pub fn quick(self) -> Self {
        Tree { quick: true, ..self }
    }

    /// The same; what is booted from it records what happens, if it is `traced`.
    pub fn traced(self, traced: bool) -> Self {
        Tree { traced, ..self }
    }

    /// Whether it does.
    pub fn is_traced(&self) -> bool {
        self.traced
    }

    /// Builds the kernel and returns its ELF file.
    ///
    /// # Errors
    ///
    /// What cargo said, if it does not build.
    pub fn kernel(&self) -> Result<PathBuf> {
        self.build(KERNEL, KERNEL, "x86_64-unknown-none", "kernel")
    }

    /// Builds the loader for UEFI and returns its EFI file.
    ///
    /// # Errors
    ///
    /// What cargo said, if it does not build.
    pub fn loader(&self) -> Result<PathBuf> {
        let file = self.build("gupsync-loader", "gupsync-loader", "x86_64-unknown-uefi", "release")?;
        Ok(file.with_extension("efi"))
    }

    /// Builds the loader that QEMU starts by itself, and returns its ELF file.
    ///
    /// # Errors
    ///
    /// What cargo said, if it does not build.
    pub fn direct_loader(&self) -> Result<PathBuf> {
        self.build("gupsync-loader", "gupsync-loader-direct", "x86_64-unknown-none", "release")
    }

    /// Builds the program that runs on Linux, static, and returns its ELF file.
    ///
    /// # Errors
    ///
    /// What cargo said, if it does not build.
    pub fn guest(&self) -> Result<PathBuf> {
        self.build("gupsync-guest", "gupsync-guest", "x86_64-unknown-linux-musl", "release")
    }

    /// Builds the simulator for WebAssembly and returns its module, which cannot switch stacks yet.
    ///
    /// # Errors
    ///
    /// What cargo said, if it does not build.
    pub fn simulator(&self) -> Result<PathBuf> {
        let file = self.build("gupsync-web", "gupsync-web", WASM, "page")?;
        Ok(file.with_extension("wasm"))
    }

    fn build(&self, package: &str, binary: &str, target: &str, profile: &str) -> Result<PathBuf> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        if self.quick {
            cargo.env("CARGO_PROFILE_KERNEL_LTO", "off").env("CARGO_PROFILE_KERNEL_CODEGEN_UNITS", "16");
        }
        cargo
            .current_dir(&self.root)
            .args(["build", "--quiet", "--package", package, "--bin", binary])
            .args(["--target", target, "--profile", profile])
            // They would replace those that the kernel is built with.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        // One that records is another program, in a folder of its own.
        let folder = if self.traced && package == KERNEL {
            cargo.args(["--features", "trace"]);
            self.target_of("traced")
        } else {
            self.target.clone()
        };
        cargo.arg("--target-dir").arg(&folder);
        let output = child::output(&mut cargo)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{package} does not build:\n{}", said.trim_end());
        Ok(folder.join(target).join(profile).join(binary))
    }
}

/// The top of the checkout: where `tools/gupsync` says it lies; else that of the package whose tests cargo runs; else where
/// this program was built, if it still lies in a target folder there.
fn root(
    said: Option<std::ffi::OsString>,
    package: Option<std::ffi::OsString>,
    program: &Path,
) -> Result<PathBuf> {
    let is_root = |path: &&Path| path.join(START_SCRIPT).is_file();
    if let Some(said) = said {
        let path = PathBuf::from(said);
        ensure!(is_root(&path.as_path()), "{ROOT}={}: holds no {START_SCRIPT}; unset it", path.display());
        return Ok(path.canonicalize()?);
    }
    if let Some(root) = package.as_deref().and_then(|package| Path::new(package).ancestors().find(is_root)) {
        return Ok(root.canonicalize()?);
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    match built.filter(is_root).map(Path::canonicalize) {
        Some(Ok(root)) if program.starts_with(root.join("target")) => Ok(root),
        _ => bail!(
            "{}: which checkout is meant is not said; start {START_SCRIPT} of that checkout",
            program.display()
        ),
    }
}

/// The name of the folder that only the checkout at `root` builds in.
fn own_folder(root: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_12_the_tree_is_the_one_that_the_start_script_lies_in() {
        let copy = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(copy.path().join("tools")).expect("a folder");
        std::fs::write(copy.path().join(START_SCRIPT), "").expect("a file");
        let path = copy.path().canonicalize().expect("it is there");
        let own = Tree::own().root;
        let program = own.join("target/release/gupsync-host");
        let said = || Some(path.clone().into_os_string());
        assert_eq!(root(said(), Some(own.clone().into()), &program).expect("a tree"), path);
        assert_eq!(root(None, said(), &program).expect("a tree"), path);
        assert_eq!(root(None, None, &program).expect("a tree"), own);
        // A copy of the program alone does not say which tree is meant.
        let error = root(None, None, &path.join("target/release/gupsync-host")).expect_err("it lies elsewhere");
        assert!(error.to_string().ends_with("start tools/gupsync of that checkout"), "{error}");
        let error = root(Some("/".into()), None, &program).expect_err("no checkout");
        assert!(error.to_string().starts_with("GUPSYNC_ROOT=/: holds no tools/gupsync"), "{error}");
    }

    #[test]
    fn item_12_checkouts_that_share_a_target_folder_build_apart() {
        assert_ne!(own_folder(Path::new("/a")), own_folder(Path::new("/b")));
        let own = Tree::own();
        for folder in [own.target.clone(), own.target_of("prove")] {
            assert!(
                folder.parent().is_some_and(|parent| parent.ends_with(own_folder(&own.root))),
                "{folder:?}"
            );
        }
    }
}
