//! A file of `src/` uses only what lies below it.
//!
//! `src/lib.rs` declares its modules lowest first, a folder's `mod.rs` declares its children lowest first and lies above
//! all of them: one order of all files. With no arrow upward there is no circle either.

use std::path::Path;

use anyhow::Result;

use crate::arrows;
use crate::tree::{self, Crate, Files};

/// Each use of a file that lies above, in words.
fn upward(folder: &Path, files: &Files) -> Result<Vec<String>> {
    let krate = Crate::load(files, "lib.rs")?;
    let name = |module: usize| folder.join(&krate.modules[module].file).display().to_string();
    let upward = arrows::all(&krate).into_iter().filter(|arrow| arrow.to > arrow.from);
    let say = |arrow: arrows::Arrow| {
        format!("{}:{} uses {}, above it: `{}`", name(arrow.from), arrow.line, name(arrow.to), arrow.path)
    };
    Ok(upward.map(say).collect())
}

#[test]
fn src_uses_only_what_lies_below() {
    let files = tree::read(&tree::root().join("src")).unwrap();
    let upward = upward(Path::new("src"), &files).unwrap();
    assert!(
        upward.is_empty(),
        "{} arrows upward:\n{}\n\
         Move what is used into a file below, or hand it in from above (an argument, a trait). If the file as a whole \
         stands too low, move its `mod` line down: src/lib.rs and each mod.rs declare the lowest first.",
        upward.len(),
        upward.join("\n"),
    );
}

#[cfg(test)]
fn upward_in(files: &[(&str, &str)]) -> Vec<String> {
    upward(Path::new("src"), &tree::made_up(files)).unwrap()
}

const LIB: (&str, &str) = ("lib.rs", "pub mod low;\npub mod mid;\npub mod high;\npub use low::Low;\n");
const MID: (&str, &str) =
    ("mid/mod.rs", "pub mod a;\npub mod b;\nuse b::B;\nuse crate::low;\nfn f() { low::g() }\n");

#[test]
fn downward_uses_are_allowed() {
    let a = "//! See [`crate::high`], or `super::b`.\n// use crate::high::High;\nuse crate::low::Low;\npub struct A;";
    let b = "use super::a::A;\n#[cfg(test)]\nmod tests {\n    use super::*;\n    fn f() { a(super::A) }\n}\n";
    let high = "use crate::mid::{self, a::A, b::*};\nuse log::log;\nfn f() { log::info!(\"{}\", mid::a::f()) }";
    let files = [LIB, MID, ("low.rs", ""), ("mid/a.rs", a), ("mid/b.rs", b), ("high.rs", high)];
    assert_eq!(upward_in(&files), Vec::<String>::new());
}

#[test]
fn an_upward_use_is_refused_however_it_is_written() {
    let low = "\
use crate::{
    high::High as Lofty,
};
fn f() -> crate::mid::a::A { assert_eq!(super::mid::b::f(), 1) }
";
    let a = "use super::b::B;\npub use super::f;";
    let b = "mod inner {\n    fn f() { super::super::super::high::g() }\n}\nfn g() { crate::Low }\n";
    let files = [LIB, MID, ("low.rs", low), ("mid/a.rs", a), ("mid/b.rs", b), ("high.rs", "")];
    assert_eq!(
        upward_in(&files),
        [
            "src/low.rs:4 uses src/mid/a.rs, above it: `crate::mid::a::A`",
            "src/low.rs:4 uses src/mid/b.rs, above it: `crate::mid::b::f`",
            "src/low.rs:2 uses src/high.rs, above it: `crate::high::High`",
            "src/mid/a.rs:1 uses src/mid/b.rs, above it: `crate::mid::b::B`",
            "src/mid/a.rs:2 uses src/mid/mod.rs, above it: `crate::mid::f`",
            "src/mid/b.rs:2 uses src/high.rs, above it: `crate::high::g`",
            "src/mid/b.rs:4 uses src/lib.rs, above it: `crate::Low`",
        ]
    );
}

#[test]
fn a_mod_line_without_a_file_is_an_error() {
    let error = upward(Path::new("src"), &tree::made_up(&[("lib.rs", "mod gone;")])).unwrap_err();
    assert_eq!(error.to_string(), "lib.rs: `mod gone` has no file; looked for gone.rs and gone/mod.rs");
}
