//! No files of the kernel or of a tool use each other in a circle.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::arrows;
use crate::tree::{self, Crate, Files};

const FOLDERS: &[&str] = &[
    "arch/invlpgb/src",
    "arch/pc/src",
    "arch/wasm/src",
    "arch/x86_64/src",
    "tools/bench/src",
    "tools/checker/src",
    "tools/host/src",
    "tools/loader/src",
    "tools/sim/src",
    "tools/web/src",
];

/// Circles that stand: the files of each, and why it is not cut.
const KNOWN: &[(&[&str], &str)] = &[];

struct Circle {
    files: Vec<String>,
    uses: Vec<String>,
}

fn circles(folder: &Path, files: &Files) -> Result<Vec<Circle>> {
    let mut circles = Vec::new();
    for root in ["lib.rs", "main.rs"].into_iter().filter(|root| files.contains_key(*root)) {
        let krate = Crate::load(files, root)?;
        let name = |module: usize| folder.join(&krate.modules[module].file).display().to_string();
        let say = |arrow: &arrows::Arrow| {
            format!("    {}:{} uses {}: `{}`", name(arrow.from), arrow.line, name(arrow.to), arrow.path)
        };
        circles.extend(arrows::circles(&arrows::all(&krate)).iter().map(|circle| Circle {
            files: circle.iter().map(|arrow| name(arrow.from)).collect::<BTreeSet<_>>().into_iter().collect(),
            uses: circle.iter().copied().map(say).collect(),
        }));
    }
    Ok(circles)
}

#[test]
fn there_is_none_in_kernel_and_tools() {
    let found: Vec<_> = FOLDERS
        .iter()
        .flat_map(|folder| {
            circles(Path::new(folder), &tree::read(&tree::root().join(folder)).unwrap()).unwrap()
        })
        .collect();
    let unknown: Vec<_> =
        found.iter().filter(|circle| !KNOWN.iter().any(|(known, _)| circle.files == **known)).collect();
    let texts: Vec<_> = unknown
        .iter()
        .map(|circle| format!("{}:\n{}", circle.files.join(" "), circle.uses.join("\n")))
        .collect();
    assert!(
        texts.is_empty(),
        "{} circles of files that use each other:\n{}\n\
         Cut each: move what both sides need into a file below both, or hand it in (an argument, a trait).",
        texts.len(),
        texts.join("\n"),
    );
    for (known, _) in KNOWN {
        assert!(
            found.iter().any(|circle| circle.files == **known),
            "{known:?} is a circle no more: take it off KNOWN"
        );
    }
}

#[test]
fn a_circle_is_found_through_any_number_of_files() {
    let made_up = tree::made_up(&[
        ("main.rs", "mod a;\nmod b;\nmod c;\nmod d;\nfn main() { a::f() }"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "fn f() { crate::c::f() }"),
        ("c.rs", "\nuse super::{a::f, d};"),
        ("d.rs", ""),
    ]);
    let circles = circles(Path::new("x"), &made_up).unwrap();
    assert_eq!(circles.len(), 1);
    assert_eq!(circles[0].files, ["x/a.rs", "x/b.rs", "x/c.rs"]);
    assert_eq!(
        circles[0].uses,
        [
            "    x/a.rs:1 uses x/b.rs: `crate::b`",
            "    x/b.rs:1 uses x/c.rs: `crate::c::f`",
            "    x/c.rs:2 uses x/a.rs: `crate::a::f`",
        ]
    );
}
