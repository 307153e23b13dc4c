//! Which file of a crate uses which, and the circles among them.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use crate::paths;
use crate::tree::Crate;

/// One file uses another; both are places in [`Crate::modules`].
pub struct Arrow {
    pub from: usize,
    pub to: usize,
    /// The first line that does, and what it names.
    pub line: usize,
    pub path: String,
}

/// All arrows, one for each pair of files.
pub fn all(krate: &Crate) -> Vec<Arrow> {
    let mut arrows = BTreeMap::new();
    for (from, module) in krate.modules.iter().enumerate() {
        for named in paths::named_by(krate, module) {
            let to = krate.file_of(&named.path);
            if to != from {
                let path =
                    ["crate"].into_iter().chain(named.path.iter().map(String::as_str)).collect::<Vec<_>>();
                let arrow = Arrow { from, to, line: named.line, path: path.join("::") };
                arrows.entry((from, to)).or_insert(arrow);
            }
        }
    }
    arrows.into_values().collect()
}

/// Files that use each other, however indirectly: each circle with the arrows inside it.
pub fn circles(arrows: &[Arrow]) -> Vec<Vec<&Arrow>> {
    let graph: DiGraphMap<usize, ()> = arrows.iter().map(|arrow| (arrow.from, arrow.to)).collect();
    let circles = tarjan_scc(&graph).into_iter().filter(|files| files.len() > 1);
    let inside = |files: Vec<usize>| {
        arrows.iter().filter(|arrow| files.contains(&arrow.from) && files.contains(&arrow.to)).collect()
    };
    circles.map(inside).collect()
}
