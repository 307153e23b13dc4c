//! Every dependency is used: each that a `Cargo.toml` names is named by the sources it is for.
//!
//! An ordinary dependency has to be named by the library or a binary, a dev-dependency by a test or a unit test, a
//! build-dependency by the build script; whatever target the dependency is limited to.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{Dependency, DependencyKind, MetadataCommand, Package, Target};
use proc_macro2::{TokenStream, TokenTree};

use crate::tree::{self, Files};

/// What Rust calls a dependency.
fn name_in_sources(dependency: &Dependency) -> String {
    dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_")
}

/// The sources that a dependency of this kind is for.
fn is_for(kind: DependencyKind, target: &Target) -> bool {
    let is_product = target.is_lib() || target.is_bin();
    match kind {
        DependencyKind::Build => target.is_custom_build(),
        DependencyKind::Development => !target.is_custom_build(),
        _ => is_product,
    }
}

/// A target's sources: its folder, or the one file where the folder is the package's or other targets' too.
fn sources(target: &Target) -> Result<Files> {
    let root = target.src_path.as_std_path();
    let is_folder = ["main.rs", "lib.rs"].iter().any(|name| root.ends_with(name));
    if is_folder {
        return tree::read(root.parent().context("a file lies in a folder")?);
    }
    let text = std::fs::read_to_string(root).with_context(|| root.display().to_string())?;
    Ok(Files::from([(root.display().to_string(), text)]))
}

/// The crates that a text names: `name::`, `use name`, `extern crate name`, `name!`.
fn names(text: TokenStream, names: &mut BTreeSet<String>) {
    let tokens: Vec<_> = text.into_iter().collect();
    let is = |index: Option<usize>, c: char| matches!(index.and_then(|index| tokens.get(index)), Some(TokenTree::Punct(punct)) if punct.as_char() == c);
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => self::names(group.stream(), names),
            TokenTree::Ident(ident) => {
                let word_before = index.checked_sub(1).and_then(|before| match &tokens[before] {
                    TokenTree::Ident(word) => Some(word.to_string()),
                    _ => None,
                });
                let is_brought_in = matches!(word_before.as_deref(), Some("use" | "crate"));
                let is_path = is(Some(index + 1), ':') && is(Some(index + 2), ':');
                let is_within_path = is(index.checked_sub(1), ':')
                    && is(index.checked_sub(2), ':')
                    && index.checked_sub(3).is_some_and(|before| matches!(tokens[before], TokenTree::Ident(_)));
                if (is_brought_in || is_path || is(Some(index + 1), '!')) && !is_within_path {
                    names.insert(ident.to_string());
                }
            }
            _ => {}
        }
    }
}

fn names_in(files: &Files) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for (file, text) in files {
        let tokens: TokenStream =
            text.parse().map_err(|error| anyhow::anyhow!("{file}: cannot be read as Rust: {error}"))?;
        names(tokens, &mut found);
    }
    Ok(found)
}

/// The dependencies of a package that nothing names.
fn unused(package: &Package) -> Result<Vec<String>> {
    let mut unused = Vec::new();
    for kind in [DependencyKind::Normal, DependencyKind::Development, DependencyKind::Build] {
        let mut named = BTreeSet::new();
        for target in package.targets.iter().filter(|target| is_for(kind, target)) {
            named.extend(names_in(&sources(target)?)?);
        }
        let of_kind = package.dependencies.iter().filter(|dependency| dependency.kind == kind);
        for dependency in of_kind.filter(|dependency| !named.contains(&name_in_sources(dependency))) {
            let only = dependency.target.as_ref().map_or(String::new(), |target| format!(" for {target}"));
            unused.push(format!("{}: `{}` ({kind}{only})", package.manifest_path, dependency.name));
        }
    }
    Ok(unused)
}

fn packages(manifest: &Path) -> Result<Vec<Package>> {
    Ok(MetadataCommand::new().manifest_path(manifest).no_deps().exec()?.packages)
}

#[test]
fn every_dependency_is_named_by_the_sources_it_is_for() {
    let packages = packages(&tree::root().join("Cargo.toml")).unwrap();
    assert!(packages.len() > 1, "the workspace has its members");
    let unused: Vec<_> = packages.iter().flat_map(|package| unused(package).unwrap()).collect();
    assert!(
        unused.is_empty(),
        "dependencies that nothing names:\n{}\n\
         Take them out of their Cargo.toml; what only tests name belongs to [dev-dependencies].",
        unused.join("\n"),
    );
}

#[test]
fn a_dependency_is_named_by_code_alone() {
    let text = "\
//! `comment::of` nothing.
use used_alone;
use first::{inner::deep};
extern crate taken;
pub(crate) mod own { fn f() { ::leading::f(macros!(within::path(1)), \"string::s\") } }
#[derive(derived::Name)]
struct S { field: kind }
";
    let found = names_in(&tree::made_up(&[("a.rs", text)])).unwrap();
    let found: Vec<_> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["derived", "first", "inner", "leading", "macros", "taken", "used_alone", "within"]);
}

#[test]
fn an_unused_dependency_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
    for inner in ["src", "tests"] {
        std::fs::create_dir(folder.path().join(inner)).unwrap();
    }
    let manifest = "\
[package]
name = \"made-up\"
edition = \"2024\"
[workspace]
[dependencies]
used-one = \"1\"
only-tested = \"1\"
[target.'cfg(unix)'.dependencies]
not-used = \"1\"
[dev-dependencies]
tested = \"1\"
";
    write("Cargo.toml", manifest);
    write("src/lib.rs", "use used_one::f;");
    write("tests/all.rs", "use tested::f;\nuse only_tested::f;");
    let packages = packages(&folder.path().join("Cargo.toml")).unwrap();
    let unused: Vec<_> = packages.iter().flat_map(|package| unused(package).unwrap()).collect();
    let names: Vec<_> = unused.iter().filter_map(|line| line.split_once(": ")).map(|(_, what)| what).collect();
    assert_eq!(names, ["`only-tested` (normal)", "`not-used` (normal for cfg(unix))"]);
}
